"""Wordings of one request run in rounds, side by side in random order, until it is told whether they fail alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from reroll.answer import to_json
from reroll.case import Case
from reroll.caveats import about_runs, time_was_up
from reroll.conclude import rate_of
from reroll.evidence import Evidence
from reroll.numbers import counts
from reroll.program import content_id
from reroll.reworded import Dropped, Reworded, WordingRate
from reroll.runner import draw_at, tell
from reroll.runs import Runs
from reroll.session import Session, judged, one_a_call, slots, too_dear
from reroll.side_by_side import draw_side_by_side
from reroll.turns import take_turns
from reroll.wording import Wording
from reroll.wording_rounds import Standing, spread_of, standing

__all__ = ["Compared", "compare_wordings"]

_SHARE = 8  # a batch may waste an eighth of the rounds drawn already
_FIRST = 4  # rounds; fewer hardly ever tell
_FAR = 1_000_000  # calls; nothing is forecast beyond


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared: wordings, the first one as it is asked now, and the kind of each; replies dropped."""

    wordings: tuple[Wording, ...]
    kinds: tuple[str, ...]
    margin: float | None = None
    written: int = 0
    dropped: tuple[Dropped, ...] = ()


class _Rounds:
    """The runs of every wording, in a series that belongs to this very set of wordings: what was run before somebody
    thought of comparing them would favour whichever had been lucky then."""

    def __init__(self, sessions: Sequence[Session], case: Case, asked: Compared) -> None:
        self.sessions, self.case, self.asked = sessions, case, asked
        first = sessions[0]
        programs = sorted([s.project.program.id, s.model.identity] for s in sessions)
        self.key = content_id(
            "phrase",
            [sessions[0].project.program.id, programs, case.content_id, sorted(first.checker.ids(case, first.judging))],
        )
        self.places = [slots(s, case, series=f"{self.key} {case.id}") for s in sessions]
        self.refresh(anew=True)

    def refresh(self, *, anew: bool = False) -> None:
        """Read what is stored by now; `anew`: whole, since an outage has taken back what was read before."""
        if anew:
            self.runs: list[Runs] = [judged(s, at) for s, at in zip(self.sessions, self.places, strict=True)]
        else:
            for s, at, runs in zip(self.sessions, self.places, self.runs, strict=True):
                judged(s, at, runs)
        alpha = self.sessions[0].options.alpha
        self.rows = list(zip(*(runs.words() for runs in self.runs), strict=False))
        self.stand: Standing = standing(self.rows, alpha, self.asked.margin)

    async def draw(self, rounds: int) -> None:
        """Make the runs that so many rounds still lack, all at the same time, the wordings in an order of chance."""
        work = []
        for session, at, runs in zip(self.sessions, self.places, self.runs, strict=True):
            if rounds > len(runs):
                work.append(draw_at(session, [(at, rounds - len(runs))]))
        await take_turns(work, f"{self.places[0].series} {rounds}")

    @property
    def begun(self) -> bool:
        return bool(self.rows)

    def wanted(self) -> int:
        return _wanted(self)

    def judged(self) -> Iterator[tuple[Case, Runs]]:
        return ((self.case, runs) for runs in self.runs)


async def compare_wordings(sessions: Sequence[Session], case: Case, asked: Compared) -> Reworded:
    """How far apart the wordings fail, beside their re-runs; every run is stored, and the same command goes on later.

    It stops at a verdict. One that may mean something else is still run: once a run of it passes, it is counted.
    """
    for session in sessions:
        one_a_call(session, "a round takes single runs of each wording")
        session.store.put_program(session.project.program)
    sessions[0].store.put_case(case)
    table = _Rounds(sessions, case, asked)
    sessions[0].spent.reused += sum(len(runs) for runs in table.runs)
    return _concluded(table, await draw_side_by_side(table))


def _over(table: _Rounds) -> bool:
    return bool(table.rows) and table.stand.verdict != "undecided"


