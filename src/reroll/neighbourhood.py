"""What `neighbours` answers: what was made of a case, what its runs said of each, and where it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reroll.answer import Cost, to_json
from reroll.appending import case_form
from reroll.check import OutcomeWord
from reroll.neighbours import LOOKALIKE, Neighbour
from reroll.numbers import counts, percent
from reroll.reworded import Dropped

__all__ = ["Neighbourhood", "Standing", "Tried", "chance_aside", "stands"]

Standing = Literal["kept", "aside", "open"]


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate with its runs. why: what set it aside, or what it still lacks; empty for one that is kept."""

    neighbour: Neighbour
    runs: int
    passes: int
    failures: int
    standing: Standing
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        new = self.neighbour
        more = {"kind": new.kind, "changed": new.why, "runs": self.runs, "passes": self.passes}
        return {"case": case_form(new.case), **more, "failures": self.failures, "why": self.why}


def stands(new: Neighbour, outcomes: Sequence[OutcomeWord], most: int) -> Tried:
    """Where a candidate stands after these of at most `most` runs.

    A neighbour is kept at its first pass, and set aside where all its runs went by without one. A look-alike is kept
    once more than half of all the runs that it may have passed, and set aside once they no longer can.
    """
    passes, failures = (sum(o == word for o in outcomes) for word in ("pass", "fail"))
    n = len(outcomes)
    if new.kind == LOOKALIKE:
        if 2 * passes > most:
            return Tried(new, n, passes, failures, "kept")
        if 2 * (n - passes) >= most:
            why = f"passed in {passes} of {counts('run', n)} only: the baseline is not right here"
            return Tried(new, n, passes, failures, "aside", why)
    elif passes:
        return Tried(new, n, passes, failures, "kept")
    elif n >= most:
        if not failures:
            return Tried(new, n, passes, failures, "aside", f"none of {counts('run', n)} could be judged")
        why = f"none of {counts('run', n)} passed: it may mean something else by now, or it always fails"
        return Tried(new, n, passes, failures, "aside", why)
    return Tried(new, n, passes, failures, "open", "not run to the end" if n else "not run")


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The answer. near: control cases with most of the case's words, by id, with the share; dry: nothing was run.

    dropped: replies of the model that could not be used. most: runs that each may have. file: where what was kept was
    written; None: nowhere.
    """

    case: str
    program: dict[str, Any]
    model: str
    tried: tuple[Tried, ...]
    near: tuple[tuple[str, float], ...]
    most: int
    written: int
    dropped: tuple[Dropped, ...]
    file: str | None
    cost: Cost
    caveats: tuple[str, ...]
    dry: bool
    finished: bool
    stopped: str

    def standing(self, standing: Standing) -> tuple[Tried, ...]:
        return tuple(one for one in self.tried if one.standing == standing)

    @property
    def text(self) -> str:
        """What one would paste into a thread."""
        if self.dry:
            most = counts("call", self.most * len(self.tried) + self.written)
            return f"{_many(self.tried)} of {self.case} can be made by rule; trying them takes at most {most}."
        kept, aside = self.standing("kept"), self.standing("aside")
        seen = (
            ": the right answer was seen for each" if len(kept) > 1 else ": its right answer was seen" if kept else ""
        )
        said = [f"Of {_many(self.tried)} of {self.case}, {len(kept)} can be used{seen}."]
        if aside:
            verb = "was" if len(aside) == 1 else "were"
            said.append(f"{len(aside)} {verb} set aside.")
        if left := self.standing("open"):
            said.append(f"{len(left)} could not be run to the end.")
        if self.file is not None:
            said.append(f"What is kept was written to {self.file}.")
        return " ".join(said)

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.neighbours/1`."""
        return {
            "schema": "reroll.neighbours/1",
            "case": self.case,
            "program": self.program,
            "model": self.model,
            "kept": [one.as_json() for one in self.standing("kept")],
            "aside": [one.as_json() for one in self.standing("aside")],
            "open": [one.as_json() for one in self.standing("open")],
            "near": [{"id": id, "alike": share} for id, share in self.near],
            "runs_each": self.most,
            "written": self.written,
            "dropped": to_json(self.dropped),
            "file": self.file,
            "dry_run": self.dry,
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "finished": self.finished,
            "stopped": self.stopped,
            "text": self.text,
        }


def chance_aside(rate: float, runs: int) -> str:
    """How often a neighbour that fails so often is set aside all the same."""
    return percent(rate**runs)


def _many(tried: Sequence[Tried]) -> str:
    alike = sum(one.neighbour.kind == LOOKALIKE for one in tried)
    near = counts("neighbour", len(tried) - alike)
    return f"{near} and {counts('look-alike', alike)}" if alike else near
