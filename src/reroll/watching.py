"""One watched stream: its baseline, its alarms, when it is back, and when it has fallen silent.

A stream is the calls of one program, version and model, each judged by the same checks.  Its first calls measure its
baseline, unless that is known; from then on every call is held against it (drift.py).  An alarm stays open until the
rate is shown to be back; a rise that goes on meanwhile is counted, not raised again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from reroll.drift import DriftState, at_run_length, from_json, start, step, to_json
from reroll.drift_rule import Watches, baseline_limit, drift_rule
from reroll.recovery import Recovery, recovered, recovery_step
from reroll.watch_budget import MOST_RUN, Account, FalseAlarms, next_call

__all__ = [
    "CONFIDENCE",
    "DAY",
    "Baseline",
    "Call",
    "Day",
    "Event",
    "Lost",
    "Outcome",
    "Stream",
    "Terms",
    "back_below",
    "begun_anew",
    "fallen_silent",
    "new_stream",
    "spend_of",
    "stream_from",
    "stream_json",
    "take",
]

DAY = 86400.0
CONFIDENCE = 0.9  # of an estimated baseline's limit
KEPT_LOSSES = 64  # the newest calls that failed, to say since when and which ones raised an alarm
KEPT_DAYS = 62
LEAST_GAPS = 20  # between calls, before a silence can be told from the usual
LEAST_SILENCE = 600.0  # seconds
BACK_ODDS = 2.0  # an alarm is over when the rate is shown to be below this many times the baseline's odds

Outcome = str | float
EventKind = Literal["began", "measured", "alarm", "still", "resolved", "silent", "spoke"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a stream is held against. baseline: the rate that is normal; None: measured on the first `learn` calls.

    allowed: the failure rate that the target allows; None: there is no target.
    """

    watches: Watches = "fail"
    baseline: float | None = None
    learn: int = 1000
    allowed: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the `seq` of its sample, its time (Unix), and what it was judged: pass, fail, invalid, or a loss."""

    seq: int
    time: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is normal: at most `rate`. n, losses: the calls that it was measured on; n is 0 where it was given."""

    rate: float
    n: int = 0
    losses: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A call that counts against the stream: which call of it, since it is held against its baseline."""

    n: int
    seq: int
    time: float


@dataclass(frozen=True, slots=True)
class Day:
    """What came on one day (UTC, counted from 1970). n: calls, the invalid ones too."""

    day: int
    n: int
    losses: float
    invalid: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a stream, at a time (Unix); `told` has its numbers."""

    kind: EventKind
    time: float
    seq: int | None
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """All that is kept of a stream, whatever the number of its calls.

    n, losses, invalid: since it began. first, last: the times of its first and newest call; longest: the longest time
    between two. late: calls that came after a later one. learning: calls and losses of the baseline that is being
    measured. recent: the newest calls that count against it. alarm: when the open one was raised. silent: since when.
    inherited: the baseline is that of the version before, until this one's own is measured.
    """

    terms: Terms
    n: int = 0
    losses: float = 0.0
    invalid: int = 0
    first: float = 0.0
    last: float = 0.0
    longest: float = 0.0
    late: int = 0
    learning: tuple[int, float] = (0, 0.0)
    baseline: Baseline | None = None
    drift: DriftState | None = None
    recent: tuple[Lost, ...] = ()
    days: tuple[Day, ...] = ()
    alarm: float | None = None
    recovery: Recovery | None = None
    silent: float | None = None
    inherited: bool = False


def new_stream(terms: Terms, inherited: Baseline | None = None) -> Stream:
    """A stream before its first call; a baseline that is known is in force at once.

    Until it has measured its own it is held against the one of the version before, `inherited`: a version that is worse
    from its first call on would else measure that as normal.
    """
    if terms.baseline is not None:
        return _held(Stream(terms), Baseline(terms.baseline))
    return Stream(terms) if inherited is None else _held(Stream(terms, inherited=True), inherited)


def begun_anew(stream: Stream, terms: Terms, inherited: Baseline | None = None) -> Stream:
    """The stream held against other terms from here on; what was counted stays, and so does an alarm that is open."""
    fresh = new_stream(terms, inherited)
    again = replace(stream, terms=terms, learning=(0, 0.0), recent=())
    return replace(again, baseline=fresh.baseline, drift=fresh.drift, inherited=fresh.inherited)


def take(stream: Stream, call: Call, account: Account, told: FalseAlarms) -> tuple[Stream, Account, tuple[Event, ...]]:
    """The stream and the account after one more call, and what happened with it. Calls come in order of arrival.

    Raises:  ValueError: an outcome that the stream's terms do not know.
    """
    account = next_call(account, call.time, told, spends=stream.drift is not None)
    loss = loss_of(stream.terms.watches, call.outcome)
    events: list[Event] = []
    if stream.silent is not None:
        events.append(Event("spoke", call.time, call.seq, {"silent_since": stream.silent}))
    stream = _counted(stream, call, loss)
    if stream.drift is not None:
        stream, found = _watch(stream, call, loss, account.run_length)
        events += found
    if stream.drift is None or stream.inherited:
        stream, found = _learn(stream, call, loss)
        events += found
    return stream, account, tuple(events)


