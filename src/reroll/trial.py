"""Fixes run beside the baseline on sets of cases: pair by pair on the same inputs, in an order fixed beforehand.

Where a fix only adds steps around the model, its run takes the very completion that the baseline got, so that a
pair costs one call; where it provably does nothing to a request, the pair is a tie and costs none.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reroll.case import Case
from reroll.fix import Fix
from reroll.models.model import Draw, Model
from reroll.models.shared import SharedModel
from reroll.models.stepped import SteppedModel, around
from reroll.program import Program, content_id
from reroll.reduction import Pairs, pairs_of
from reroll.runner import crashing_check, draw_at
from reroll.runs import Runs
from reroll.sample import Sample
from reroll.session import Session, Slots, judged, slots
from reroll.side_by_side import all_of
from reroll.step_forms import steps_of
from reroll.steps import fires_on

__all__ = ["RATES", "Trial", "Variant", "only_adds_steps", "untouched"]

RATES = ("case", "neighbour", "choosing")  # sets whose failure rate is needed, ties or not


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
    withheld: dict[tuple[str, int], list[bool]] = field(default_factory=dict)  # by set and case, run by run

    @property
    def program(self) -> Program:
        return self.session.project.program


def only_adds_steps(before: Program, after: Program) -> bool:
    """Whether the second differs from the first only in further steps after the same ones."""
    same = after.steps[: len(before.steps)] == before.steps
    return same and after.model_copy(update={"steps": before.steps}).id == before.id


def untouched(before: Program, after: Program, case: Case) -> bool:
    """Whether the fix provably changes nothing for this case: the same is sent, and no new step can act on it."""
    if after.model_copy(update={"steps": before.steps}).model != before.model or after.base_url != before.base_url:
        return False
    if after.steps[: len(before.steps)] != before.steps:
        return False
    sent = before.render(case.input, case.history)
    if after.render(case.input, case.history).id("") != sent.id(""):
        return False
    new = steps_of(after)[len(before.steps) :]
    return all(fires_on(step, sent) is False for step in new) and before.response == after.response


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
        self.key = content_id("try", [of, baseline.model.identity, programs, cases, checks])
        # No address, so that the same trial elsewhere takes the same cases in the same order.
        self._shuffle = content_id("order", [of, sorted(fix.id for _, fix, _ in fixed), cases])
        self.baseline = Variant("baseline", baseline)
        self.fixes = [self._variant(name, fix, session) for name, fix, session in fixed]
        self._order: dict[str, list[int]] = {}
        self._offsets: dict[tuple[str, str], int] = {}
        for variant in self.all:
            for name, members in self.sets.items():
                variant.places[name] = [
                    slots(variant.session, c, series=f"{self.key} {name} {c.id}", variant=variant.name) for c in members
                ]
        self.refresh()

    @property
    def all(self) -> list[Variant]:
        return [self.baseline, *self.fixes]

    def variant(self, name: str) -> Variant:
        return next(one for one in self.all if one.name == name)

    def _variant(self, name: str, fix: Fix, session: Session) -> Variant:
        before, after = self.baseline.program, session.project.program
        found = Variant(name, session, fix, shared=only_adds_steps(before, after))
        if found.shared:
            model: Model = SharedModel(_bare(session.model), lambda draw: self._first(found, draw))
            found.session = session.like(model=around(model, after, session.checker))
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
                    crashing_check(case, known[k])

    def rounds(self, of: str, names: Sequence[str], *, real: bool = False) -> list[dict[str, str]]:
        """The outcomes of these variants unit by unit, as far as all of them have one; a tie takes the baseline's.

        A unit that was never run, since nothing can differ, is a pass of all; with `real` it is left out. An answer
        that a fix withholds is a pass where the baseline's was wrong, and a failure where it was right.
        """
        idle, seen = self._idle(of), Counter[int]()
        if len(idle) == len(self.sets[of]):
            return []
        words = {v.name: [runs.words() for runs in v.runs[of]] for v in self.all if v.name in (*names, "baseline")}
        ties = {v.name: v.ties.get(of, frozenset()) for v in self.all}
        withheld = {
            (v.name, case): runs for v in self.fixes if v.name in names for case, runs in self.withheld(v, of).items()
        }
        out: list[dict[str, str]] = []
        for unit in range(1 << 40):
            case = self.case_of(of, unit)
            if case in idle:
                if not real:
                    out.append(dict.fromkeys(names, "pass"))
                continue
            k = seen[case]
            found: dict[str, str] = {}
            for name in names:
                of_this = words["baseline" if case in ties[name] else name][case]
                if k >= len(of_this):
                    return out
                found[name] = of_this[k]
                if k in withheld.get((name, case), ()):
                    found[name] = "pass" if words["baseline"][case][k] == "fail" else "fail"
            seen[case] += 1
            out.append(found)
        return out

    def withheld(self, variant: Variant, only: str | None = None) -> dict[Any, frozenset[int]]:
        """Which runs of a fix ended without an answer since it withheld it; by case of one set, or by (set, case)."""
        out: dict[Any, frozenset[int]] = {}
        if not any(step.get("step") == "block" for step in variant.program.steps):
            return out
        for of in self.sets if only is None else (only,):
            for case, runs in enumerate(variant.runs[of]):
                known = variant.withheld.setdefault((of, case), [])
                known += [
                    one.stored.sample.completion is not None and one.stored.sample.completion.finish_reason == "blocked"
                    for one in itertools.islice(runs, len(known), None)
                ]
                found = frozenset(k for k, is_withheld in enumerate(known) if is_withheld)
                out[case if only is not None else (of, case)] = found
        return out

    def pairs(self, name: str, of: str) -> Pairs:
        """Baseline and this fix, on one set."""
        both = [(found["baseline"], found[name]) for found in self.rounds(of, ["baseline", name])]
        return pairs_of(both)

    # -- drawing

    def calls_for(self, units: Mapping[str, int], names: Collection[str]) -> int:
        """About how many calls it takes until there are so many units in all of each set."""
        lacking = self._lacking(units, names)
        return sum(n for name, work in lacking.items() if not self.variant(name).shared for _, n in work)

    async def draw(self, units: Mapping[str, int], names: Collection[str]) -> None:
        """Make the draws that so many units in all of each set lack, of the baseline and these fixes."""
        lacking = self._lacking(units, names)
        own = {name: work for name, work in lacking.items() if not self.variant(name).shared}
        await all_of([draw_at(self.variant(name).session, work) for name, work in own.items()])
        self.refresh([at for work in own.values() for at, _ in work])
        shared = {name: work for name, work in self._lacking(units, names).items() if self.variant(name).shared}
        for name, work in shared.items():
            for at, _ in work:
                have = self._runs_at(self.variant(name), at)
                reserved = self.baseline.session.store.reserved(at.request_id, at.series)
                self._offsets[name, at.series] = len(have) - reserved
        await all_of([draw_at(self.variant(name).session, work) for name, work in shared.items()])
        self.refresh([at for work in shared.values() for at, _ in work])

    def _lacking(self, units: Mapping[str, int], names: Collection[str]) -> dict[str, list[tuple[Slots, int]]]:
        out: dict[str, list[tuple[Slots, int]]] = {}
        for of, most in units.items():
            idle = self._idle(of)
            needed = Counter(case for case in (self.case_of(of, u) for u in range(most)) if case not in idle)
            for variant in self.all:
                if variant.fix is not None and variant.name not in names:
                    continue
                for case, n in needed.items():
                    lacks = n - len(variant.runs[of][case])
                    if variant.shared:  # never ahead of the baseline
                        lacks = min(lacks, len(self.baseline.runs[of][case]) - len(variant.runs[of][case]))
                    if lacks > 0 and case not in variant.ties.get(of, ()):
                        out.setdefault(variant.name, []).append((variant.places[of][case], lacks))
        return out

    def _runs_at(self, variant: Variant, at: Slots) -> Runs:
        return next(
            runs
            for of, places in variant.places.items()
            for place, runs in zip(places, variant.runs[of], strict=True)
            if place.series == at.series
        )

    def _first(self, variant: Variant, draw: Draw) -> Sample | None:
        """The baseline's run that this draw is the pair of."""
        for of, cases in self.sets.items():
            for k, case in enumerate(cases):
                if case.id != draw.case_id:
                    continue
                at = variant.places[of][k]
                offset = self._offsets.get((variant.name, at.series))
                runs = self.baseline.runs[of][k]
                if offset is None or not 0 <= draw.index + offset < len(runs):
                    return None
                one = runs[draw.index + offset]
                if not self.baseline.program.steps:
                    sent = self.baseline.program.render(case.input, case.history)
                    return one.stored.sample if sent.id("") == draw.request.id("") else None
                return self.baseline.session.store.of_seqs([one.stored.seq], payload=True)[0].sample
        return None


def _bare(model: Model) -> Model:
    return model.inner if isinstance(model, SteppedModel) else model
