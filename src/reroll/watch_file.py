"""The file `watch.yaml`: which calls are watched, what they are held against, and who is told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from reroll.check import Check
from reroll.complaints import complain
from reroll.errors import FileError, UsageError
from reroll.keys import is_surely_loopback
from reroll.project import Project
from reroll.strict_yaml import read_document
from reroll.watch_budget import FalseAlarms
from reroll.watching import Terms

__all__ = [
    "BY_MODEL",
    "Part",
    "WatchFile",
    "Watched",
    "judges_variant",
    "read_watch",
    "secret_of_webhook",
    "watch_path",
]

Part = Literal["model", "program", "prompt", "fingerprint", "case"]
LEAST_SECRET = 16
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BY_MODEL = ", judged by a model"
CHANNEL = re.compile(r"[A-Z][A-Z0-9]{5,20}")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class First(Strict):
    """A baseline that is measured on the first calls of a stream."""

    first: int = Field(1000, ge=50, le=1_000_000, description="On so many calls.")


class AlarmsAllowed(Strict):
    """One false alarm of all streams together, on average, in so many weeks or calls."""

    weeks: float | None = Field(None, ge=0.1, le=520)
    calls: int | None = Field(None, ge=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> AlarmsAllowed:
        if (self.weeks is None) == (self.calls is None):
            raise ValueError("give either `weeks` or `calls`: one false alarm in so many")
        return self


class Investigate(Strict):
    """What an alarm may spend on being investigated."""

    max_usd: float = Field(ge=0, le=100_000, description="US dollars in any 7 days, all alarms together.")
    budget: int = Field(200, ge=1, le=20_000, description="Calls that one alarm may make.")


class ByModel(Strict):
    """How many of the calls whose checks ask a model are judged by it. Each costs a call of each of its judges."""

    share: float = Field(gt=0, le=1, description="The share of them that is judged, chosen by chance.")
    calls: int = Field(ge=1, le=1_000_000, description="At most so many of them a day (UTC).")


class Tell(Strict):
    """Who is told of an alarm, and of its end."""

    slack: str | None = Field(None, description="Id of a channel, such as C0123456789; `reroll slack` posts there.")
    webhook: str | None = Field(None, description="An address that takes signed JSON.")
    secret: str | None = Field(None, description="Name of the environment variable with the secret that signs it.")
    pages: str | None = Field(None, description="Where `reroll serve` is reached, for links.")

    @field_validator("slack")
    @classmethod
    def _a_channel(cls, value: str | None) -> str | None:
        if value is not None and not CHANNEL.fullmatch(value):
            raise ValueError("needs the id of a channel, such as C0123456789 (in Slack: the channel's details)")
        return value

    @field_validator("webhook", "pages")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known or parts.username or parts.password or any(not char.isprintable() for char in value):
            raise ValueError("needs an address such as https://alarms.example.org/reroll, without user or password")
        return value

    @model_validator(mode="after")
    def _signed(self) -> Tell:
        host = urlsplit(self.webhook or "").hostname or ""
        if self.webhook is not None and urlsplit(self.webhook).scheme != "https" and not is_surely_loopback(host):
            raise ValueError("the webhook needs https://, unless it is on this machine")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("`webhook` and `secret` belong together: what is sent there is signed")
        if self.secret is not None and not VARIABLE.fullmatch(self.secret):
            raise ValueError("`secret` is the name of an environment variable, not the secret itself")
        return self


class Watched(Strict):
    """Calls that are judged alike. Each version and model of them is a stream with a baseline of its own."""

    name: str = Field(min_length=1, max_length=80)
    cases: tuple[str, ...] = Field(("*",), min_length=1, description="Ids of cases, `*` for any characters.")
    checks: tuple[Check, ...] | None = Field(None, description="What every call must pass; default: its case's checks.")
    score: StrictBool = Field(False, description="Judge by the score in 0...1 that came with the call instead.")
    split: tuple[Part, ...] = Field(("model", "program"), description="What makes a stream of its own.")
    baseline: float | First | None = Field(None, description="The failure rate that is normal, or {first: CALLS}.")
    errors: float | First | Literal[False] = Field(
        First(), description="The same for calls that bring nothing back; false: they are not watched."
    )
    target: float | None = Field(None, gt=0, lt=1)
    silence: StrictBool = Field(True, description="Whether it is an alarm when calls stop.")

    @field_validator("baseline", "errors")
    @classmethod
    def _a_rate(cls, value: object) -> object:
        if isinstance(value, float | int) and not isinstance(value, bool) and not 0 < value < 1:
            raise ValueError(f"a rate lies strictly between 0 and 1, and this is {value:g}; for none: errors: false")
        return value

    @model_validator(mode="after")
    def _one_way_to_judge(self) -> Watched:
        if self.score and self.checks is not None:
            raise ValueError("either `checks` or `score: true`: a call is judged in one way")
        if self.checks is not None and not self.checks:
            raise ValueError("`checks` is empty; leave it out to use those of the cases")
        for check in (inner for outer in self.checks or () for inner in outer.walk()):
            if check.kind == "person":
                raise ValueError("a check of kind `person` cannot watch: nobody is there to ask")
        if self.name.endswith(BY_MODEL):
            raise ValueError(f"a name that ends with `{BY_MODEL}` is that of calls which a model judges; give another")
        return self

    @property
    def by_model(self) -> Watched:
        """What becomes of those of its calls that a model judges: streams of their own, since they are a share.

        They have no silence: where the day's judgings are used, no more of them come.
        """
        return self.model_copy(update={"name": f"{self.name}{BY_MODEL}", "silence": False})

    def takes(self, case_id: str) -> bool:
        return any(fnmatchcase(case_id, pattern) for pattern in self.cases)

    def terms(self, watches: Literal["fail", "invalid"], target: float | None) -> Terms:
        """What its streams are held against: a baseline that is stated, else what the target allows, else measured."""
        if watches == "invalid":
            told = self.errors if self.errors is not False else First()
            return Terms("invalid", *_known(told))
        target = self.target or target
        allowed = None if target is None else round(1 - target, 12)
        told = self.baseline if self.baseline is not None else First() if allowed is None else allowed
        return Terms("loss" if self.score else "fail", *_known(told), allowed)


def _known(told: float | First) -> tuple[float | None, int]:
    return (None, told.first) if isinstance(told, First) else (float(told), 0)


class WatchFile(Strict):
    """The file `watch.yaml`."""

    watch: str | None = Field(None, min_length=1, max_length=80, description="Its name; default: the program's.")
    false_alarms: AlarmsAllowed = AlarmsAllowed(weeks=8)
    target: float | None = Field(None, gt=0, lt=1, description="Default: the program's.")
    runs: tuple[Literal["imported", "draw"], ...] = Field(
        ("imported",), min_length=1, description="Which stored calls: production's, or what commands drew."
    )
    streams: tuple[Watched, ...] = ()
    judge: ByModel | None = Field(None, description="Without it no model is asked.")
    investigate: Investigate | None = Field(None, description="Without it an alarm costs nothing.")
    tell: Tell = Tell()

    @model_validator(mode="after")
    def _named_once(self) -> WatchFile:
        names = [one.name for one in self.streams]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f"two streams are called `{name}`; give each a name of its own")
        asking = [
            one.name for one in self.streams if any(c.kind == "judge" for o in one.checks or () for c in o.walk())
        ]
        if asking and self.judge is None:
            raise ValueError(
                f"the checks of `{asking[0]}` ask a model, which costs money: write how many calls it judges, such as "
                "`judge: {share: 0.05, calls: 200}`, beside `streams`"
            )
        return self

    @property
    def allowed(self) -> FalseAlarms:
        told = self.false_alarms
        return FalseAlarms(told.weeks or 8.0, None if told.calls is None else float(told.calls))


def judges_variant(told: WatchFile) -> str:
    """What the calls of judges that this watch asks are stored under."""
    return f"judge of watch {told.watch}"


def watch_path(folder: Path) -> Path:
    return folder / "watch.yaml"


def read_watch(project: Project) -> WatchFile:
    """What the project's watch.yaml says, with everything that it leaves out filled in; the usual where there is none.

    Raises: FileError for the first thing that is wrong in it.
    """
    path = watch_path(project.path)
    told = WatchFile()
    if path.is_file():
        document = read_document(path)
        value = {} if document.value is None else document.value
        if not isinstance(value, dict):
            raise document.error("the file holds no keys; write it as docs/watching.md shows")
        try:
            told = WatchFile.model_validate(value)
        except ValidationError as error:
            raise complain(error, document, WatchFile) from None
    elif (other := path.with_suffix(".yml")).is_file():
        raise FileError(other, "rename this file to watch.yaml")
    name = told.watch or project.program.program
    return told.model_copy(
        update={
            "watch": name,
            "target": told.target or project.program.target,
            "streams": told.streams or (Watched(name=name[:80]),),
        }
    )


def secret_of_webhook(told: WatchFile, environment: Mapping[str, str] | None = None) -> str | None:
    """The secret that signs what the webhook gets; None where there is no webhook.

    Raises: UsageError where the variable is not set, or holds too little.
    """
    name = told.tell.secret
    if name is None:
        return None
    secret = (os.environ if environment is None else environment).get(name, "").strip()
    if len(secret) < LEAST_SECRET:
        problem = f"has fewer than {LEAST_SECRET} characters" if secret else "is not set"
        raise UsageError(
            f"{name} {problem}, and watch.yaml signs what its webhook gets with it; put a long random secret there, "
            "here and at the receiver",
            slug="watch-secret",
        )
    return secret
