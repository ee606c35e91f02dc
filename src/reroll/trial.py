"""Fixes run beside the baseline on sets of cases: pair by pair on the same inputs, in an order fixed beforehand.

Where a fix only adds steps around the model, its run takes the very completion that the baseline got, so that a
pair costs one call; where it provably does nothing to a request, the pair is a tie and costs none.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reroll.case import Case
from reroll.engine import run_draws
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.fix import Fix
from reroll.models.model import Draw, Model, bare
from reroll.models.shared import SharedModel
from reroll.models.stepped import around, calls_at_most
from reroll.program import Program, content_id
from reroll.reduction import Pairs, pairs_of
from reroll.runner import crashing_check, draw_at
from reroll.runs import Runs
from reroll.sample import Sample
from reroll.session import Session, Slots, judged, one_a_call, slots
from reroll.step_forms import Rewrite, Step, acts_before, steps_of
from reroll.step_record import taken
from reroll.steps import asks, fires_on, input_text
from reroll.turns import take_turns

__all__ = ["RATES", "Trial", "Variant", "only_adds_steps", "untouched"]

PAIR = "baseline run "  # stands before the index where a server's fingerprint would
RATES = ("case", "neighbour", "choosing")  # sets whose failure rate is needed, ties or not


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of a run that may share. whose: the index of the baseline's run whose completion it got; broke:
    what the fix's own step broke on, empty where it did not."""

    whose: int | None
    broke: str
    blocked: bool


@dataclass(slots=True)
class Variant:
    """One program under trial. fix: None for the baseline; shared: its runs take the baseline's completions."""

    name: str
    session: Session
    fix: Fix | None = None
    shared: bool = False
    places: dict[str, list[Slots]] = field(default_factory=dict)
    runs: dict[str, list[Runs]] = field(default_factory=dict)
    ties: dict[str, frozenset[int]] = field(default_factory=dict)  # cases that the fix does nothing to
    read: dict[tuple[str, int], dict[int, Read]] = field(default_factory=dict)  # by set and case, then by `seq`

    @property
    def program(self) -> Program:
        return self.session.project.program


def only_adds_steps(before: Program, after: Program) -> bool:
    """Whether the second differs from the first only in further steps after the same ones."""
    same = after.steps[: len(before.steps)] == before.steps
    return same and after.model_copy(update={"steps": before.steps}).id == before.id


def untouched(before: Program, after: Program, case: Case) -> bool:
    """Whether the fix provably changes nothing for this case: the same is sent, and no new step can act on it."""
    if not only_adds_steps(before, after):
        return False
    sent = before.render(case.input, case.history)
    was, now = steps_of(before), steps_of(after)
    rewritten = any(acts_before(step) for step in was)

    def idle(step: Step) -> bool:
        # What `when` says of the input is held against what came in, what `replace` finds against what became of it.
        if rewritten and isinstance(step, Rewrite) and step.on == "input":
            return not asks(step.when, input_text(sent))
        return fires_on(step, sent) is False

    return all(idle(step) for step in now[len(was) :])


