"""Neighbours held against the baseline: a few runs of each, stored and never drawn twice; and those that it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reroll.case import Case
from reroll.caveats import time_was_up
from reroll.errors import UsageError
from reroll.evidence import Evidence
from reroll.neighbourhood import Neighbourhood, Tried, chance_aside, stands
from reroll.neighbours import KINDS, LOOKALIKE, WRITTEN, Neighbour, as_neighbour, new_id
from reroll.numbers import counts
from reroll.pinned import pinned
from reroll.program import Program
from reroll.reworded import Dropped
from reroll.runner import crashing_check, draw_at, tell
from reroll.runs import Runs
from reroll.session import Session, Slots, judged, slots, too_dear

__all__ = ["AskedNeighbours", "from_wordings", "text_input", "try_neighbours", "written_to"]

SERIES = "neighbours"  # of their own: what chose a case must not count for its rate
ORDER = (*KINDS, WRITTEN, LOOKALIKE)


@dataclass(frozen=True, slots=True)
class AskedNeighbours:
    """What is tried: candidates in the order in which they are taken, at most so many, at most so many runs of each."""

    case: Case
    candidates: tuple[Neighbour, ...]
    count: int
    runs: int
    near: tuple[tuple[str, float], ...] = ()
    written: int = 0
    dropped: tuple[Dropped, ...] = ()


def text_input(case: Case, program: Program) -> str:
    """The name of the one text that the program takes of the case, which other words can stand for.

    Raises: UsageError where there is none, or several.
    """
    seen = pinned(case, program).seen
    names = [name for name, value in case.input.items() if name in seen and isinstance(value, str) and value.strip()]
    if len(names) != 1:
        what = f"several texts ({', '.join(names)})" if names else "no text"
        raise UsageError(
            f"case `{case.id}` has {what} as input, and --write asks for other words of one; leave --write out",
            slug="no-neighbours",
        )
    return names[0]


def from_wordings(
    case: Case, program: Program, cases: Sequence[Case], others: Sequence[Neighbour], wordings: Sequence[str]
) -> list[Neighbour]:
    """The wordings as neighbours, without those whose input another one has."""
    key = text_input(case, program)
    known = {case.content_id, *(c.content_id for c in cases), *(n.case.content_id for n in others)}
    taken = {c.id for c in cases} | {n.id for n in others}
    found = []
    for words in wordings:
        new = case.model_copy(update={"input": {**case.input, key: words}})
        if new.content_id not in known:
            known.add(new.content_id)
            id = new_id(case.id, WRITTEN, taken)
            taken.add(id)
            found.append(Neighbour(as_neighbour(new, case, id), WRITTEN, "the model's own words"))
    return found


@dataclass(slots=True)
class _Table:
    """The candidates that are tried, each with its runs; those of earlier commands that are aside need none."""

    session: Session
    asked: AskedNeighbours
    chosen: list[Neighbour] = field(default_factory=list)
    places: list[Slots] = field(default_factory=list)
    runs: list[Runs] = field(default_factory=list)

    def choose(self) -> None:
        """Take candidates in their order until there are enough of which it is not known that they are no good."""
        wanted = self.asked.count
        for one in self.asked.candidates:
            if wanted < 1:
                return
            at = slots(self.session, one.case, series=SERIES)
            self.session.store.put_case(one.case)
            runs = judged(self.session, at)
            self.session.spent.reused += len(runs)
            self.chosen.append(one)
            self.places.append(at)
            self.runs.append(runs)
            wanted -= self.tried(len(self.chosen) - 1).standing != "aside"

    def tried(self, k: int) -> Tried:
        return stands(self.chosen[k], self.runs[k].words(), self.asked.runs)

    def open(self) -> list[int]:
        return [k for k in range(len(self.chosen)) if self.tried(k).standing == "open"]

    async def round(self) -> bool:
        """One more run of each that is open, as far as the budget goes; False: none is wanted, or can be had."""
        session, wanted = self.session, self.open()
        self._tell(len(wanted))
        if not wanted or session.left <= 0 or session.stopped or session.exhausted or too_dear(session):
            return False
        if session.spent.out_of_time():
            return False
        await draw_at(session, [(self.places[k], 1) for k in wanted[: session.left]])
        for k in wanted:
            judged(session, self.places[k], self.runs[k])
            crashing_check(self.chosen[k].case, self.runs[k])
        return True

    def _tell(self, left: int) -> None:
        seen = Evidence.of([word for runs in self.runs for word in runs.words()])
        name = f"{self.asked.case.id}, {counts('neighbour', left)} to try"
        tell(self.session, name, seen, "does one run pass?", seen.n + max(0, self.session.left))


async def try_neighbours(session: Session, asked: AskedNeighbours) -> Neighbourhood:
    """What the baseline's runs say of each candidate: round by round, a candidate at its first pass no more.

    Raises: as `draw_at`; UsageError where a check crashes on every run. What was drawn is stored.
    """
    session.store.put_program(session.project.program)
    table = _Table(session, asked)
    table.choose()
    while await table.round():
        pass
    tried = sorted((table.tried(k) for k in range(len(table.chosen))), key=_place)
    _keep(table)
    return Neighbourhood(
        case=asked.case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        tried=tuple(tried),
        near=asked.near,
        most=asked.runs,
        written=asked.written,
        dropped=asked.dropped,
        file=None,
        cost=session.spent.cost(),
        caveats=tuple(_caveats(asked, tried)),
        dry=False,
        finished=not table.open(),
        stopped=_why(session, table),
    )


def _place(one: Tried) -> tuple[int, int]:
    """By kind, then by number: neighbours of one kind stand together, so that halves part each evenly."""
    number = one.neighbour.id.rpartition("-")[2]
    return ORDER.index(one.neighbour.kind), int(number) if number.isdigit() else 0


def _why(session: Session, table: _Table) -> str:
    if not table.open():
        return "each one was told"
    if session.stopped:
        return "stopped by you; the same command goes on from here"
    if session.spent.cut_short:
        return time_was_up(session)
    if too_dear(session):
        return f"the spending cap of ${session.options.max_usd:g} was reached; a higher --max-usd goes on from here"
    if session.exhausted:
        return "the recording has no more completions"
    budget = counts("call", session.options.budget)
    return f"the budget of {budget} was spent; the same command with a higher --budget goes on from here"


def _caveats(asked: AskedNeighbours, tried: Sequence[Tried]) -> list[str]:
    said = []
    if asked.dropped:
        why = Counter(reply.why.split(" “")[0].split(":")[0] for reply in asked.dropped)
        reasons = ", ".join(f"{n} × {reason}" for reason, n in sorted(why.items(), key=lambda kv: (-kv[1], kv[0])))
        said.append(f"{counts('reply', len(asked.dropped))} of {asked.written} could not be used ({reasons})")
    if any(one.standing == "kept" and one.neighbour.kind == WRITTEN for one in tried):
        said.append("what the model wrote keeps names, numbers and dates; that it means the same, a person should read")
    if any(one.standing == "aside" and one.neighbour.kind != LOOKALIKE for one in tried):
        said.append(
            f"a neighbour that fails in 9 of 10 runs is set aside with a chance of {chance_aside(0.9, asked.runs)} "
            f"({counts('run', asked.runs)} each); more --runs find it"
        )
    said.append("these runs chose the cases, so no failure rate counts them: later commands draw anew")
    return said


def _keep(table: _Table) -> None:
    """What was decided, with the samples that it rests on."""
    session, found = table.session, [table.tried(k) for k in range(len(table.chosen))]
    session.store.add_decision(
        rule="neighbours/1",
        question=f"neighbours of {table.asked.case.id}",
        program_id=session.project.program.id,
        alpha=session.options.alpha,
        horizon=None,
        checks_ids=sorted(session.checker.ids(table.asked.case, session.judging)),
        verdict="told" if not table.open() else "undecided",
        stop_reason=_why(session, table),
        seqs=[seq for runs in table.runs for seq in list(runs.seqs)],
        evidence={
            "runs": table.asked.runs,
            "cases": {one.neighbour.id: [one.standing, one.passes, one.runs] for one in found},
        },
    )


def written_to(found: Neighbourhood, file: str) -> Neighbourhood:
    """The answer, once what was kept stands in this file."""
    return replace(found, file=file)
