"""Recorded traffic into the store: cases made or found again, samples stored, everything left out counted by reason."""

from __future__ import annotations

import hashlib
import marshal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reroll.case import Case
from reroll.check import Check, overall
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import UsageError
from reroll.intake.addressing import model_ref
from reroll.intake.beside import Beside
from reroll.intake.bodies import messages_of, tools_of
from reroll.intake.casing import Placed, again_of, case_of, keys_of_project, params_of, place, sample_of
from reroll.intake.recording import Arm, Intake, LeftOut, Recording, arm_of
from reroll.intake.storing import Batch, Briefly, Plain, row_of
from reroll.intake.taken import Evaluated, Skipped, Taken
from reroll.json_text import json_bytes
from reroll.program import Program, Request
from reroll.project import Project
from reroll.sample import Usage, made_often
from reroll.store import Store
from reroll.store_rows import Evaluation, NewSample, Origin, several

__all__ = ["LATER", "Call", "Known", "take_in"]

JSON = Any
REWARD = (Check.of("reward", 1),)
MOST_VERSIONS = 50  # of a program, by which a call is found to be of a case
REMEMBERED = 200_000  # requests and cases that need not be stored again
BATCH, BATCH_BYTES = 10_000, 2**25  # calls stored in one transaction, and how much their requests may be together
SAME_BYTES = 2**23  # of requests whose places are remembered
NOT_COUNTED = Usage()  # what a call of several completions took is counted with the first
PLACES = 3  # of what was left out, so many places are named
MOST_SENTENCES = 40
TWICE = "was taken already (the same call a second time)"
HELD = "holds a key in use or a token, which is not stored"
LATER = "is a later step of a turn that was taken already (what came after the tools had been called)"


@made_often
class Call:
    """One call that was taken: its place, and its case with its checks; `own` where the project has that case."""

    placed: Placed
    id: str
    checks: tuple[Check, ...]
    own: Case | None = None

    @property
    def case(self) -> Case:
        """Made when it is asked for: most calls are of cases that are known already. Raises: UsageError."""
        if self.own is not None:
            return self.own
        try:
            return case_of(self.placed, self.id, self.checks)
        except ValidationError as error:
            raise UsageError(f"{self.placed.taken.where}: {error.errors()[0]['msg']}", slug="import-check") from None

    @property
    def brief(self) -> Briefly | Case:
        """The case as plain values, from which it is made where it is stored; as it is where it has checks."""
        if self.own is not None or self.checks:
            return self.case
        placed = self.placed
        return self.id, placed.request, placed.history, placed.taken.expected


@made_often
class _Same:
    """What is the same for all calls with one request, which often comes again: its place, its program, its id."""

    key: str
    system: str | None
    history: tuple[Mapping[str, JSON], ...]
    request: str
    program: Program
    program_id: str
    id: str
    size: int

    def placed(self, taken: Taken) -> Placed:
        return Placed(
            taken, self.key, self.system, self.history, self.request, again_of(taken, self.key, taken.completion)
        )


@dataclass(slots=True)
class Known:
    """What need not be found out again. asked, cased: ids of requests and of cases that are stored.

    own: the project's cases by the messages of their requests, in any version of its program that was measured.
    """

    asked: set[str] = field(default_factory=set)
    cased: set[str] = field(default_factory=set)
    own: dict[str, Case] | None = None

    def of_project(self, store: Store, project: Project | None) -> dict[str, Case]:
        """`own`, found out once."""
        if self.own is None:
            self.own = {}
            if project is not None:
                earlier = store.versions(project.program.program, MOST_VERSIONS)
                self.own = keys_of_project(project.program, project.cases, earlier)
        return self.own


def take_in(
    calls: Iterable[Taken | Skipped | Evaluated],
    *,
    store: Store,
    folder: Path,
    project: Project | None = None,
    checks: tuple[Check, ...] | None = None,
    turn: int | None = None,
    alpha: float = 0.05,
    keep: Callable[[Call], None] | None = None,
    judged: bool = True,
    known: Known | None = None,
) -> Recording:
    """What was taken in, after it was stored as imported samples, never counted as fresh runs.

    Args: project: whose cases are found again by their messages; checks: for every case, in place of its own;
        folder: where Python checks lie; keep: is given every call; judged: whether checks are held against the calls;
        known: what an earlier call with this store and project found out; what this one does is added.
    Raises: RerollError; what was stored until then stays, and is not stored a second time.
    """
    with Checker(folder, person=not_asked, judges=no_judge) as checker, Beside(store) as beside:
        taker = _Taker(store, checker if judged else None, project, checks, turn, keep, beside, known or Known())
        for one in calls:
            taker.add(one)
        taker.flush()
        taker.settle()
        taker.tell()
    return taker.found(alpha)


