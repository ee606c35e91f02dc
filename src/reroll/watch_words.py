"""What a watch says: sentences made of its numbers, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reroll.numbers import counts, percent
from reroll.watching import Event

__all__ = ["called", "event_words", "moment_words", "promise_words", "span_words"]

JSON = Any
SHOWN = ("model", "program", "prompt", "fingerprint", "case")


def called(named: Mapping[str, JSON]) -> str:
    """A stream as people call it: its name, and what makes it one of several.

    >>> called({"name": "dates", "what": "fail", "model": "gpt-4o", "program": "p1:ab12cd34ef"})
    'dates (gpt-4o, program p1:ab12cd34)'
    """
    parts = [str(named["model"])] if named.get("model") else []
    parts += [f"{part} {_short(named[part])}" for part in SHOWN[1:] if named.get(part)]
    inside = f" ({', '.join(parts)})" if parts else ""
    text = f"{named['name']}{inside}"
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _short(id: JSON) -> str:
    head, mark, rest = str(id).partition(":")
    return f"{head}:{rest[:8]}" if mark and len(head) <= 3 else str(id)[:60]


def moment_words(time: float) -> str:
    """A time (Unix) as people say it.

    >>> moment_words(1795780920)
    'Fri 27 Nov 2026 12:02 UTC'
    """
    return f"{datetime.fromtimestamp(time, UTC):%a %d %b %Y %H:%M} UTC"


def span_words(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> [span_words(s) for s in (90, 5400, 100_000, 864_000)]
    ['2 minutes', '2 hours', '28 hours', '10 days']
    """
    units = (("minute", 60, 90), ("hour", 3600, 72))
    unit, size = next(((name, size) for name, size, most in units if seconds < size * most), ("day", 86400))
    return counts(unit, max(1, round(seconds / size)))


def promise_words(weeks: float, calls: float | None) -> str:
    """What is promised of false alarms.

    >>> promise_words(8.0, None)
    'at most one false alarm in 8 weeks on average, all streams together'
    """
    often = counts("week", round(weeks)) if weeks >= 1 and weeks == round(weeks) else f"{weeks:g} weeks"
    often = counts("call", round(calls)) if calls is not None else often
    return f"at most one false alarm in {often} on average, all streams together"


def event_words(event: Event, named: Mapping[str, JSON]) -> str:
    """One or two plain sentences."""
    made = {
        "began": _began,
        "measured": _measured,
        "alarm": _alarm,
        "still": lambda event, named: f"Still: {_alarm(event, named)}",
        "resolved": _resolved,
        "silent": _silent,
        "spoke": _spoke,
    }[event.kind]
    return made(event, named)


def _began(event: Event, named: Mapping[str, JSON]) -> str:
    told = event.told
    after = f" It follows {told['follows']}: {told['why']}." if told.get("follows") else ""
    learn = told["learn"]
    base = f"its first {counts('call', learn)} measure its baseline" if learn else f"{percent(told['rate'])} is normal"
    if told.get("inherited"):
        base += f", and until then at most {_rate(told['inherited'], named)} is normal, as in the version before"
    return f"A new stream: {called(named)}, first seen {moment_words(event.time)}; {base}.{after}"


def _measured(event: Event, named: Mapping[str, JSON]) -> str:
    told, did = event.told, _did(named)
    if told["rate"] is None:
        return (
            f"All of {counts('call', told['n'])} of {called(named)} {did}, so there is no baseline to be worse than; "
            "it is measured again."
        )
    found = f"{_sum(told['losses'])} of {counts('call', told['n'])} {did}"
    return f"The baseline of {called(named)} is measured: {found}; at most {_rate(told['rate'], named)} is normal."


def _alarm(event: Event, named: Mapping[str, JSON]) -> str:
    told = event.told
    what = f"{_sum(told['losses'])} of {counts('call', told['calls'])} of {called(named)} {_did(named)}"
    if named.get("what") == "loss":
        what = (
            f"{counts('call', told['calls'])} of {called(named)} lost {told['losses'] / told['calls']:.2f} on average"
        )
    normal = "was normal in the version before" if told.get("inherited") else "is normal"
    return f"Since {moment_words(told['since'])}, {what}; at most {_rate(told['rate'], named)} {normal}."


def _resolved(event: Event, named: Mapping[str, JSON]) -> str:
    told = event.told
    return (
        f"Over: {called(named)} is shown to be back below {_rate(told['below'], named)} "
        f"(since the alarm {_sum(told['losses'])} of {counts('call', told['n'])} {_did(named)})."
    )


def _silent(event: Event, named: Mapping[str, JSON]) -> str:
    told = event.told
    pace = f"{told['a_day']:,.0f} a day" if told["a_day"] >= 1.5 else f"one in {span_words(86400 / told['a_day'])}"
    return (
        f"{called(named)} is silent: nothing came since {moment_words(told['since'])} "
        f"({span_words(told['seconds'])}); usual is {pace}."
    )


def _spoke(event: Event, named: Mapping[str, JSON]) -> str:
    return f"{called(named)} is heard again, after silence since {moment_words(event.told['silent_since'])}."


def _did(named: Mapping[str, JSON]) -> str:
    return {"invalid": "brought nothing back", "loss": "were lost"}.get(str(named.get("what")), "failed")


def _rate(rate: float, named: Mapping[str, JSON]) -> str:
    return f"{rate:.2f}" if named.get("what") == "loss" else percent(rate, "up")


def _sum(losses: float) -> str:
    return f"{losses:,.0f}" if float(losses).is_integer() else f"{losses:,.1f}"
