"""A fix as a file states it: a lever, which changes the distribution, or a patch, which is code around the model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reroll.match import nearest
from reroll.program import content_id

__all__ = ["Fix"]


class Fix(BaseModel):
    """One change to try. Further keys are settings of its kind and are kept as written (`settings`).

    A further key that looks like a misspelt key of this list is refused, so that nothing is lost silently.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    fix: str = Field(min_length=1, description="A name for this fix, shown in answers.")
    kind: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_.]*$", description="For example field.describe.")
    target: str | None = Field(None, description="The part that it changes, for example response.date.description.")
    text: str | None = Field(None, description="What it says: the new wording, clause or example.")
    author: str = Field("", description="Who proposed it.")

    @model_validator(mode="before")
    @classmethod
    def _no_misspelt_keys(cls, data: Any) -> Any:
        known = list(cls.model_fields)
        for key in data if isinstance(data, dict) else ():
            if key not in known and (hint := nearest(str(key), known, cutoff=0.75)):
                raise ValueError(f"unknown key `{key}`{hint}")
        return data

    @property
    def settings(self) -> dict[str, Any]:
        """The further keys of this fix, in the order of the file."""
        return dict(self.model_extra or {})

    @property
    def id(self) -> str:
        """Content id: what it does, not its name or author."""
        return content_id("f1", [self.kind, self.target, self.text, self.settings])
