"""Compare variants of a program on the same cases: one draw of each per pair, in an order fixed beforehand."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from reroll.answer import Comparison, OutcomeWord, Pair, Rate, VariantRate, to_json
from reroll.best import Best, best_of, better_than_baseline
from reroll.case import Case
from reroll.caveats import about_runs, earlier_comparisons, these_cases, time_was_up
from reroll.compare import Compared, compare_cases, compare_path
from reroll.conclude import rate_of
from reroll.evidence import Evidence
from reroll.numbers import counts
from reroll.paired import better_log_e
from reroll.program import content_id
from reroll.runner import draw_at, tell
from reroll.runs import Runs
from reroll.session import Session, judged, one_a_call, series_of, slots, too_dear
from reroll.side_by_side import draw_side_by_side
from reroll.suite import suite_estimate
from reroll.turns import take_turns
from reroll.words import brief, compare_reply, pair_bounds

__all__ = ["Compare", "compare_variants"]

_SHARE = 8  # a batch may waste an eighth of the pairs drawn already
_FIRST = 4  # pairs; fewer never decide


@dataclass(frozen=True, slots=True)
class Compare:
    """What is compared and how: `about` a fixed suite (cases drawn at random) or the population (new cases).

    `margin`: what still counts as no different; `repeats`: pairs per case, where it is about the population;
    `gate`: of two, it is enough to know that the second one is not worse by the margin.
    """

    names: tuple[str, ...]
    cases: tuple[Case, ...]
    about: Literal["suite", "population"] = "suite"
    margin: float | None = None
    repeats: int = 1
    gate: bool = False


class _Table:
    """The draws of every variant for every case, and the fixed order in which pairs take them.

    The series belongs to this very comparison: runs that were seen before somebody thought of comparing
    would favour whichever variant had been unlucky then.
    """

    def __init__(self, sessions: Sequence[Session], asked: Compare) -> None:
        self.sessions, self.asked = sessions, asked
        programs = sorted([s.project.program.id, s.model.identity] for s in sessions)
        cases = sorted(case.content_id for case in asked.cases)
        checks = [sorted(s.checker.ids(case, s.judging)) for s in sessions[:1] for case in asked.cases]
        self.key = content_id(
            "compare", [programs, cases, checks, asked.about, asked.repeats, sessions[0].options.horizon]
        )
        self.cases = sorted(asked.cases, key=lambda case: self._hash(case.id))
        # A series names its case: cases may send the same request, and a sample counts once.
        self.places = [[slots(s, case, series=f"{self.key} {case.id}") for case in self.cases] for s in sessions]
        self.series = series_of(self.places[0])
        self.refresh(anew=True)

    def _hash(self, text: str) -> int:
        return int.from_bytes(hashlib.blake2b(f"{self.key} {text}".encode(), digest_size=8).digest())

    def case_of(self, unit: int) -> int | None:
        """Which case this pair is about; None where the cases have run out."""
        if self.asked.about == "suite":
            return self._hash(f"{self.series} {unit}") % len(self.cases)
        case = unit // self.asked.repeats
        return case if case < len(self.cases) else None

    def _rounds(self) -> list[dict[str, OutcomeWord]]:
        """The outcomes of each pair by variant, as far as every variant that is still in the running has one."""
        seen: Counter[int] = Counter()
        rounds: list[dict[str, OutcomeWord]] = []
        alike: dict[tuple[tuple[str, OutcomeWord], ...], dict[str, OutcomeWord]] = {}  # few differ: each is held once
        words = [[runs.words() for runs in row] for row in self.runs]
        present = set(self.asked.names)
        for unit in itertools.count():
            case = self.case_of(unit)
            if case is None:
                break
            found = {
                name: row[case][seen[case]]
                for name, row in zip(self.asked.names, words, strict=True)
                if seen[case] < len(row[case])
            }
            if set(found) != present:
                if not rounds or len(found) < 2 or not set(found) >= set(self.running(rounds)):
                    break
                present = set(found)
            rounds.append(alike.setdefault(tuple(found.items()), found))
            seen[case] += 1
        return rounds

    def running(self, rounds: Sequence[Mapping[str, OutcomeWord]]) -> tuple[str, ...]:
        """The variants that have not been beaten yet; of two, both."""
        if len(self.asked.names) == 2 or not rounds:
            return self.asked.names
        return self.best(rounds).surviving

    def best(self, rounds: Sequence[Mapping[str, OutcomeWord]]) -> Best:
        """Asked for several times between two batches, and it takes its time for many rounds."""
        if len(rounds) not in self.known:
            self.known[len(rounds)] = best_of(rounds, self.sessions[0].options.alpha, self.asked.margin or 0.0)
        return self.known[len(rounds)]

    def counted(self, name: str, units: int) -> list[Runs]:
        """The runs of this variant that the first `units` pairs are made of, case by case."""
        used = Counter(case for case in map(self.case_of, range(units)) if case is not None)
        return [runs.first(used[case]) for case, runs in enumerate(self.runs[self.asked.names.index(name)])]

    def refresh(self, *, anew: bool = False) -> None:
        """Read what is stored by now; `anew`: whole, since an outage has taken back what was read before."""
        self.known: dict[int, Best] = {}
        if anew:
            self.runs = [[judged(s, at) for at in row] for s, row in zip(self.sessions, self.places, strict=True)]
        else:
            for s, places, row in zip(self.sessions, self.places, self.runs, strict=True):
                for at, runs in zip(places, row, strict=True):
                    judged(s, at, runs)
        self.rounds = self._rounds()

    @property
    def begun(self) -> bool:
        return bool(self.rounds)

    def wanted(self) -> int:
        return _wanted(self)

    def judged(self) -> Iterator[tuple[Case, Runs]]:
        return ((case, runs) for row in self.runs for case, runs in zip(self.cases, row, strict=True))

    async def draw(self, units: int) -> None:
        """Make the draws that the first `units` pairs lack, of the variants still in the running, at the same time."""
        variants = self.running(self.rounds)
        needed = Counter(case for case in map(self.case_of, range(units)) if case is not None)
        work = []
        for name, session, row, runs in zip(self.asked.names, self.sessions, self.places, self.runs, strict=True):
            lacking = [(row[case], n - len(runs[case])) for case, n in needed.items() if n > len(runs[case])]
            if name in variants and lacking:
                work.append(draw_at(session, lacking))
        await take_turns(work, f"{self.places[0][0].series} {self.cases[0].id} {units}")


async def compare_variants(sessions: Sequence[Session], asked: Compare) -> Comparison:
    """How the variants compare; every draw and every verdict is stored, and the same command goes on later.

    With two variants it stops at their verdict, with more at the best one; a variant that is beaten is not run again.
    """
    first = sessions[0]
    for session in sessions:
        one_a_call(session, "a comparison pairs single runs")
        session.store.put_program(session.project.program)
    for case in asked.cases:
        first.store.put_case(case)
    table = _Table(sessions, asked)
    first.spent.reused += sum(len(runs) for row in table.runs for runs in row)
    return _concluded(table, await draw_side_by_side(table))


def _wanted(table: _Table) -> int:
    """How many pairs there should be in all after the next draws; 0: enough."""
    asked, session, rounds = table.asked, table.sessions[0], table.rounds
    n, running = len(rounds), table.running(rounds)
    _tell(table, rounds)
    over = [s for s in table.sessions if s.stopped or too_dear(s)]
    if over or _decided(table, rounds):
        return 0
    width = (session.options.concurrency or session.model.concurrency) // len(running)
    batch = min(max(_FIRST if n < _FIRST else 1, n // _SHARE), max(1, width))
    batch = -(-batch // asked.repeats) * asked.repeats
    batch = min(batch, session.left // len(running) // asked.repeats * asked.repeats)
    if asked.about == "population":
        batch = min(batch, len(table.cases) * asked.repeats - n)
    if (end := _horizon(table)) is not None:
        batch = min(batch, end - n)
    return n + batch if batch > 0 and not session.spent.out_of_time() else 0


def _horizon(table: _Table) -> int | None:
    """The declared end in pairs; it was declared in calls."""
    calls = table.sessions[0].options.horizon
    return None if calls is None else calls // 2


def _decided(table: _Table, rounds: Sequence[Mapping[str, OutcomeWord]]) -> bool:
    if not rounds:
        return False
    if len(table.asked.names) > 2:
        return table.best(rounds).verdict == "best"
    a, b = table.asked.names
    found = _compared(table, rounds, a, b, table.sessions[0].options.alpha)
    return found.verdict != "undecided" or (table.asked.gate and _pair(a, b, found, over=False).harmless)


def _compared(table: _Table, rounds: Sequence[Mapping[str, OutcomeWord]], a: str, b: str, alpha: float) -> Compared:
    """B against A over the pairs in which both ran."""
    alike: dict[tuple[OutcomeWord, OutcomeWord], tuple[OutcomeWord, OutcomeWord]] = {}
    both = ((outcomes[a], outcomes[b]) for outcomes in rounds if a in outcomes and b in outcomes)
    pairs = [alike.setdefault(pair, pair) for pair in both]
    m = table.asked.repeats
    if table.asked.about == "population" and m > 1:
        whole = len(pairs) // m * m
        return compare_cases([pairs[i : i + m] for i in range(0, whole, m)], alpha, table.asked.margin)
    return compare_path(pairs, alpha, table.asked.margin, _horizon(table))


def _tell(table: _Table, rounds: Sequence[Mapping[str, OutcomeWord]]) -> None:
    session, names = table.sessions[0], table.asked.names
    # A live line shows one rate; that of the first variant is at least the rate of something.
    seen = Evidence.of([outcomes[names[0]] for outcomes in rounds if names[0] in outcomes])
    what = "which is best?" if len(names) > 2 else f"is {brief(names[1])} better or worse?"
    beside = f"{brief(names[0])}, beside {counts('other variant', len(names) - 1)}"
    tell(session, beside, seen, what, seen.n + max(0, session.left) // len(names))


def _concluded(table: _Table, broken: str) -> Comparison:
    asked, session, rounds = table.asked, table.sessions[0], table.rounds
    names, alpha = asked.names, session.options.alpha
    share = alpha / (len(names) - 1)
    best = table.best(rounds) if rounds and len(names) > 2 else None
    dropped = {name: after for name, _, after in best.dropped} if best else {}
    pairs = tuple(
        _pair(names[0], b, _compared(table, rounds, names[0], b, share), over=bool({names[0], b} & dropped.keys()))
        for b in names[1:]
    )
    variants = tuple(
        VariantRate(name, _rate(table, rounds, name, alpha / len(names)), dropped.get(name)) for name in names
    )
    winner = best.best if best else _winner(pairs[0])
    others = tuple(name for name in best.surviving if name != winner) if best else ()
    runs = [row for name in names for row in table.counted(name, len(rounds))]
    answer = Comparison(
        best=winner,
        about=asked.about,
        variants=variants,
        pairs=pairs,
        cases=tuple(case.id for case in asked.cases),
        models=tuple(s.model.identity for s in table.sessions),
        # Before the cost: a judge may be asked for them about runs that do not count.
        caveats=tuple(_caveats(table)),
        cost=session.spent.cost(),
        alike=others if winner else (),
        text=compare_reply(
            names,
            variants,
            pairs,
            winner,
            others,
            asked.margin,
            asked.about,
            len({table.case_of(unit) for unit in range(len(rounds))}),
        ),
        # Of two variants that fail equally often both words may be wrong. Then the interval, whose upper side the
        # smallest drop widens to alpha, and the rates.
        alpha_total=round(min(1.0, (2 + 1.5 + 1) * alpha + (alpha if best else 0.0)), 12),
        promising=_promising(rounds, names, alpha) if best else (),
        outcomes=tuple(tuple(outcomes.get(name) for name in names) for outcomes in rounds),
        stopped=broken or _why(table, rounds),
        finished=not broken and not any(s.stopped or s.spent.cut_short for s in table.sessions),
    )
    _keep(table, answer, runs)
    return answer


def _promising(rounds: Sequence[Mapping[str, OutcomeWord]], names: Sequence[str], alpha: float) -> tuple[str, ...]:
    """By the evidence as it stands now: a variant's own best moment would break the false discovery rate."""
    log_es = {}
    for name in names[1:]:
        both = [(outcomes[names[0]], outcomes[name]) for outcomes in rounds if {names[0], name} <= outcomes.keys()]
        won = sum(a == "fail" and b == "pass" for a, b in both)
        log_es[name] = better_log_e(won, sum(a != "fail" and b != "pass" for a, b in both))
    return better_than_baseline(log_es, alpha)


