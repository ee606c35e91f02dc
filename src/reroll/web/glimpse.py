"""All samples of a case at a glance, kept in memory and brought up to date by what is new: a page never counts anew."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reroll.case import Case
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import RerollError
from reroll.store import Store
from reroll.store_glance import BETWEEN, Told
from reroll.web.home import Home

__all__ = ["WORDS", "Glimpse", "Glimpses", "Reason", "Seen", "checks_ids"]

WORDS = ("pass", "invalid", "fail", "unjudged")
UNJUDGED = 3
MOST_REASONS = 40
MOST_KEPT = 200  # cases


@dataclass(frozen=True, slots=True)
class Reason:
    """Why samples did not pass, as a check said it, and how many."""

    check: str
    reason: str
    outcome: str
    n: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts of one case's samples, of one variant or of all. variants: name, how many, how many failed."""

    passes: int
    failures: int
    invalid: int
    unjudged: int
    reasons: tuple[Reason, ...]
    variants: tuple[tuple[str, int, int], ...]

    @property
    def n(self) -> int:
        return self.passes + self.failures + self.invalid + self.unjudged


class Glimpse:
    """One case under its checks as they are now, in arrays by seq."""

    def __init__(self, case_id: str, ids: Sequence[str]) -> None:
        self.case_id, self.ids = case_id, tuple(ids)
        self.seqs = np.empty(0, np.int64)
        self.times = np.empty(0, np.int64)
        self.codes = np.empty(0, np.int8)
        self.variant = np.empty(0, np.int32)
        self.made_by_production = np.empty(0, bool)
        self.why = np.empty(0, np.int32)
        self.variants: dict[str, int] = {}
        self.reasons: dict[str, int] = {"": 0}
        self._lock = threading.Lock()

    def refresh(self, store: Store) -> None:
        """Take in what became known since, and what was judged since of what was not."""
        with self._lock:
            last = int(self.seqs[-1]) if len(self.seqs) else 0
            if len(open_ones := np.flatnonzero(self.codes == UNJUDGED)):
                found = {row[0]: row for row in store.judged_of(self.seqs[open_ones].tolist(), self.ids)}
                for at in open_ones:
                    row = found.get(int(self.seqs[at]))
                    if row is not None and row[4] is not None:
                        self.codes[at], self.why[at] = row[4], self._reason(row[5])
            self._take(store.judged_after(self.case_id, self.ids, last))

    def _take(self, rows: Sequence[Told]) -> None:
        if not rows:
            return
        seqs, times, variants, production, codes, why = zip(*rows, strict=True)
        named = [self.variants.setdefault(name, len(self.variants)) for name in variants]
        said = [UNJUDGED if code is None else code for code in codes]
        self.seqs = np.concatenate([self.seqs, np.array(seqs, np.int64)])
        self.times = np.concatenate([self.times, np.array(times, np.int64)])
        self.variant = np.concatenate([self.variant, np.array(named, np.int32)])
        self.made_by_production = np.concatenate([self.made_by_production, np.array(production, bool)])
        self.codes = np.concatenate([self.codes, np.array(said, np.int8)])
        self.why = np.concatenate([self.why, np.array([self._reason(one) for one in why], np.int32)])

    def _reason(self, text: str | None) -> int:
        return self.reasons.setdefault(text or "", len(self.reasons))

    def _of(self, variant: str | None) -> Any:
        return np.ones(len(self.seqs), bool) if variant is None else self.variant == self.variants.get(variant, -1)

    def counts(self, variant: str | None = None) -> Seen:
        """How many passed, failed and were not judged, why, and of which variants."""
        mine = self._of(variant)
        codes = np.bincount(self.codes[mine], minlength=4)
        bad = mine & ((self.codes == 1) | (self.codes == 2))
        why = np.bincount(self.why[bad], minlength=len(self.reasons))
        texts = list(self.reasons)
        top = [int(k) for k in np.argsort(-why, kind="stable")[:MOST_REASONS] if why[k] and texts[k]]
        reasons = []
        for k in top:
            check, _, reason = texts[k].partition(BETWEEN)
            word = WORDS[int(self.codes[bad][np.argmax(self.why[bad] == k)])]
            reasons.append(Reason(check, reason, word, int(why[k])))
        totals = np.bincount(self.variant[mine], minlength=len(self.variants))
        failed = np.bincount(self.variant[mine & (self.codes == 2)], minlength=len(self.variants))
        told = [(name, int(totals[i]), int(failed[i])) for name, i in self.variants.items() if totals[i]]
        told.sort(key=lambda one: -one[1])
        return Seen(int(codes[0]), int(codes[2]), int(codes[1]), int(codes[3]), tuple(reasons), tuple(told))

    def outcomes(self, variant: str | None = None) -> list[str]:
        """The overall outcome of each judged sample, in seq order."""
        codes = self.codes[self._of(variant) & (self.codes != UNJUDGED)]
        return np.array(WORDS, object)[codes].tolist()  # type: ignore[no-any-return]

    def over_time(self, variant: str, *, production: bool) -> list[tuple[float, str]]:
        """When each judged sample settled (Unix time) and its outcome, in the order of time.

        production: those that production made and somebody imported; else those that commands here drew.
        """
        wanted = self._of(variant) & (self.made_by_production == production)
        mine = np.flatnonzero(wanted & (self.codes != UNJUDGED))
        mine = mine[np.argsort(self.times[mine], kind="stable")]
        words = np.array(WORDS, object)[self.codes[mine]].tolist()
        return list(zip((self.times[mine] / 1e6).tolist(), words, strict=True))

    def page(
        self,
        *,
        outcome: str | None = None,
        reason: tuple[str, str] | None = None,
        variant: str | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[int]:
        """The `seq` of samples of this outcome, reason and variant, the newest first; with `after` those next to it."""
        mine = self._of(variant)
        if outcome is not None:
            mine = mine & (self.codes == (WORDS.index(outcome) if outcome in WORDS else -1))
        if reason is not None:
            mine = mine & (self.why == self.reasons.get(BETWEEN.join(reason), -1))
        found = self.seqs[mine]
        if after is not None:
            return found[found > after][:limit][::-1].tolist()  # type: ignore[no-any-return]
        return (found if before is None else found[found < before])[-limit:][::-1].tolist()  # type: ignore[no-any-return]


class Glimpses:
    """The glimpses of a server, each made once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[str, ...]], Glimpse] = {}
        self._lock = threading.Lock()

    def of(self, home: Home, case: Case) -> Glimpse:
        """The case, up to date."""
        key = (case.id, tuple(checks_ids(home, case)))
        with self._lock:
            if len(self._kept) >= MOST_KEPT and key not in self._kept:
                self._kept.pop(next(iter(self._kept)))
            glimpse = self._kept.setdefault(key, Glimpse(*key))
        glimpse.refresh(home.store)
        return glimpse

    def warm(self, home: Home) -> None:
        """Look at every case of the project that has samples, so that the first page is as quick as the second."""
        try:
            known = {one.case_id for one in home.store.case_counts()}
            for case in (*home.project().cases, *home.project().reported):
                if case.id in known:
                    self.of(home, case)
        except RerollError:  # the pages say so themselves
            return


def checks_ids(home: Home, case: Case) -> list[str]:
    """The content ids of the case's checks as they are now; none where the project's files cannot be read."""
    try:
        project = home.project()
        with Checker(project.path, person=not_asked, judges=no_judge) as checker:
            return checker.ids(case, project.program)
    except RerollError:
        return []
