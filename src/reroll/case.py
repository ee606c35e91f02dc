"""One input with the checks that it must pass, and the report that brought it."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from reroll.check import Check, Surroundings
from reroll.errors import UsageError
from reroll.program import Program, canonical, content_id

__all__ = ["Case", "Label", "Report", "surroundings_of"]


def _wrong_check(position: int, problem: str) -> ValidationError:
    """An error at this check, so that whoever reads the file can say the line."""
    error = PydanticCustomError("check", "{problem}", {"problem": problem})
    return ValidationError.from_exception_data(
        "Case", [InitErrorDetails(type=error, loc=("checks", position), input=None)]
    )


class Case(BaseModel):
    """One input with its checks. `set` says what the case is for:

    case: what was reported; neighbour: the same difficulty in other words; lookalike: what a
    patch might wrongly catch; control: ordinary traffic that should simply work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, description="What commands call it.")
    input: dict[str, Any] = Field(default_factory=dict, description="Values for the program's {names}.")
    set: Literal["case", "neighbour", "lookalike", "control"] = Field("case", description="What the case is for.")
    of: str | None = Field(None, description="For neighbours and look-alikes: the case they belong to.")
    history: tuple[dict[str, Any], ...] = Field((), description="Earlier turns of this case, as messages.")
    expected: Any = Field(None, description="The right answer; checks may name it as {expected}.")
    checks: tuple[Check, ...] = Field((), description="What a right answer holds: all of them.")

    @model_validator(mode="after")
    def _checks_make_sense(self) -> Case:
        names = self.check_names()
        for i, (name, check) in enumerate(zip(names, self.checks, strict=True)):
            if name in names[:i]:
                raise _wrong_check(i, f"two checks of case `{self.id}` have the same name; give each its own `name`")
            if self.expected is None and "expected" not in self.input and "expected" in check.names_used():
                raise _wrong_check(i, f"check `{name}` asks for {{expected}}, and the case has no `expected`")
        return self

    @property
    def asks_a_person(self) -> bool:
        """Whether a person says what is right, answer by answer."""
        return any(inner.kind == "person" for check in self.checks for inner in check.walk())

    @property
    def asks_a_model(self) -> bool:
        """Whether a model says what is right: a check of kind `judge`, alone or in another."""
        return bool(self.judges)

    @property
    def judges(self) -> tuple[Check, ...]:
        """Its checks of kind `judge`, alone or in others."""
        return tuple(inner for check in self.checks for inner in check.walk() if inner.kind == "judge")

    def check_names(self) -> tuple[str, ...]:
        """A name per check; the default is its kind and position: `json-1`."""
        return tuple(c.name or f"{c.kind}-{i}" for i, c in enumerate(self.checks, 1))

    @property
    def content_id(self) -> str:
        """Identity of the input alone: other checks or another id do not change it."""
        return content_id("c1", [self.input, list(self.history)])


class Report(BaseModel):
    """What a person said: their words, what they saw, where and when. Never evidence by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str = ""
    case_id: str
    saw: str | None = None
    sample: str | None = None
    by: str | None = None
    at: str | None = None


class Label(BaseModel):
    """A person's outcome for one stored sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: str = Field(description="The sample's id.")
    outcome: Literal["pass", "fail", "unsure"] = Field(description="What the person says of its answer.")
    by: str = Field("", description="Who says so.")
    note: str = Field("", description="Why, in their words.")
    check: str | None = Field(None, description="By whose flags `--label` chose the sample; `*`: all checks together.")


def surroundings_of(case: Case, program: Program) -> Surroundings:
    """What the checks of this case may look at; for a stored request its own response schema."""
    response = program.response
    if response is None and program.raw is not None:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            response = json.loads(program.raw)["response_format"]["json_schema"]["schema"]
    asked = _asked(case, program) if case.asks_a_model else ""
    return Surroundings(response, case.input, case.expected, asked, case.id)


def _asked(case: Case, program: Program) -> str:
    """What an answer to this case answers: the case's own turns and input; without any, the program's last user turn.

    Not the program's prompt: an answer is held to the same standard whatever variant of the program gave it.
    """
    lines = [f"{turn.get('role')}: {_told(turn.get('content'))}" for turn in case.history]
    if len(case.input) == 1:
        lines.append(_told(next(iter(case.input.values()))))
    lines += [f"{name}: {_told(value)}" for name, value in case.input.items()] if len(case.input) > 1 else []
    if not lines:
        turns: list[Any] = []
        with contextlib.suppress(UsageError):  # an input is missing: then nothing was sent, either
            turns = program.render(case.input).body.get("messages") or []
        said = [one.get("content", "") for one in turns if isinstance(one, dict) and one.get("role") == "user"]
        lines += [_told(one) for one in said[-1:]]
    return "\n".join(lines)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
