"""Has the failure rate risen above its baseline?  An alarm with a stated number of calls between false ones.

The statistic is a Shiryaev-Roberts mixture.  For each of seven suspected
rates q_j it adds up, over every call at which the rise could have begun, the
bet that it began there:

    R_j <- (R_j + 1) * L_j(x),    alarm when S = sum_j w_j R_j >= threshold.

While the rate is at the baseline, S - n is a martingale.  So the mean number
of calls up to a false alarm is the mean of S at that alarm, and S is at least
the threshold there: `threshold = run_length` is a theorem, for losses in 0...1
too.  Failures jump S past the threshold, so for pass/fail less will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from reroll.drift_rule import ODDS, WEIGHTS, DriftRule, Watches, drift_rule

__all__ = [
    "Alarm",
    "Change",
    "DriftState",
    "at_run_length",
    "change",
    "first_alarm",
    "from_json",
    "in_order",
    "start",
    "step",
    "steps",
    "to_json",
]

SCHEMA = "reroll.drift/1"
"""Stored with every state. Another grid, or another meaning of a field, needs another number."""


@dataclass(frozen=True, slots=True)
class Change:
    """When the rate seems to have risen, and what it has been since.

    after:  number of calls before the rise; it began with the next one.
    n:      calls since then.
    losses: failures (or the sum of losses) among these.

    The start is the likeliest one, chosen after seeing the data: `rate` reads
    high, most of all when n is small.  It is no interval and no evidence.
    """

    after: int
    n: int
    losses: float

    @property
    def rate(self) -> float:
        """Losses per call since the estimated start."""
        return self.losses / self.n


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: raised at call `at` (counted from 1), with the likeliest start of the rise.

    statistic: S at the alarm, at least the rule's threshold.
    """

    at: int
    statistic: float
    change: Change


@dataclass(frozen=True, slots=True)
class DriftState:
    """All that the past has to say about drift: 4 numbers per suspected rate, whatever the number of calls.

    n:      calls so far; every outcome counts, invalid ones too.
    bets:   R_j, the Shiryaev-Roberts sums.
    ratios: the largest likelihood ratio over starting points, for each suspected rate (CUSUM).
    since:  the starting points that have it, as calls before them.
    losses: losses since then.
    alarms: alarms so far; after each, everything but n starts afresh.
    last:   the last alarm.
    """

    rule: DriftRule
    n: int
    bets: tuple[float, ...]
    ratios: tuple[float, ...]
    since: tuple[int, ...]
    losses: tuple[float, ...]
    alarms: int = 0
    last: Alarm | None = None

    @property
    def statistic(self) -> float:
        """S, which raises an alarm at the rule's threshold."""
        return _statistic(self.bets)

    @property
    def alarmed(self) -> bool:
        """Whether the last call raised an alarm."""
        return self.last is not None and self.last.at == self.n


# ---------------------------------------------------------------- the stream


def start(rule: DriftRule) -> DriftState:
    """The state before the first call."""
    zeros = (0.0,) * len(ODDS)
    return DriftState(rule, 0, zeros, zeros, (0,) * len(ODDS), zeros)


def step(state: DriftState, outcome: str | float) -> DriftState:
    """The state after one more call; `alarmed` if that call raised an alarm.

    After an alarm the sums start afresh with the next call, so that the next
    false alarm is again a run length away and a rise that stays is reported again.

    Args:    outcome: `pass`, `fail` or `invalid`; for a rule that watches
             `loss`: a number in 0...1, or `invalid`.
    Raises:  ValueError: another outcome.

    >>> from reroll.drift_rule import drift_rule
    >>> state = start(drift_rule(0.01, run_length=1000))
    >>> state = step(step(state, "fail"), "fail")
    >>> state.alarmed, state.last.change.rate
    (True, 1.0)
    """
    return steps(state, (outcome,))


