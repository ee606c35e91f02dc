"""Stored calls of production as a watch sees them: which streams each belongs to, and what its checks say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.case import Case
from reroll.check import Check, Outcome, overall
from reroll.checking import Checker, no_judge
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.match import clean
from reroll.program import canonical, content_id
from reroll.project import Project
from reroll.sample import Sample
from reroll.store import Store
from reroll.store_rows import StoredSample
from reroll.watch_file import Part, Watched, WatchFile
from reroll.watch_sample import Judgings, by_chance, left_today, one_more
from reroll.watching import Outcome as Word

__all__ = ["Judged", "Judges"]

JSON = Any
REWARD = (Check.of("reward", 1),)
PERSON = "a person judges its case, and a watch asks nobody"
NO_JUDGE = "a model judges its case, and `judge` in watch.yaml does not say of how many calls one is asked"
UNFIT = "the model that is to judge its case cannot"
OUT_OF_REACH = "the model that judges its case could not be asked"
BEFORE = "it was there before the watch began, and no model is asked about such calls"
LEFT_OUT = "not in the share of calls that a model judges"
USED_UP = "as many calls as watch.yaml allows a day had been judged by a model"
UNKNOWN = "what it answered is not known, which a model that judges is to see"
REPLAY = "a replay asks no model, and none had judged it"
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


@dataclass(frozen=True, slots=True)
class _Made:
    """What judges the calls of one case. asks: the case, where a model is asked."""

    judge: Judge
    ids: tuple[str, ...]
    asks: Case | None


class Judges:
    """Judges calls page by page; remembers cases and requests, not calls.

    `judgings`, `since`: how many calls were put before models, and the `seq` up to which none is. `problem`: why a
    model that judges could not be asked, in one sentence, as long as that is so. `ended`: set from another thread when
    the watch is to end, so that what was not asked about is not taken for judged.
    """

    def __init__(self, project: Project, told: WatchFile, store: Store, checker: Checker) -> None:
        self.project, self.told, self.store, self.checker = project, told, store, checker
        self.own = {case.id: case for case in (*project.cases, *project.reported)}
        self.cases: dict[str, Case | None] = {}
        self.prompts: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self.judging: dict[tuple[str, str], _Made | str] = {}
        self.by_model = {entry.name: entry.by_model for entry in told.streams}
        self.judgings, self.since, self.ended = Judgings(), 0, False
        self.problem = ""
        self.unreached = False  # a model that judges could not be reached: it is tried again at the next page
        self.by = {entry.name: _judged_by(entry, checker) for entry in told.streams}

    def page(self, page: Sequence[StoredSample], now: float) -> Iterator[Judged]:
        """What each entry says of these calls, in their order. now: the day (Unix time) whose judgings are used.

        Raises: NotCompleted where the watch ends before the models said all; nothing of the page counts then.
        """
        self._look_up(page)
        self.unreached = False
        found = [
            (entry, stored, "" if entry.score else self._judge(entry, stored))
            for stored in page
            for entry in self.told.streams
            if entry.takes(stored.case_id)
        ]
        asking = [(stored, made) for _, stored, made in found if isinstance(made, _Made) and made.asks is not None]
        left_out, known = self._asked(asking, now) if asking else ({}, {})
        for entry, stored, made in found:
            yield self._one(entry, stored, made, left_out.get(stored.id, ""), known.get(stored.id))

    def _asked(
        self, asking: Sequence[tuple[StoredSample, _Made]], now: float
    ) -> tuple[dict[str, str], dict[str, dict[str, Outcome]]]:
        """Why some of these calls are not judged; and what is stored of them, where that is all that may be said."""
        if self.checker.judges is no_judge:
            known = self.store.outcomes([stored.id for stored, _ in asking])
            ids = {stored.id: set(made.ids) for stored, made in asking}
            return {id: REPLAY for id in ids if not ids[id] <= known.get(id, {}).keys()}, known
        left_out: dict[str, str] = {}
        wanted: dict[str, list[tuple[Case, StoredSample]]] = {}
        for stored, made in asking:
            assert made.asks is not None
            if stored.id not in left_out:
                left_out[stored.id] = self._why_not(stored, made.asks, now)
            if not left_out[stored.id]:
                models = canonical([[one.value["model"], one.value.get("base_url")] for one in made.asks.judges])
                wanted.setdefault(models, []).append((made.asks, stored))
        for calls in wanted.values():
            try:
                self.checker.ahead_of_all(self.project.program, [(case, [one.sample]) for case, one in calls])
                self.problem = ""
            except NotCompleted:  # the model is down: that says nothing of the calls, nor of other streams
                self.problem = f"the judge {calls[0][0].judges[0].value['model']} brings nothing back"
                left_out |= {one.id: OUT_OF_REACH for _, one in calls}
            if self.ended:
                raise NotCompleted("the watch was ended while a model judged; the next look asks about the rest")
        return left_out, {}

    def _why_not(self, stored: StoredSample, case: Case, now: float) -> str:
        """Why no model is asked about this call; "" where one is, which is counted."""
        told = self.told.judge
        if told is None:
            return NO_JUDGE
        if stored.seq <= self.since:
            return BEFORE
        if not (case.input or case.history):
            return UNKNOWN
        if not by_chance(stored.id, told.share):
            return LEFT_OUT
        if not left_today(self.judgings, now, told.calls):
            return USED_UP
        if stored.sample.completion is not None:
            self.judgings = one_more(self.judgings, now)
        return ""

    def _one(
        self, entry: Watched, stored: StoredSample, made: _Made | str, left_out: str, known: dict[str, Outcome] | None
    ) -> Judged:
        named = {"name": entry.name, "by": self.by[entry.name], **self._parts(entry.split, stored)}
        if entry.score:
            word, why = _scored(stored.sample)
            return Judged(entry, stored, named, word, why)
        if isinstance(made, str) or (made.asks is not None and left_out):
            return Judged(entry, stored, named, None, made if isinstance(made, str) else left_out)
        if made.asks is not None:
            entry = self.by_model[entry.name]
            named["name"] = entry.name
        if made.asks is not None and known is not None:
            said = [known[id] for id in made.ids]
        else:
            said = made.judge(stored.sample)
        return Judged(entry, stored, named, overall(said).outcome, checks=tuple(zip(made.ids, said, strict=True)))

    # -- what it is judged by ------------------------------------------------------------------------------------------

    def _judge(self, entry: Watched, stored: StoredSample) -> _Made | str:
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
            if self.unreached and case.asks_a_model:
                return OUT_OF_REACH
            try:
                self.judging[place] = self._made(case)
            except ModelError as error:
                self.unreached, self.problem = True, str(error)
                return OUT_OF_REACH
        return self.judging[place]

    def _made(self, case: Case) -> _Made | str:
        try:
            judge = self.checker.judging(case, self.project.program)
            ids = tuple(self.checker.ids(case, self.project.program))
        except UsageError as error:
            if error.slug == "no-person":
                return PERSON
            if error.slug != "no-judge":
                raise
            if self.checker.judges is None:
                return NO_JUDGE
            self.problem = str(error)
            return UNFIT
        return _Made(judge, ids, case if case.asks_a_model else None)

    @staticmethod
    def _same_for_all(entry: Watched) -> bool:
        """Whether its checks say the same of the same answer to any request; a model that judges sees the request."""
        return entry.checks is not None and not any(
            check.kind == "judge" or check.names_used() for outer in entry.checks for check in outer.walk()
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