class _Taker:
    """Takes calls one by one, and has them stored in batches, while the next are read; keeps counts, not calls."""

    def __init__(
        self,
        store: Store,
        checker: Checker | None,
        project: Project | None,
        checks: tuple[Check, ...] | None,
        turn: int | None,
        keep: Callable[[Call], None] | None,
        beside: Beside,
        known: Known,
    ) -> None:
        self.store, self.checker, self.checks, self.turn, self.keep = store, checker, checks, turn, keep
        self.own = known.of_project(store, project)
        self.program = project.program if project else None  # whose form `schema: true` asks for
        self.taken_ids = {case.id for case in project.cases} if project else set()
        self.made: dict[int, str | None] = {}  # by key; the name of the case where it is not made of the key
        self.seen: set[int] = set()
        self.asked, self.cased = known.asked, known.cased
        self.programs: dict[str, tuple[Program, str]] = {}
        self.same: dict[bytes, _Same] = {}
        self.same_bytes = 0
        self.formats: Counter[str] = Counter()
        self.fidelity: Counter[str] = Counter()
        self.guessed: Counter[str] = Counter()
        self.marked: Counter[str] = Counter()
        self.left: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.words: dict[tuple[str, str | None], dict[str, list[str]]] = {}
        self.matched = self.unanswered = self.samples = self.stored = 0
        self.check_names: dict[str, None] = {}
        self.told: list[Evaluation] = []
        self.came = self.evaluated = 0  # evaluations that were read, and those of them that were not known yet
        self.waiting: Batch = []
        self.places: list[str] = []  # where each of them stands
        self.storing: list[tuple[str, str, str]] = []  # of each call: where it stands, the ids of request and case
        self.bytes = 0
        self.beside = beside

    def add(self, one: Taken | Skipped | Evaluated) -> None:
        if isinstance(one, Skipped):
            self.leave(one.where, one.why)
            return
        if isinstance(one, Evaluated):
            self.told.append(one.evaluation)
            if len(self.told) >= BATCH:
                self.tell()
            return
        mark = _mark(one)
        same = self.same.get(mark)
        placed = place(one, self.turn) if same is None else same.placed(one)
        if isinstance(placed, Skipped):
            self.leave(placed.where, placed.why)
            return
        series = _series(placed.taken)
        if why := self._seen_before(placed, series):
            self.leave(placed.taken.where, why)
            return
        try:
            same = same or self._same(placed, mark)
        except UsageError as error:
            self._must_be_secret(error)
            self.leave(placed.taken.where, HELD)
            return
        call = self._call(placed)
        self._count(call)
        self.waiting.append(self._parcel(call, series, same))
        self.places.append(placed.taken.where)
        if len(self.waiting) >= BATCH or self.bytes >= BATCH_BYTES:
            self.flush()

    def leave(self, where: str, why: str) -> None:
        count, places = self.left.get(why, (0, ()))
        self.left[why] = (count + 1, places if len(places) >= PLACES else (*places, where))

    def _seen_before(self, placed: Placed, series: str) -> str:
        """Why this call is one that was taken already; empty where it was not."""
        marks = [hash((placed.key, series))] if "record" in placed.taken.ids else []
        again = hash(placed.again) if placed.again else None
        if any(mark in self.seen for mark in marks):
            return TWICE
        if again is not None and again in self.seen:
            return LATER if placed.later else TWICE
        self.seen.update(marks if again is None else [*marks, again])
        return ""

    def _call(self, placed: Placed) -> Call:
        if (own := self.own.get(placed.key)) is not None:
            self.matched += 1
            own = own if self.checks is None else own.model_copy(update={"checks": self.checks})
            return Call(placed, own.id, own.checks, own)
        short = hash(placed.key)
        if short not in self.made:
            name = placed.taken.ids.get("case")
            named = name if name and name not in self.taken_ids else None
            self.made[short] = named
            if named:
                self.taken_ids.add(named)
        id = self.made[short] or f"call-{placed.key[-12:]}"
        return Call(placed, id, self.checks if self.checks is not None else REWARD if placed.whole else ())

    def _count(self, call: Call) -> None:
        taken = call.placed.taken
        self.formats[taken.format] += 1
        self.fidelity[taken.fidelity] += 1
        for sentence in taken.guessed:
            if sentence in self.guessed or len(self.guessed) < MOST_SENTENCES:
                self.guessed[sentence] += 1
        for mark in {mark.name for mark in taken.marks}:
            self.marked[mark] += 1
        if self.keep is not None:
            self.keep(call)

    def _program(self, taken: Taken) -> tuple[Program, str]:
        """What decided the output as far as a trace says it: model, parameters and tools; the rest is in requests."""
        model, base_url = model_ref(taken)
        params, tools = params_of(taken), tools_of(taken.body)
        kind = repr((model, base_url, params, tools))
        if kind not in self.programs:
            made = Program(program="imported", model=model, base_url=base_url, params=params, tools=tuple(tools))
            self.store.put_program(made)
            if len(self.programs) > 1000:
                self.programs.clear()
            self.programs[kind] = made, made.id
        return self.programs[kind]

    def _same(self, placed: Placed, mark: bytes) -> _Same:
        taken = placed.taken
        program, program_id = self._program(taken)
        request = _request(taken, program)
        text = json_bytes([_identity(program), request.base_url, request.body, request.raw])
        here = placed.key, placed.system, placed.history, placed.request
        same = _Same(*here, program, program_id, _request_id(text), len(text))
        if mark and placed.answered is None and not placed.whole:
            if self.same_bytes > SAME_BYTES:
                self.same.clear()
                self.same_bytes = 0
            self.same[mark] = same
            self.same_bytes += len(mark) + len(text)
        return same

    def _parcel(self, call: Call, series: str, same: _Same) -> Plain:
        taken, id = call.placed.taken, same.id
        asked = None
        if id not in self.asked:
            request = _request(taken, same.program)
            asked = (id, request.model, request.base_url, request.body, request.raw, _identity(same.program))
            self.bytes += same.size
        new_case = None if call.id in self.cased else call.brief
        if taken.completion is None and taken.error is None and taken.reward is None and not call.placed.answered:
            self.unanswered += 1
            return [], asked, new_case
        first = NewSample(
            sample_of(call.placed),
            id,
            series,
            0,
            same.program_id,
            call.id,
            source="imported",
            settled=taken.started,
            origin=_origin(taken),
        )
        self._judge(call, same.program, first)
        return [row_of(one) for one in _with_others(taken, first)], asked, new_case

    def _judge(self, call: Call, program: Program, new: NewSample) -> None:
        self.samples += 1
        if self.checker is None or (not call.checks and new.sample.reward is None):
            return
        # Without a check it is judged by what came with it, by which fresh runs cannot be.
        case = call.case if call.checks else call.case.model_copy(update={"checks": REWARD})
        outcome = overall(self.checker.judge(case, self.program or program, new.sample)).outcome
        self.check_names.update(dict.fromkeys(case.check_names()))
        taken = call.placed.taken
        arm = self.words.setdefault(("baseline", str(taken.body.get("model") or taken.model or "") or None), {})
        arm.setdefault(call.case.id, []).append(outcome)

    def flush(self) -> None:
        """Have stored what waits, once what was given before is stored. Raises: RerollError of that."""
        self.settle()
        self.storing = [
            (place, asked[0] if asked else "", "" if case is None else case[0] if isinstance(case, tuple) else case.id)
            for place, (_, asked, case) in zip(self.places, self.waiting, strict=True)
        ]
        self.beside.give(self.waiting)
        self.waiting, self.places, self.bytes = [], [], 0

    def settle(self) -> None:
        """Wait until all that was given is stored, and count what could not be. Raises: RerollError of that.

        What was stored is not stored again: the same question comes often.
        """
        stored, storing = self.beside.settle(), self.storing
        self.storing = []
        self.stored += stored.new
        held = set(stored.held)
        for i in sorted(held):
            self.leave(storing[i][0], HELD)
        kept = [one for i, one in enumerate(storing) if i not in held] if held else storing
        requests = [request for _, request, _ in kept if request]
        cases = [case for _, _, case in kept if case]
        for known, new_ones in ((self.asked, requests), (self.cased, cases)):
            if len(known) > REMEMBERED:
                known.clear()
            known.update(new_ones)

    def tell(self) -> None:
        """Keep the evaluations: the store joins them to their calls, whichever of the two comes first."""
        told, self.told = self.told, []
        self.came += len(told)
        self.evaluated += self.store.put_evaluations(told)[0]

    @staticmethod
    def _must_be_secret(error: UsageError) -> None:
        if error.slug != "secret-in-request":
            raise error

    def found(self, alpha: float) -> Recording:
        arms: list[Arm] = [
            arm_of(variant, model, list(cases.values()), alpha) for (variant, model), cases in self.words.items()
        ]
        left = tuple(LeftOut(why, count, places) for why, (count, places) in self.left.items())
        intake = Intake(
            dict(self.formats),
            {grade: self.fidelity[grade] for grade in ("exact", "partly", "messages") if self.fidelity[grade]},
            dict(self.guessed),
            left,
            len(self.made),
            self.matched,
            self.unanswered,
            dict(self.marked),
            evaluated=self.evaluated,
            awaiting=self.store.evaluated()[1] if self.came else 0,
        )
        matched = len({case.id for case in self.own.values()}) if self.matched else 0
        cases = len(self.made) + min(matched, self.matched)
        return Recording("", cases, self.samples, tuple(self.check_names), tuple(arms), (), self.stored, intake)