def _rate(table: _Table, rounds: Sequence[Mapping[str, OutcomeWord]], name: str, alpha: float) -> Rate:
    """How often this variant failed; where cases were repeated, with the range for new cases: the case is the unit."""
    words = [outcomes[name] for outcomes in rounds if name in outcomes]
    m = table.asked.repeats
    if m == 1:
        return rate_of(words, alpha)
    seen = Evidence.of(words)
    cases = [Evidence.of(words[i : i + m]) for i in range(0, len(words) // m * m, m)]
    mean = suite_estimate(cases, alpha).mean
    return Rate(
        seen.failures, seen.n, seen.invalid, mean.value, mean.low or 0.0, 1.0 if mean.high is None else mean.high, alpha
    )


def _winner(pair: Pair) -> str | None:
    return {"better": pair.b, "worse": pair.a}.get(pair.verdict)


def _pair(a: str, b: str, found: Compared, *, over: bool) -> Pair:
    """`over`: one of the two was beaten, so there will be no further pair of them."""
    log_e = {
        "better": found.log_e_better,
        "worse": found.log_e_worse,
        "no_different": found.log_e_no_different or 0.0,
        "undecided": max(found.log_e_better, found.log_e_worse),
    }[found.verdict]
    pair = Pair(
        a=a,
        b=b,
        verdict=found.verdict,
        difference=found.difference,
        log_e=log_e,
        alpha=found.alpha,
        margin=found.margin,
        smallest_drop=found.smallest_drop,
        pairs_needed=None if over and found.pairs_needed else found.pairs_needed,
        unit=found.unit,
    )
    if pair.difference.value is None:
        return pair
    low, high = pair_bounds(pair)  # what verdict and interval say together, as every screen says it
    return replace(pair, difference=replace(pair.difference, low=low, high=high))


def _why(table: _Table, rounds: Sequence[Mapping[str, OutcomeWord]]) -> str:
    session = table.sessions[0]
    if any(s.stopped for s in table.sessions):
        return "stopped by you; the same command goes on from here"
    if rounds and _decided(table, rounds):
        return "the question was decided"
    if session.spent.cut_short:
        return time_was_up(session)
    if any(too_dear(s) for s in table.sessions):
        return f"the spending cap of ${session.options.max_usd:g} was reached; a higher --max-usd goes on from here"
    if any(s.exhausted for s in table.sessions):
        return f"the recording has no more completions ({counts('pair', len(rounds))})"
    if table.case_of(len(rounds)) is None:
        return f"every one of the {counts('case', len(table.cases))} has been used; more takes new cases"
    if _horizon(table) is not None and len(rounds) >= (_horizon(table) or 0):
        return f"the declared horizon of {counts('call', session.options.horizon or 0)} was reached"
    budget = counts("call", session.options.budget)
    return f"the budget of {budget} was spent; the same command with a higher --budget goes on from here"


def _caveats(table: _Table) -> Iterator[str]:
    """What to keep in mind; what holds of some variants only names them."""
    names = table.asked.names
    of: dict[str, list[str]] = {}
    for name, session, places in zip(names, table.sessions, table.places, strict=True):
        for note in about_runs(session, places, table.counted(name, len(table.rounds))):
            of.setdefault(note, []).append(name)
    for note, about in of.items():
        whose = "each variant" if len(about) == len(names) else ", ".join(brief(name) for name in about)
        yield f"{whose}: {note}"
    alpha = table.sessions[0].options.alpha
    programs = [s.project.program.id for s in table.sessions]
    yield from earlier_comparisons(table.sessions[0], programs, table.series, alpha)
    if picked := [at.case for at in table.places[0] if at.case.set != "control" and table.asked.about == "population"]:
        yield (
            f"{counts('case', len(picked))} of these {'is' if len(picked) == 1 else 'are'} no control: cases that were "
            "reported because the program failed on them favour every other variant"
        )
    if table.asked.about == "suite":
        yield (
            f"this speaks of {these_cases(len(table.cases))} only; new requests "
            "may differ (--about population asks about those)"
        )


def _keep(table: _Table, answer: Comparison, runs: Sequence[Runs]) -> None:
    """One row per verdict, naming the samples, so that each can be replayed and audited."""
    session = table.sessions[0]
    ids = {i for case in table.cases for i in session.checker.ids(case, session.judging)}
    for pair in answer.pairs:
        session.store.add_decision(
            rule="compare/1",
            question=f"compare {answer.about}",
            program_id=session.project.program.id,
            alpha=pair.alpha,
            horizon=session.options.horizon,
            checks_ids=sorted(ids),
            verdict=pair.verdict,
            stop_reason=answer.stopped,
            seqs=chain.from_iterable(row.seqs for row in runs),
            evidence={
                **to_json(pair),
                "best": answer.best,
                "series": table.series,
                "alpha_of_run": session.options.alpha,
                "cases": list(answer.cases),
                "programs": [s.project.program.id for s in table.sessions],
            },
        )