class Trial:
    """The runs of the baseline and of fixes, set by set and case by case, read from the store and drawn on demand.

    The series belongs to this very trial: runs that were seen before a fix was thought of would favour it.
    """

    def __init__(
        self, baseline: Session, fixed: Sequence[tuple[str, Fix, Session]], sets: Mapping[str, Sequence[Case]], of: str
    ) -> None:
        """`of`: what else names this trial, such as its phase."""
        self.sets = {name: tuple(cases) for name, cases in sets.items()}
        programs = [baseline.project.program.id, sorted(s.project.program.id for _, _, s in fixed)]
        cases = {name: sorted(case.content_id for case in cases) for name, cases in self.sets.items()}
        checks = sorted(
            {i for cases in self.sets.values() for c in cases for i in baseline.checker.ids(c, baseline.judging)}
        )
        for session in (baseline, *(s for _, _, s in fixed)):
            one_a_call(session, "a trial pairs single runs")
        self.key: str = content_id("try", [of, baseline.model.identity, programs, cases, checks])
        self.baseline = Variant("baseline", baseline)
        self.fixes = [self._variant(name, fix, session) for name, fix, session in fixed]
        self._order: dict[str, list[int]] = {}
        self._waiting: dict[tuple[str, str], list[int]] = {}  # by fix and series: baseline runs to be paired next
        self._given: dict[tuple[str, str, int], int] = {}  # by fix, series and index: the baseline's run
        again = self._again()
        for variant in self.all:
            for name, members in self.sets.items():
                variant.places[name] = [
                    slots(variant.session, c, series=f"{self._series(name, c)}{again}", variant=variant.name)
                    for c in members
                ]
        # No address, so that the same trial elsewhere takes the same cases in the same order.
        self._shuffle = content_id("order", [of, sorted(fix.id for _, fix, _ in fixed), cases]) + again
        self.refresh()

    def _series(self, of: str, case: Case) -> str:
        return f"{self.key} {of} {case.id}"

    def _again(self) -> str:
        """What a trial that starts anew adds to its series and its order; it keeps both when it goes on.

        The first case tells for all: one that was not reached before it was broken off has no series yet to tell by.
        """
        of, case = next((of, case) for of, cases in self.sets.items() for case in cases)
        usual = self._series(of, case)
        return slots(self.baseline.session, case, series=usual, variant="baseline").series.removeprefix(usual)

    @property
    def name(self) -> str:
        """What tells this trial from others of the same fixes: one that goes on has the same, one from zero another."""
        return self.key + self._again()

    @property
    def all(self) -> list[Variant]:
        return [self.baseline, *self.fixes]

    def variant(self, name: str) -> Variant:
        return next(one for one in self.all if one.name == name)

    def _variant(self, name: str, fix: Fix, session: Session) -> Variant:
        before, after = self.baseline.program, session.project.program
        found = Variant(name, session, fix, shared=only_adds_steps(before, after))
        if found.shared:
            model: Model = SharedModel(bare(session.model), lambda draw: self._first(found, draw))
            # Only here can a draw be given what is there already: actors of a cluster open the model anew.
            found.session = session.like(model=around(model, after, session.checker), engine=run_draws)
        found.ties = {
            of: frozenset(k for k, case in enumerate(cases) if untouched(before, after, case))
            for of, cases in self.sets.items()
        }
        return found

    # -- the fixed order

    def case_of(self, of: str, unit: int) -> int:
        """Which case of a set this pair is about: each with the same chance, whatever came before."""
        known = self._order.setdefault(of, [])
        while unit >= len(known):
            digest = hashlib.blake2b(f"{self._shuffle} {of} {len(known)}".encode(), digest_size=8).digest()
            known.append(int.from_bytes(digest) % len(self.sets[of]))
        return known[unit]

    def _idle(self, of: str) -> frozenset[int]:
        """Cases of a set that nothing needs to be run on: every fix leaves them as they are, and no rate is asked."""
        if of in RATES or not self.fixes:
            return frozenset()
        return frozenset.intersection(*(variant.ties[of] for variant in self.fixes))

    def alike(self, name: str) -> tuple[str, ...]:
        """The sets in which this fix does nothing to any case."""
        ties = self.variant(name).ties
        return tuple(of for of, cases in self.sets.items() if cases and len(ties[of]) == len(cases))

    # -- what there is

    def refresh(self, only: Collection[Slots] | None = None) -> None:
        """Read what is stored by now: what is new at these places, or (None) everything anew, as after an outage."""
        for variant in self.all:
            for of, places in variant.places.items():
                known = variant.runs.setdefault(of, [])
                for k, (case, at) in enumerate(zip(self.sets[of], places, strict=True)):
                    if only is None:
                        known[k:] = [judged(variant.session, at)]
                    elif at in only:
                        known[k] = judged(variant.session, at, known[k])
                    else:
                        continue
                    if variant.shared:
                        self._read(variant, of, k)
                    crashing_check(case, known[k])

    def _read(self, variant: Variant, of: str, k: int) -> None:
        """Of a run that shares: whose completion it got, whether its own steps broke, and what it withheld."""
        runs = variant.runs[of][k]
        known = variant.read.setdefault((of, k), {})
        new = [seq for seq in runs.seqs if seq not in known]
        for one in variant.session.store.of_seqs(new, payload=True):
            took = taken(one.sample)
            first = took.drawn[0] if took and took.drawn else None
            whose = (first.fingerprint or "") if first is not None and not first.calls else ""
            broke = one.sample.error is not None and (took is None or not took.drawn or took.drawn[-1].error is None)
            known[one.seq] = Read(
                int(whose.removeprefix(PAIR)) if whose.startswith(PAIR) else None,
                (one.sample.error or "no words") if broke else "",
                one.sample.completion is not None and one.sample.completion.finish_reason == "blocked",
            )

    def _partners(self, variant: Variant, of: str, case: int) -> dict[int, int]:
        """By the index of the baseline's run: which run of this fix is its pair. A run without a completion of the
        baseline's stands beside any, in order."""
        base, runs = self.baseline.runs[of][case].indices, variant.runs[of][case]
        if not variant.shared:
            return dict(zip(base, range(len(runs)), strict=False))
        read = variant.read.get((of, case), {})
        found: dict[int, int] = {}
        free = []
        for place, seq in enumerate(runs.seqs):
            whose = read[seq].whose if seq in read else None
            if whose is None:
                free.append(place)
            else:
                found.setdefault(whose, place)
        rest = (index for index in base if index not in found)
        return found | dict(zip(rest, free, strict=False))

    def _words(self, variant: Variant, of: str, case: int) -> list[str]:
        """The outcomes of its runs; one whose own steps broke has failed, whatever the model said."""
        runs = variant.runs[of][case]
        words: list[str] = list(runs.words())
        read = variant.read.get((of, case), {})
        if variant.fix is not None and read:
            words = ["fail" if seq in read and read[seq].broke else w for seq, w in zip(runs.seqs, words, strict=True)]
        return words

    def rounds(self, of: str, names: Sequence[str], *, real: bool = False) -> list[dict[str, str]]:
        """The outcomes of these variants unit by unit, as far as all of them have one; a tie takes the baseline's.

        A unit that was never run, since nothing can differ, is a pass of all; with `real` it is left out.
        """
        idle, seen = self._idle(of), Counter[int]()
        if len(idle) == len(self.sets[of]):
            return []
        cases = range(len(self.sets[of]))
        taking = [v for v in self.all if v.name in (*names, "baseline")]
        words = {v.name: [self._words(v, of, case) for case in cases] for v in taking}
        partners = {v.name: [self._partners(v, of, case) for case in cases] for v in taking if v.fix is not None}
        base = [self.baseline.runs[of][case].indices for case in cases]
        out: list[dict[str, str]] = []
        for unit in range(1 << 40):
            case = self.case_of(of, unit)
            if case in idle:
                if not real:
                    out.append(dict.fromkeys(names, "pass"))
                continue
            k = seen[case]
            if k >= len(base[case]):
                return out
            found: dict[str, str] = {}
            for name in names:
                if name == "baseline" or case in self.variant(name).ties[of]:
                    found[name] = words["baseline"][case][k]
                    continue
                place = partners[name][case].get(base[case][k])
                if place is None:
                    return out
                found[name] = words[name][case][place]
            seen[case] += 1
            out.append(found)
        raise AssertionError("no end of units")

    def withheld(self, variant: Variant) -> tuple[int, int]:
        """In how many runs this fix withheld the answer, and in how many of those the baseline's was right."""
        total = right = 0
        old = sum(step.get("step") == "block" for step in self.baseline.program.steps)
        if sum(step.get("step") == "block" for step in variant.program.steps) == old:
            return 0, 0
        for (of, case), read in variant.read.items():
            runs, words = variant.runs[of][case], self.baseline.runs[of][case].words()
            places = {place: k for k, place in self._by_place(variant, of, case)}
            for place, seq in enumerate(runs.seqs):
                if seq in read and read[seq].blocked and place in places:
                    total += 1
                    right += words[places[place]] == "pass"
        return total, right

    def broken(self, variant: Variant) -> tuple[int, str]:
        """In how many runs a step of this fix broke, and on what; that a model brought nothing is not among them."""
        why = [one.broke for read in variant.read.values() for one in read.values() if one.broke]
        return len(why), why[0] if why else ""

    def _by_place(self, variant: Variant, of: str, case: int) -> list[tuple[int, int]]:
        """The baseline's runs in order, each with the place of its pair."""
        partners = self._partners(variant, of, case)
        return [
            (k, partners[index]) for k, index in enumerate(self.baseline.runs[of][case].indices) if index in partners
        ]

    def shared_part(self, variant: Variant) -> float:
        """Which part of its runs really took a completion of the baseline's."""
        read = [one for known in variant.read.values() for one in known.values()]
        return sum(one.whose is not None for one in read) / len(read) if read else 0.0

    def pairs(self, name: str, of: str) -> Pairs:
        """Baseline and this fix, on one set."""
        both = [(found["baseline"], found[name]) for found in self.rounds(of, ["baseline", name])]
        return pairs_of(both)

    # -- drawing

    def calls_for(self, units: Mapping[str, int], names: Collection[str]) -> int:
        """How many calls it takes at most until there are so many units in all of each set."""
        lacking = self._lacking(units, names, ahead=True)
        return sum(n * self._each(self.variant(name)) for name, work in lacking.items() for _, n in work)

    def _each(self, variant: Variant) -> int:
        """Calls that one run takes at most."""
        most = calls_at_most(variant.session.model)
        if not variant.shared:
            return most
        new = steps_of(variant.program)[len(self.baseline.program.steps) :]
        return most if any(acts_before(step) for step in new) else most - calls_at_most(self.baseline.session.model)

    async def draw(self, units: Mapping[str, int], names: Collection[str]) -> None:
        """Make the draws that so many units in all of each set lack, of the baseline and these fixes.

        Raises: as `draw_at`; UsageError where only one of the fixes cannot be run, and the program as it is can.
        """
        lacking = self._lacking(units, names)
        await self._drawn({name: work for name, work in lacking.items() if not self.variant(name).shared})
        shared = {n: work for n, work in self._lacking(units, names).items() if self.variant(n).shared}
        for name, work in shared.items():
            variant = self.variant(name)
            for at, n in work:
                of, case = next(
                    (of, k) for of, places in variant.places.items() for k, p in enumerate(places) if p is at
                )
                partners = self._partners(variant, of, case)
                open_now = [index for index in self.baseline.runs[of][case].indices if index not in partners]
                self._waiting[name, at.series] = open_now[:n]
        await self._drawn(shared)

    async def _drawn(self, work: Mapping[str, Sequence[tuple[Slots, int]]]) -> None:
        try:
            begun = sum(len(runs) for rows in self.baseline.runs.values() for runs in rows)
            await take_turns([self._one(self.variant(n), wanted) for n, wanted in work.items()], f"{[*work]} {begun}")
        finally:
            self.refresh([at for wanted in work.values() for at, _ in wanted])

    async def _one(self, variant: Variant, wanted: Sequence[tuple[Slots, int]]) -> None:
        try:
            await draw_at(variant.session, wanted)
        except ModelError as error:
            if variant.fix is None or isinstance(error, NotCompleted) or not self.baseline.session.got_through:
                raise
            raise UsageError(f"the fix `{variant.name}` cannot be run: {error}", slug="fix") from None

    def _lacking(
        self, units: Mapping[str, int], names: Collection[str], *, ahead: bool = False
    ) -> dict[str, list[tuple[Slots, int]]]:
        """What is to be drawn of each; a run that shares waits for the baseline's, unless `ahead` counts it already."""
        out: dict[str, list[tuple[Slots, int]]] = {}
        for of, most in units.items():
            idle = self._idle(of)
            needed = Counter(case for case in (self.case_of(of, u) for u in range(most)) if case not in idle)
            for variant in self.all:
                if variant.fix is not None and variant.name not in names:
                    continue
                for case, n in needed.items():
                    if case in variant.ties.get(of, ()):
                        continue
                    base = self.baseline.runs[of][case].indices[:n]
                    if variant.fix is None:
                        lacks = n - len(base)
                    else:
                        partners = self._partners(variant, of, case)
                        lacks = sum(index not in partners for index in base)
                        lacks += n - len(base) if ahead or not variant.shared else 0
                    if lacks > 0:
                        out.setdefault(variant.name, []).append((variant.places[of][case], lacks))
        return out

    def _first(self, variant: Variant, draw: Draw) -> Sample | None:
        """The baseline's run that this draw is the pair of, with its index."""
        place = next(
            (
                (of, k, case)
                for of, cases in self.sets.items()
                for k, case in enumerate(cases)
                if case.id == draw.case_id
            ),
            None,
        )
        if place is None:
            return None
        of, k, case = place
        series = variant.places[of][k].series
        index = self._given.get((variant.name, series, draw.index))
        if index is None:
            waiting = self._waiting.get((variant.name, series))
            if not waiting:
                return None
            index = self._given[variant.name, series, draw.index] = waiting.pop(0)
        runs = self.baseline.runs[of][k]
        one = runs[runs.indices.index(index)]
        if self.baseline.program.steps:
            sample = self.baseline.session.store.of_seqs([one.stored.seq], payload=True)[0].sample
            return replace(sample, fingerprint=f"{PAIR}{index}")
        sent = self.baseline.program.render(case.input, case.history)
        if sent.id("") != draw.request.id(""):
            return None
        return replace(one.stored.sample, fingerprint=f"{PAIR}{index}")
