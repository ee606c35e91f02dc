"""What commands can be told: the options that all share, and those of commands that make calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

__all__ = [
    "About",
    "Answering",
    "CaseSet",
    "Certify",
    "Common",
    "EngineName",
    "ExportFormat",
    "Faked",
    "MethodName",
    "Pictures",
    "Spending",
]

# In help a command's own options come first.
CALLS = Group("Of every command that makes calls", sort_key=2)
EVERYWHERE = Group("Of every command", sort_key=3)
PAGES = Group("Of every command that prints a page", sort_key=4)

About = Literal["case", "suite", "population"]
ExportFormat = Literal["recorded", "rft", "preference", "openai-preference"]
EngineName = Literal["asyncio", "ray"]
MethodName = Literal["auto", "sampling"]
CaseSet = Literal["case", "neighbour", "lookalike", "control"]


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True)
class Common:
    """What every command takes."""

    json: bool = False
    "Print exactly one JSON object on stdout; progress goes to stderr."
    project: Path = Path(".")
    "Project folder (program.yaml, cases.yaml); `reroll init DIR` makes one."
    store: str | None = None
    "Where samples are kept (path or URL); default: .reroll/store.sqlite in the project."


@Parameter(name="*", group=PAGES)
@dataclass(frozen=True)
class Pictures:
    """What every command takes that prints a page."""

    svg: Path | None = None
    "Also write the page as an SVG picture into this file."
    png: Path | None = None
    "Also write the page as a PNG picture into this file."


@Parameter(name="*", group=CALLS)
@dataclass(frozen=True)
class Spending:
    """What every command takes that makes calls."""

    alpha: float | None = None
    "Allowed chance that one verdict is ever wrong (default 0.05)."
    budget: int | None = None
    "Calls to make at most (default 400; `audit` 300). Not binding: the run may be continued."
    horizon: int | None = None
    "Declared end in calls, binding: fewer calls, but such a run cannot be extended."
    max_usd: float | None = None
    "Stop when this much money is spent."
    max_seconds: float | None = None
    "Wall time that the command may take from its first call; the same command goes on later."
    seed: int | None = None
    "Give every call a seed of its own from this block, so that the run can be repeated."
    concurrency: int | None = None
    "Calls in flight at once (default: what suits the model)."
    engine: EngineName | None = None
    "Where calls are made: asyncio, in this process (default), or ray, on a cluster."
    cluster: str | None = None
    "HOST:PORT of the Ray cluster (default: one started on this machine for this command)."
    actors: int | None = None
    "Ray actors that make calls (default: one for each CPU)."
    fresh: bool = False
    "Start from zero: count no run of an earlier command."
    yes: bool = False
    "Do not ask before a long or unpriced run."
    gate: bool = False
    "Exit 1 when the answer is worse or not met, 3 when undecided."
    person: str | None = None
    "A command that answers for the person: a sample as JSON on its stdin, pass, fail or unsure on its stdout."
    quiet: bool = False
    "No progress line."


@Parameter(name="*", group=CALLS)
@dataclass(frozen=True)
class Answering(Spending):
    """What every command takes that answers a question about one case."""

    method: MethodName | None = None
    "`sampling` counts runs only; `auto` reads the model's own probabilities where that takes fewer calls (default)."


@dataclass(frozen=True)
class Certify:
    """What `certify` is told: about what, how reliable, and whether check by check or only explained."""

    cases: tuple[str, ...] = ()
    target: float | None = None
    about: About | None = None
    sets: tuple[CaseSet, ...] = ()
    each_check: bool = False
    explain: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class Faked:
    """What `fake-server` is told."""

    host: str = "127.0.0.1"
    "The address to listen at (default: this machine only)."
    port: int = 0
    "The port; 0 takes a free one (default)."
    answer: str = "ok"
    "The text of every good answer."
    wrong: str = "wrong"
    "The text of a failing answer."
    fail: float = 0.0
    "Share of answers that are the failing one."
    latency: float = 0.0
    "Milliseconds before an answer."
    spread: float = 0.0
    "Standard deviation of the latency in milliseconds, lognormal (default: always the same)."
    fault: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = ()
    "NAME=SHARE: this share of calls meets this fault; may be repeated."
    retry_after: float = 1.0
    "Seconds that a 429 asks to wait."
    drip: float = 100.0
    "Milliseconds between the bytes of the fault drip."
    most: int | None = None
    "A 429 for every call above so many in flight (default: none)."
    seed: int = 0
    "The same seed does the same to the same number of call."
    key: str | None = None
    "The only API key that is let in (default: any, and none)."
    expire_after: int | None = None
    "After so many calls no key is let in any more."
    model: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = ()
    "A model name that is served; may be repeated (default: any name)."
