"""Stored calls of production as a watch sees them: which streams each belongs to, and what its checks say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.case import Case
from reroll.check import Check, Outcome, overall
from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.match import clean
from reroll.program import canonical, content_id
from reroll.project import Project
from reroll.sample import Sample
from reroll.store import Store
from reroll.store_rows import StoredSample
from reroll.watch_file import Part, Watched, WatchFile
from reroll.watching import Outcome as Word

__all__ = ["Judged", "Judges"]

JSON = Any
REWARD = (Check.of("reward", 1),)
NOBODY = ("no-person", "no-judge")  # what a check needs that a watch has not
KEPT = 10_000  # cases, requests and programs that need not be looked up again
LONGEST = 120  # characters of a model's name
SYSTEM = ("system", "developer")
Judge = Callable[[Sample], list[Outcome]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one entry of watch.yaml says of a call. word: None: nothing says what is right, and `why` says so.

    named: what makes its stream one of its own. checks: what each check said, by its content id.
    """

    entry: Watched
    stored: StoredSample
    named: Mapping[str, str]
    word: Word | None
    why: str = ""
    checks: tuple[tuple[str, Outcome], ...] = ()


class Judges:
    """Judges calls page by page; remembers cases and requests, not calls."""

    def __init__(self, project: Project, told: WatchFile, store: Store, checker: Checker) -> None:
        self.project, self.told, self.store, self.checker = project, told, store, checker
        self.own = {case.id: case for case in (*project.cases, *project.reported)}
        self.cases: dict[str, Case | None] = {}
        self.prompts: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self.judging: dict[tuple[str, str], tuple[Judge, tuple[str, ...]] | str] = {}
        self.by = {entry.name: _judged_by(entry, checker) for entry in told.streams}

    def page(self, page: Sequence[StoredSample]) -> Iterator[Judged]:
        """What each entry says of these calls, in their order."""
        self._look_up(page)
        for stored in page:
            for entry in self.told.streams:
                if entry.takes(stored.case_id):
                    yield self._one(entry, stored)

    def _one(self, entry: Watched, stored: StoredSample) -> Judged:
        named = {"name": entry.name, "by": self.by[entry.name], **self._parts(entry.split, stored)}
        if entry.score:
            word, why = _scored(stored.sample)
            return Judged(entry, stored, named, word, why)
        found = self._judge(entry, stored)
        if isinstance(found, str):
            return Judged(entry, stored, named, None, found)
        judge, ids = found
        said = judge(stored.sample)
        return Judged(entry, stored, named, overall(said).outcome, checks=tuple(zip(ids, said, strict=True)))

    # -- what it is judged by ------------------------------------------------------------------------------------------

    def _judge(self, entry: Watched, stored: StoredSample) -> tuple[Judge, tuple[str, ...]] | str:
        """What judges this call, with the content ids of its checks; or why nothing does."""
        case = Case(id="any") if self._same_for_all(entry) else self._case(stored.case_id)
        if entry.checks is not None:
            case = (case or Case(id=stored.case_id)).model_copy(update={"checks": entry.checks})
        elif case is None or not case.checks:
            if stored.sample.reward is None:
                return "nothing says what is right: its case has no checks, and no score came with it"
            case = Case(id="any", checks=REWARD)
        place = (entry.name, case.id)
        if place not in self.judging:
            if len(self.judging) >= KEPT:
                self.judging.clear()
            self.judging[place] = self._made(case)
        return self.judging[place]

    def _made(self, case: Case) -> tuple[Judge, tuple[str, ...]] | str:
        try:
            judge = self.checker.judging(case, self.project.program)
            return judge, tuple(self.checker.ids(case, self.project.program))
        except UsageError as error:
            if error.slug not in NOBODY:
                raise
            return "its case is judged by a person or a model, and a watch asks nobody"

    @staticmethod
    def _same_for_all(entry: Watched) -> bool:
        return entry.checks is not None and not any(
            check.names_used() for outer in entry.checks for check in outer.walk()
        )

    def _case(self, id: str) -> Case | None:
        return self.own.get(id) or self.cases.get(id)

    # -- what its stream is --------------------------------------------------------------------------------------------

    def _parts(self, split: Sequence[Part], stored: StoredSample) -> dict[str, str]:
        made = {
            "model": lambda: stored.sample.model or self.models.get(stored.program_id, ""),
            "program": lambda: stored.program_id,
            "prompt": lambda: self.prompts.get(stored.request_id, ""),
            "fingerprint": lambda: stored.sample.fingerprint or "",
            "case": lambda: stored.case_id,
        }
        return {part: clean(made[part]())[:LONGEST] for part in split}

    def _look_up(self, page: Sequence[StoredSample]) -> None:
        """Know the cases, models and prompts of these calls where an entry asks for them."""
        parts = {part for entry in self.told.streams for part in entry.split}
        if not all(entry.score or self._same_for_all(entry) for entry in self.told.streams):
            ids = {one.case_id for one in page} - self.own.keys() - self.cases.keys()
            _make_room(self.cases)
            known = self.store.cases_of(ids)
            self.cases.update({id: known.get(id) for id in ids})
        if "model" in parts:
            for id in {one.program_id for one in page if one.sample.model is None} - self.models.keys():
                _make_room(self.models)
                self.models[id] = self._model(id)
        if "prompt" in parts:
            for id in {one.request_id for one in page} - self.prompts.keys():
                _make_room(self.prompts)
                self.prompts[id] = self._prompt(id)

    def _model(self, program_id: str) -> str:
        try:
            return self.store.get_program(program_id).model
        except UsageError:
            return ""

    def _prompt(self, request_id: str) -> str:
        """What the system said, as a short id; "" where the request is not stored or has no system message."""
        try:
            body = self.store.get_request(request_id).request.body
        except UsageError:
            return ""
        messages = body.get("messages")
        said = [one for one in messages if isinstance(one, dict) and one.get("role") in SYSTEM] if messages else []
        told = [one.get("content") for one in said] or [body.get("instructions") or body.get("system")]
        if told == [None]:
            return ""
        return hashlib.blake2b(canonical(told).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _make_room(kept: dict[str, Any]) -> None:
    if len(kept) >= KEPT:
        kept.clear()


def _scored(sample: Sample) -> tuple[Word | None, str]:
    """The loss of a call whose score came with it."""
    if sample.reward is None:
        return ("invalid", "") if sample.error is not None else (None, "no score came with it")
    return (1 - sample.reward, "") if 0 <= sample.reward <= 1 else ("invalid", "")


def _judged_by(entry: Watched, checker: Checker) -> str:
    """An id of what judges: other checks, or another python source, make another stream."""
    if entry.score or entry.checks is None:
        return "score" if entry.score else "cases"
    python = [c.value for outer in entry.checks for c in outer.walk() if c.kind == "python"]
    return content_id("wk1", [[check.form() for check in entry.checks], checker.source_hashes(python)])