def _wanted(table: _Rounds) -> int:
    """How many rounds there should be in all after the next draws; 0: enough."""
    session, n, width = table.sessions[0], len(table.rows), len(table.sessions)
    seen = Evidence.of(table.runs[0].words())
    others = counts("other wording", width - 1)
    budget = seen.n + max(0, session.left) // width
    tell(session, f"{table.case.id}, beside {others}", seen, "is it the wording?", budget)
    if _over(table) or any(s.stopped or too_dear(s) for s in table.sessions):
        return 0
    at_once = (session.options.concurrency or session.model.concurrency) // width
    batch = min(max(_FIRST if n < _FIRST else 1, n // _SHARE), max(1, at_once), session.left // width)
    return n + batch if batch > 0 and not session.spent.out_of_time() else 0


def _concluded(table: _Rounds, broken: str) -> Reworded:
    asked, session, stand = table.asked, table.sessions[0], table.stand
    alpha, names = session.options.alpha, [one.name for one in asked.wordings]
    counted = [table.runs[j].words()[: len(table.rows)] for j in stand.kept]
    answer = Reworded(
        verdict=stand.verdict,
        case=table.case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        wordings=tuple(
            WordingRate(
                name,
                kind,
                one.says,
                rate_of(table.runs[j].words(), alpha / len(names)),
                stand.aside.get(j),
                j in stand.pending,
            )
            for j, (name, kind, one) in enumerate(zip(names, asked.kinds, asked.wordings, strict=True))
        ),
        spread=spread_of([Evidence.of(words) for words in counted], alpha),
        margin=asked.margin,
        rounds=len(table.rows),
        decided_at=stand.decided_at,
        calls_needed=_needed(table),
        log_e=stand.log_e,
        written=asked.written,
        dropped=asked.dropped,
        outcomes=tuple(table.rows),
        # Before the cost: a judge may be asked for them about runs that do not count.
        caveats=tuple(_caveats(table)),
        cost=session.spent.cost(),
        alpha=alpha,
        alpha_total=round(min(1.0, 2 * alpha), 12),
        finished=not broken and not any(s.stopped or s.spent.cut_short for s in table.sessions),
        stopped=broken or _why(table),
    )
    _keep(table, answer)
    return answer


def _needed(table: _Rounds) -> int | None:
    """About how many more calls bring a verdict, if evidence grows as it did; 0: there is one; None: none in sight."""
    stand, margin, alpha = table.stand, table.asked.margin, table.sessions[0].options.alpha
    if stand.verdict != "undecided":
        return 0
    if not stand.rounds or stand.pending:
        return None
    found = [(stand.log_e, stand.needs)]
    if margin is not None and stand.log_e_alike is not None:
        found.append((stand.log_e_alike, -math.log(alpha)))
    rounds = [math.ceil((needs - log_e) * stand.rounds / log_e) for log_e, needs in found if log_e > 0]
    calls = min(rounds, default=_FAR) * len(table.sessions)
    return calls if 0 < calls < _FAR else None


def _why(table: _Rounds) -> str:
    session = table.sessions[0]
    if any(s.stopped for s in table.sessions):
        return "stopped by you; the same command goes on from here"
    if table.rows and table.stand.verdict != "undecided":
        return "the question was decided"
    if session.spent.cut_short:
        return time_was_up(session)
    if any(too_dear(s) for s in table.sessions):
        return f"the spending cap of ${session.options.max_usd:g} was reached; a higher --max-usd goes on from here"
    if any(s.exhausted for s in table.sessions):
        return f"the recording has no more completions ({counts('round', len(table.rows))})"
    budget = counts("call", session.options.budget)
    return f"the budget of {budget} was spent; the same command with a higher --budget goes on from here"


def _caveats(table: _Rounds) -> list[str]:
    said = []
    for one, session, at, runs in zip(table.asked.wordings, table.sessions, table.places, table.runs, strict=True):
        notes = about_runs(session, [at], [runs])
        said += [note if "earlier command" in note else f"{one.name}: {note}" for note in notes]
    asked = table.asked
    if asked.dropped:
        why = Counter(reply.why.split(" “")[0].split(":")[0] for reply in asked.dropped)
        reasons = ", ".join(f"{n} × {reason}" for reason, n in sorted(why.items(), key=lambda kv: (-kv[1], kv[0])))
        said.append(
            f"{counts('reply', len(asked.dropped))} of {asked.written} that the model wrote as wordings could not be "
            f"used ({reasons}); for example {asked.dropped[0].sample}"
        )
    for j, after in table.stand.aside.items():
        said.append(
            f"{asked.wordings[j].name} failed in every round while others passed; were it like them, what was seen by "
            f"round {after} would hardly ever happen. Whether it asks for something else or never works, failures "
            "cannot tell"
        )
    if table.asked.margin is None and table.stand.verdict == "undecided":
        said.append("that wordings do not differ is never said without a margin; --margin 0.1 asks for it")
    said.append(
        f"this speaks of {counts('wording', len(table.stand.kept))} of one request, not of all that one could say"
    )
    return list(dict.fromkeys(said))


def _keep(table: _Rounds, answer: Reworded) -> None:
    """The verdict with the samples that it rests on, so that it can be replayed and audited."""
    session = table.sessions[0]
    session.store.add_decision(
        rule="phrase/1",
        question="phrase wordings",
        program_id=session.project.program.id,
        alpha=answer.alpha,
        horizon=None,
        checks_ids=sorted(session.checker.ids(table.case, session.judging)),
        verdict=answer.verdict,
        stop_reason=answer.stopped,
        seqs=chain.from_iterable(runs.first(len(table.rows)).seqs for runs in table.runs),
        evidence={
            "log_e": answer.log_e,
            "margin": answer.margin,
            "rounds": answer.rounds,
            "series": table.places[0].series,
            "aside": {table.asked.wordings[j].name: after for j, after in table.stand.aside.items()},
            "spread": None if answer.spread is None else to_json(answer.spread),
            "programs": [s.project.program.id for s in table.sessions],
            "wordings": [one.name for one in table.asked.wordings],
        },
    )
