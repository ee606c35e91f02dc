"""Stored samples grouped by what was observed of them: read page by page, one case after the other; no call is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import UsageError
from reroll.grouping import Group, Grouping, Observed
from reroll.leaving import Paths
from reroll.looking import known_case
from reroll.project import Project
from reroll.store import Store, StoredSample
from reroll.store_rows import Source

__all__ = ["Grouped", "grouped_samples"]

RUNS: tuple[Source, ...] = ("draw", "imported", "reported")
PAGE = 500
ENOUGH_PASSES = 400  # of a case: what is common among so many is common
LOOKED_FOR = 5000  # samples of a case that passing ones are looked for in


@dataclass(frozen=True, slots=True)
class Grouped:
    """The groups of what did not pass, the largest first. case: None for all cases; cases: how many had samples; mixed:
    whether these are of several variants, or one case's of several requests, so that shares say nothing of how often
    anything fails."""

    case: str | None
    cases: int
    samples: int
    passes: int
    failures: int
    invalid: int
    alpha: float
    groups: tuple[Group, ...]
    mixed: bool = False


def grouped_samples(
    project: Project, store: Store, case_id: str | None, alpha: float = 0.05, variant: str | None = None
) -> Grouped:
    """What failed in one case, or in all of them and in reports, by facts; judged by the checks as they are now.

    variant: of the program; None: of all together.
    Raises: UsageError if nothing is stored of that case, or nothing at all.
    """
    known_case(store, case_id)
    cases = {c.id: c for c in [*store.cases(), *(c for c in project.cases if c.checks)]}
    grouping, counted = Grouping(), 0
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        for id in [case_id] if case_id is not None else sorted(cases):
            case = cases.get(id)
            if case is None or not (case.checks or case_id is not None):
                continue
            judge = _Judge(checker, store, project, case)
            counted += _take_case(grouping, judge, store, id, variant, alone=case_id is not None)
    seen = grouping.evidence
    if not seen.n:
        raise UsageError("no sample of a case with checks is stored; `reroll rerun CASE` makes some", slug="no-samples")
    groups = grouping.groups(alpha)
    return Grouped(case_id, counted, seen.n, seen.passes, seen.failures, seen.invalid, alpha, groups, grouping.mixed)


class _Judge:
    """What a case's checks say of pages of its samples: what is stored, else judged on the spot (and not stored)."""

    def __init__(self, checker: Checker, store: Store, project: Project, case: Case) -> None:
        self.store, self.ids = store, checker.ids(case, project.program)
        self.judge = checker.judging(case, project.program) if case.checks else None

    def __call__(self, page: Sequence[StoredSample]) -> Iterator[tuple[StoredSample, tuple[Outcome, ...]]]:
        have: Mapping[str, Mapping[str, Outcome]] = self.store.outcomes([s.id for s in page], self.ids)
        for one in page:
            said = have.get(one.id, {})
            if self.judge is None:
                yield one, ()
            elif all(i in said for i in self.ids):
                yield one, tuple(said[i] for i in self.ids)
            else:
                yield one, tuple(self.judge(one.sample))


def _take_case(grouping: Grouping, judge: _Judge, store: Store, id: str, variant: str | None, *, alone: bool) -> bool:
    """Whether the case has any sample; they are taken in, in the order of storing. alone: no other case is."""
    paths: dict[str, Paths] = {}  # by request: those of another wording or variant are other paths
    any_request, looked = Paths(), 0
    for page in _pages(store, id, variant):
        for one, outcomes in judge(page):
            completion = one.sample.completion
            if outcomes and overall(outcomes).outcome == "pass" and completion is not None:
                paths.setdefault(one.request_id, Paths()).add(completion)
                any_request.add(completion)
        looked += len(page)
        if any_request.passes >= ENOUGH_PASSES or looked >= LOOKED_FOR:
            break
    for page in _pages(store, id, variant, payload=False):
        judged = list(judge(page))
        bad = [one.seq for one, outcomes in judged if not outcomes or overall(outcomes).outcome != "pass"]
        whole = {one.seq: one for one in store.of_seqs(bad, payload=True)}  # tokens are read of what failed only
        for bare, outcomes in judged:
            one = whole.get(bare.seq, bare)
            said = () if one.sample.completion is not None or one.sample.error else _conversation(store, one)
            request = one.request_id if alone and one.source == "draw" else ""
            observed = Observed(one.id, id, one.sample, outcomes, one.variant, said, request)
            grouping.add(observed, paths.get(one.request_id, any_request))
    return looked > 0


def _conversation(store: Store, one: StoredSample) -> tuple[dict[str, Any], ...]:
    """The messages of a recorded conversation: its answer is in them."""
    messages = store.get_request(one.request_id).request.body.get("messages") or ()
    return tuple(m for m in messages if isinstance(m, dict))


def _pages(store: Store, id: str, variant: str | None, *, payload: bool = True) -> Iterator[list[StoredSample]]:
    after = 0
    while page := store.samples(case_id=id, variant=variant, source=RUNS, payload=payload, limit=PAGE, after=after):
        yield page
        if len(page) < PAGE:
            return
        after = page[-1].seq