def loss_of(watches: Watches, outcome: Outcome) -> float:
    """What an outcome counts against a stream: an invalid one nothing, unless it is what is watched."""
    if outcome == "invalid":
        return float(watches == "invalid")
    return float(outcome == watches) if isinstance(outcome, str) else float(outcome)


def back_below(baseline: float) -> float:
    """The rate that a stream must be shown to be below for its alarm to be over: twice the baseline, as odds.

    >>> round(back_below(0.01), 4), round(back_below(0.5), 4)
    (0.0198, 0.6667)
    """
    return BACK_ODDS * baseline / (1 + (BACK_ODDS - 1) * baseline)


# ---------------------------------------------------------------- one call


def _counted(stream: Stream, call: Call, loss: float) -> Stream:
    before = stream.n > 0
    late = before and call.time < stream.last
    return replace(
        stream,
        n=stream.n + 1,
        losses=stream.losses + loss,
        invalid=stream.invalid + (call.outcome == "invalid"),
        first=call.time if not before else min(stream.first, call.time),
        last=call.time if not before else max(stream.last, call.time),
        longest=max(stream.longest, call.time - stream.last) if before else 0.0,
        late=stream.late + late,
        days=_with_day(stream.days, call, loss),
        silent=None,
    )


def _with_day(days: tuple[Day, ...], call: Call, loss: float) -> tuple[Day, ...]:
    """The days with this call in its own, late or not; one that is older than all that are kept is in none."""
    day, invalid = int(call.time // DAY), int(call.outcome == "invalid")
    at = len(days) - 1
    while at >= 0 and days[at].day > day:
        at -= 1
    if at >= 0 and days[at].day == day:
        old = days[at]
        return (*days[:at], Day(day, old.n + 1, old.losses + loss, old.invalid + invalid), *days[at + 1 :])
    return (*days[: at + 1], Day(day, 1, loss, invalid), *days[at + 1 :])[-KEPT_DAYS:]


def _learn(stream: Stream, call: Call, loss: float) -> tuple[Stream, tuple[Event, ...]]:
    n, losses = stream.learning[0] + 1, stream.learning[1] + loss
    if n < stream.terms.learn:
        return replace(stream, learning=(n, losses)), ()
    told = {"n": n, "losses": losses}
    rate = _limit(stream.terms.watches, n, losses)
    if rate is None:  # there is no worse rate to watch for: measure again
        return replace(stream, learning=(0, 0.0)), (Event("measured", call.time, call.seq, {**told, "rate": None}),)
    held = _held(replace(stream, learning=(0, 0.0), inherited=False), Baseline(rate, n, losses))
    return held, (Event("measured", call.time, call.seq, {**told, "rate": rate}),)


def _limit(watches: Watches, n: int, losses: float) -> float | None:
    """The rate is at most this, with the confidence of a baseline; None where all were lost."""
    if losses >= n:
        return None
    if watches != "loss":
        return baseline_limit(round(losses), n, CONFIDENCE)
    return _mean_limit(losses / n, n)


def _mean_limit(mean: float, n: int) -> float:
    """The mean of losses in 0...1 is at most this, except in a tenth of baselines. Source: Hoeffding 1963, Theorem 1.

    >>> round(_mean_limit(0.1, 1000), 3)
    0.122
    """
    low, high = mean, 1.0
    for _ in range(60):
        p = 0.5 * (low + high)
        if p in (low, high):
            break
        low, high = (p, high) if n * _divergence(mean, p) < -math.log(1 - CONFIDENCE) else (low, p)
    return min(high, 1 - 1e-9)


def _divergence(a: float, b: float) -> float:
    """Kullback-Leibler, in nats, from a coin of rate b to one of rate a."""
    one = a * math.log(a / b) if a > 0 else 0.0
    return one + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def _held(stream: Stream, baseline: Baseline) -> Stream:
    rule = drift_rule(baseline.rate, MOST_RUN, stream.terms.watches)
    return replace(stream, baseline=baseline, drift=start(rule), recent=())


def _watch(stream: Stream, call: Call, loss: float, run_length: float) -> tuple[Stream, tuple[Event, ...]]:
    assert stream.drift is not None
    assert stream.baseline is not None
    drift = step(at_run_length(stream.drift, run_length), call.outcome)
    recent = stream.recent
    if loss > stream.baseline.rate:
        recent = (*recent[-KEPT_LOSSES + 1 :], Lost(drift.n, call.seq, call.time))
    stream = replace(stream, drift=drift, recent=recent)
    if drift.alarmed:
        return _alarmed(stream, call)
    if stream.recovery is None:
        return stream, ()
    # An outcome that is not known shows no recovery: it counts as lost here.
    recovery = recovery_step(stream.recovery, 1.0 if call.outcome == "invalid" else loss)
    if not recovered(recovery):
        return replace(stream, recovery=recovery), ()
    told = {"below": recovery.below, "n": recovery.n, "losses": recovery.losses, "raised": stream.alarm}
    over = replace(stream, recovery=None, alarm=None)
    return over, (Event("resolved", call.time, call.seq, told),)


def _alarmed(stream: Stream, call: Call) -> tuple[Stream, tuple[Event, ...]]:
    """Raise an alarm, or count that the open one goes on. Either way its end is looked for anew."""
    assert stream.drift is not None
    assert stream.drift.last is not None
    assert stream.baseline is not None
    change = stream.drift.last.change
    shown = [lost for lost in stream.recent if lost.n > change.after]
    told = {
        "at": stream.n,
        "since": shown[0].time,
        "calls": change.n,
        "losses": change.losses,
        "rate": stream.baseline.rate,
        "measured_on": stream.baseline.n,
        "inherited": stream.inherited,
        "samples": [lost.seq for lost in shown],
        "run_length": stream.drift.rule.run_length,
    }
    kind: EventKind = "alarm" if stream.alarm is None else "still"
    raised = call.time if stream.alarm is None else stream.alarm
    below = back_below(stream.baseline.rate)
    return replace(stream, alarm=raised, recovery=Recovery(below)), (Event(kind, call.time, call.seq, told),)


# ---------------------------------------------------------------- silence


def fallen_silent(stream: Stream, now: float, run_length: float) -> Event | None:
    """That nothing comes any more, once: a silence that calls at the stream's pace would keep by chance less than once
    in a run length of gaps, and that is more than twice as long as any before.

    With k gaps of together T seconds before, calls that come independently keep silent for longer than g seconds with
    a chance of (1 + g / T)^-k, whatever their pace. Nights and weekends are not independent: hence the second bound.

    Source:  the predictive distribution of an exponential gap, e.g. Geisser 1993.
    """
    gaps, span, silence = stream.n - 1, stream.last - stream.first, now - stream.last
    if stream.silent is not None or gaps < LEAST_GAPS or span <= 0:
        return None
    if silence <= max(LEAST_SILENCE, 2 * stream.longest):
        return None
    if gaps * math.log1p(silence / span) < math.log(run_length):
        return None
    told = {"since": stream.last, "seconds": silence, "a_day": gaps / span * DAY, "longest": stream.longest}
    return Event("silent", now, None, told)


# ---------------------------------------------------------------- what was spent of the target's allowance


def spend_of(days: tuple[Day, ...], allowed: float, since: int, until: int) -> tuple[int, float, float | None]:
    """Calls that could be judged, losses, and the share of what the target allowed of them, in these days (inclusive).

    >>> spend_of((Day(3, 100, 1.0, 0), Day(4, 110, 2.0, 10)), 0.01, 4, 4)
    (100, 2.0, 2.0)
    """
    mine = [one for one in days if since <= one.day <= until]
    n, losses = sum(one.n - one.invalid for one in mine), sum(one.losses for one in mine)
    return n, losses, losses / (allowed * n) if n and allowed else None


# ---------------------------------------------------------------- storage


def stream_json(stream: Stream) -> dict[str, Any]:
    """The stream as plain JSON values; `stream_from` gives back an equal one."""
    kept = {name: getattr(stream, name) for name in Stream.__dataclass_fields__}
    kept |= {
        "terms": _flat(stream.terms),
        "baseline": stream.baseline and _flat(stream.baseline),
        "drift": stream.drift and to_json(stream.drift),
        "recovery": stream.recovery and _flat(stream.recovery),
        "recent": [[one.n, one.seq, one.time] for one in stream.recent],
        "days": [[one.day, one.n, one.losses, one.invalid] for one in stream.days],
    }
    return kept


def _flat(value: Terms | Baseline | Recovery) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}


def stream_from(stored: Mapping[str, Any]) -> Stream:
    """Raises: ValueError for something else, or a state that this version cannot read."""
    try:
        return Stream(
            **{
                **stored,
                "terms": Terms(**stored["terms"]),
                "learning": (stored["learning"][0], stored["learning"][1]),
                "baseline": None if stored["baseline"] is None else Baseline(**stored["baseline"]),
                "drift": None if stored["drift"] is None else from_json(stored["drift"]),
                "recovery": None if stored["recovery"] is None else _recovery(stored["recovery"]),
                "recent": tuple(Lost(*one) for one in stored["recent"]),
                "days": tuple(Day(*one) for one in stored["days"]),
            }
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not the state of a stream ({type(error).__name__}: {error})") from error


def _recovery(stored: Mapping[str, Any]) -> Recovery:
    return Recovery(**{**stored, "bets": tuple(stored["bets"])})