def _request(taken: Taken, program: Program) -> Request:
    """The request as it was sent; where its shape is not that of chat completions, in that shape, its text beside."""
    if taken.api == "chat" and taken.fidelity == "exact":
        return Request(program.model, program.base_url, {k: v for k, v in taken.body.items() if k != "model"})
    tools = tools_of(taken.body)
    body = {"messages": messages_of(taken.body, taken.api), **params_of(taken), **({"tools": tools} if tools else {})}
    return Request(program.model, program.base_url, body, taken.raw if taken.fidelity == "exact" else None)


def _mark(taken: Taken) -> bytes:
    """Equal for two calls only if their requests are in all that is looked at of them; empty where that is not told."""
    if taken.whole:
        return b""
    answering = None if taken.body.get("model") else taken.model
    said: Any = (taken.body, taken.raw, taken.api, taken.fidelity, taken.url, taken.provider, answering)
    try:
        return marshal.dumps(said, 2)
    except ValueError:
        return b""


def _identity(program: Program) -> str:
    return f"imported:{program.model}"


def _request_id(text: bytes) -> str:
    """The id of an imported request: like that of one that is drawn, and never the same as one."""
    return f"r1:{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def _origin(taken: Taken) -> Origin | None:
    """Where the call was traced; None where it was not."""
    ids = taken.ids
    return Origin(ids["trace"], ids.get("span", ""), ids.get("response", "")) if ids.get("trace") else None


def _series(taken: Taken) -> str:
    """What makes a call one and the same in whatever file it comes again: its ids, else its place, and what it says.

    Ids alone would not do: there are servers that give every answer the same one.
    """
    said, ids = taken.completion, taken.ids
    place = f"{ids.get('trace', '')}/{ids['record']}" if "record" in ids else Path(taken.where).name
    answer = (said.text, said.tool_calls) if said else (taken.error, taken.reward)
    text = repr((place, answer, taken.started))
    return f"imported {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=10).hexdigest()}"


def _with_others(taken: Taken, first: NewSample) -> list[NewSample]:
    """The samples of a call: one for each completion that it brought."""
    if not taken.others or first.sample.completion is not taken.completion:
        return [first]
    others = tuple(
        replace(first.sample, completion=None, error=other, usage=NOT_COUNTED, reward=None)
        if isinstance(other, str)
        else replace(first.sample, completion=other, usage=NOT_COUNTED)
        for other in taken.others
    )
    return several(replace(first, sample=replace(first.sample, siblings=others)))