def steps(state: DriftState, outcomes: Iterable[str | float]) -> DriftState:
    """The state after all of these calls, in this order; the same as one `step` each.

    Raises:  ValueError: an outcome that the rule does not know.
    """
    return _run(state, outcomes, to_alarm=False)


def first_alarm(outcomes: Iterable[str | float], rule: DriftRule) -> Alarm | None:
    """The first alarm on a recorded stream, None if there is none.

    >>> from reroll.drift_rule import drift_rule
    >>> first_alarm(["pass"] * 500 + ["fail", "pass"] * 20, drift_rule(0.01)).change.after
    500
    """
    return _run(start(rule), outcomes, to_alarm=True).last


def change(state: DriftState) -> Change | None:
    """The likeliest start of a rise, as things stand; None if no start is likelier than no rise.

    Source:  Page 1954 (CUSUM): the largest likelihood over starting points and suspected rates.
    """
    return _change(state.n, state.ratios, state.since, state.losses)


def at_run_length(state: DriftState, run_length: float) -> DriftState:
    """The same past under another run length: from here on a call spends 1 / run_length of a false alarm.

    What S has reached of the old run length it has reached of the new one.  So S / run_length, less all that was
    spent, stays a martingale at the baseline: with the theorem's threshold the mean number of false alarms is at most
    what was spent, however the run length changes, if it never looks at an outcome that is still to come.

    >>> from reroll.drift_rule import drift_rule
    >>> half = step(start(drift_rule(0.01, run_length=1000, watches="loss")), 0.5)
    >>> round(at_run_length(half, 4000).statistic / half.statistic, 6)
    4.0
    """
    if run_length == state.rule.run_length:
        return state
    grown = run_length / state.rule.run_length
    rule = _rule(state.rule.baseline, run_length, state.rule.watches)
    return replace(state, rule=rule, bets=tuple(bet * grown for bet in state.bets))


_rule = lru_cache(maxsize=4096)(drift_rule)


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=_Ordered)


def in_order(times: Sequence[T]) -> Sequence[T]:
    """The same times, none of which is before the one that it follows; equal times keep their order.

    Raises:  ValueError: which event is out of order, or has no time (NaN).

    >>> in_order([1.0, 2.0, 2.0])
    [1.0, 2.0, 2.0]
    """
    for i, time in enumerate(times):
        if time != time:
            raise ValueError(f"event {i + 1} has no time ({time}); give every event one, or leave the times out")
        if i and time < times[i - 1]:
            raise ValueError(
                f"event {i + 1} ({time}) is older than event {i} ({times[i - 1]}); sort the stream by time"
            )
    return times


# ---------------------------------------------------------------- storage


def to_json(state: DriftState) -> dict[str, Any]:
    """The state as plain JSON values; `from_json` gives back an equal one.

    >>> from reroll.drift_rule import drift_rule
    >>> from_json(to_json(start(drift_rule(0.01)))) == start(drift_rule(0.01))
    True
    """
    kept = {name: getattr(state, name) for name in DriftState.__dataclass_fields__}  # asdict copies every number
    return {"schema": SCHEMA, **kept, "rule": _flat(state.rule), "last": state.last and asdict(state.last)}


def _flat(rule: DriftRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in DriftRule.__dataclass_fields__}


def from_json(stored: Mapping[str, Any]) -> DriftState:
    """The state that `to_json` wrote.

    Raises:  ValueError: something else, another version, or a state that cannot be.
    """
    if not isinstance(stored, Mapping) or stored.get("schema") != SCHEMA:
        found = stored.get("schema") if isinstance(stored, Mapping) else type(stored).__name__
        raise ValueError(f"not a drift state that this version can read: expected schema {SCHEMA}, got {found!r}")
    try:
        last = stored["last"]
        state = DriftState(
            rule=DriftRule(**stored["rule"]),
            n=stored["n"],
            bets=tuple(stored["bets"]),
            ratios=tuple(stored["ratios"]),
            since=tuple(stored["since"]),
            losses=tuple(stored["losses"]),
            alarms=stored["alarms"],
            last=None if last is None else Alarm(last["at"], last["statistic"], Change(**last["change"])),
        )
        _check_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a broken drift state ({error}); start a new one") from error
    return state


