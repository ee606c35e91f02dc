"""How many false alarms all streams together may raise in a time, and what each call spends of that.

Time fills the account: one false alarm in so many weeks.  Each call that a stream is judged by takes a small share
of what is there, fixed before its outcome is known, and never more than is there.  A stream whose calls spend b each
raises at most b false alarms a call on average (drift.py), so all of them together raise at most what was spent,
which is at most what time has brought: whatever the traffic, however it grows, however many streams come and go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["LEAST_RUN", "MOST_RUN", "WEEK", "Account", "FalseAlarms", "account_from", "account_json", "next_call"]

WEEK = 7 * 86400.0
MEMORY = 2000  # calls that the share of one call is spread over, at least; else a week's
EVERY = 64  # calls after which the share is found anew
LEAST_RUN = 100.0  # calls between false alarms of one stream, at least; what this leaves unspent is forgotten
MOST_RUN = 1e9  # as long as there is nothing to spend
STEP = 1.005  # run lengths are rounded up to a power of it, so that a rule serves many calls


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """At most one false alarm of all streams together in so many weeks on average, or in so many calls."""

    weeks: float = 8.0
    calls: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What may be spent, as things stand.

    first, clock: the times of the first and of the newest call (Unix time).
    seen:         calls so far, each counted once for every stream that it is judged in.
    bank:         false alarms that time has brought and no call has taken.
    spent:        those that calls have taken: the bound on the mean number of false alarms so far.
    run_length:   what one call takes now is 1 / run_length.
    until:        the number of calls at which that is found anew.
    """

    first: float | None = None
    clock: float | None = None
    seen: int = 0
    bank: float = 0.0
    spent: float = 0.0
    run_length: float = MOST_RUN
    until: int = 0

    @property
    def brought(self) -> float:
        """False alarms that time has brought, spent or not; what was forgotten is not in it."""
        return self.bank + self.spent


def next_call(account: Account, time: float, told: FalseAlarms, *, spends: bool) -> Account:
    """The account as one more call is judged in a stream; `run_length` is that call's.

    A call that is late is counted at the newest time: it brings nothing.

    Args:    spends: whether it can raise an alarm; one that a baseline is measured on cannot.

    >>> account, told = Account(), FalseAlarms(weeks=1)
    >>> for hour in range(7 * 24 + 1): account = next_call(account, hour * 3600.0, told, spends=True)
    >>> 0.4 < account.spent < account.brought < 1.001, round(account.run_length)
    (True, 335)
    """
    seen = account.seen + 1
    first = time if account.first is None else account.first
    clock = time if account.clock is None else max(account.clock, time)
    if told.calls is not None:
        spent = account.spent + spends / told.calls
        return Account(first, clock, seen, 0.0, spent, max(1.0, told.calls), seen)
    bank = account.bank
    if account.clock is not None:
        bank += (clock - account.clock) / (told.weeks * WEEK)
    run_length, until = account.run_length, account.until
    if seen > until:
        spread = _spread(seen, clock - first)
        bank = min(bank, spread / LEAST_RUN)
        run_length = _run_length(bank / spread)
        until = seen + min(EVERY, seen // 8)
    took = 1 / run_length if spends and run_length < MOST_RUN else 0.0
    return Account(first, clock, seen, bank - took, account.spent + took, run_length, until)


def _spread(seen: int, elapsed: float) -> float:
    """Over how many calls what is there is spread: those of a week, MEMORY at least, never more than there were."""
    a_week = seen * WEEK / elapsed if elapsed > 0 else seen
    return float(min(seen, max(MEMORY, a_week)))


def _run_length(share: float) -> float:
    if share <= 1 / MOST_RUN:
        return MOST_RUN
    return min(MOST_RUN, STEP ** math.ceil(math.log(1 / share) / math.log(STEP) - 1e-9))


def account_json(account: Account) -> dict[str, Any]:
    return asdict(account)


def account_from(stored: Mapping[str, Any]) -> Account:
    """Raises: TypeError where these are not the numbers of an account."""
    return replace(Account(), **stored)