# ---------------------------------------------------------------- helpers


def _run(state: DriftState, outcomes: Iterable[str | float], *, to_alarm: bool) -> DriftState:
    rule, n, alarms, last = state.rule, state.n, state.alarms, state.last
    bets, ratios, since, losses = list(state.bets), list(state.ratios), list(state.since), list(state.losses)
    atoms = _atoms(rule.baseline)
    for outcome in outcomes:
        x = _loss(rule.watches, outcome)
        for j, (per_pass, slope) in enumerate(atoms):
            factor = per_pass + x * slope
            bets[j] = (bets[j] + 1) * factor
            if ratios[j] <= 1:
                ratios[j], since[j], losses[j] = 1.0, n, 0.0
            ratios[j] *= factor
            losses[j] += x
        n += 1
        # A call that went well never raises an alarm, though it may lift S a little.
        if x > rule.baseline and (statistic := _statistic(bets)) >= rule.threshold:
            seen = _change(n, ratios, since, losses)
            assert seen is not None  # every factor above the baseline is above 1
            alarms, last = alarms + 1, Alarm(n, statistic, seen)
            fresh = start(rule)
            bets, ratios, since, losses = list(fresh.bets), list(fresh.ratios), list(fresh.since), list(fresh.losses)
            if to_alarm:
                break
    return DriftState(rule, n, tuple(bets), tuple(ratios), tuple(since), tuple(losses), alarms, last)


@lru_cache(maxsize=256)
def _atoms(baseline: float) -> tuple[tuple[float, float], ...]:
    """For each suspected rate q: its bet's factor at loss 0, and what a loss of 1 adds; mean 1 at the baseline."""
    pairs = []
    for odds in ODDS:
        q = odds * baseline / (1 + (odds - 1) * baseline)
        per_pass = (1 - q) / (1 - baseline)
        pairs.append((per_pass, q / baseline - per_pass))
    return tuple(pairs)


def _statistic(bets: Sequence[float]) -> float:
    return sum(w * r for w, r in zip(WEIGHTS, bets, strict=True))  # math.sumprod is newer than 3.11


def _change(n: int, ratios: Sequence[float], since: Sequence[int], losses: Sequence[float]) -> Change | None:
    j = max(range(len(ODDS)), key=lambda i: ratios[i])
    return Change(since[j], n - since[j], losses[j]) if ratios[j] > 1 else None


def _loss(watches: Watches, outcome: str | float) -> float:
    """What one outcome counts, in the way that cannot raise a false alarm."""
    if outcome == "invalid":
        return float(watches == "invalid")
    if watches != "loss":
        if outcome in ("pass", "fail"):
            return float(outcome == watches)
        raise ValueError(f"an outcome is pass, fail or invalid, got {outcome!r}")
    if isinstance(outcome, str) or not 0 <= outcome <= 1:
        raise ValueError(f"a loss is a number in 0...1, or invalid, got {outcome!r}")
    return float(outcome)


def _check_state(state: DriftState) -> None:
    for name, numbers in (("bets", state.bets), ("ratios", state.ratios), ("losses", state.losses)):
        if len(numbers) != len(ODDS) or not all(0 <= x < math.inf for x in numbers):
            raise ValueError(f"{name} must be {len(ODDS)} numbers of at least 0")
    counts = (state.n, state.alarms, *state.since)
    if len(state.since) != len(ODDS) or not all(isinstance(x, int) and x >= 0 for x in counts):
        raise ValueError("n, alarms and since must be counts")
    if max(state.since) > state.n:
        raise ValueError("since must not be after n")
    if state.last is not None and not 0 < state.last.at <= state.n:
        raise ValueError("the last alarm must be one of the n calls")
