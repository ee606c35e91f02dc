"""Which of production's calls a model judges: a share of them by chance, and at most so many a day.

Neither looks at an answer, so the calls that are judged fail as often as all do, and a rule that holds for each call
given those before it holds for them alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Judgings", "by_chance", "judgings_from", "judgings_json", "left_today", "one_more"]

DAY = 86400


@dataclass(frozen=True, slots=True)
class Judgings:
    """How many calls were put before judges: on the newest day (UTC, counted from 1970), and ever."""

    day: int = 0
    calls: int = 0
    ever: int = 0


def by_chance(id: str, share: float) -> bool:
    """Whether the call of this id is in the share: the same whoever asks and however often, whatever the answer.

    >>> sum(by_chance(f"s_{n}", 0.1) for n in range(10_000))
    995
    """
    drawn = int.from_bytes(hashlib.blake2b(f"judged {id}".encode(), digest_size=8).digest())
    return drawn < share * 2.0**64


def left_today(so_far: Judgings, now: float, most: int) -> int:
    """How many more calls may be judged on the day of `now` (Unix time), of `most` a day."""
    return max(0, most - (so_far.calls if so_far.day >= int(now // DAY) else 0))


def one_more(so_far: Judgings, now: float) -> Judgings:
    """With one more call, put before judges now. A clock that is set back begins no new day."""
    day = max(int(now // DAY), so_far.day)
    return Judgings(day, 1 + (so_far.calls if day == so_far.day else 0), so_far.ever + 1)


def judgings_json(so_far: Judgings) -> dict[str, int]:
    return asdict(so_far)


def judgings_from(value: Mapping[str, Any] | None) -> Judgings:
    """As it was kept; none where nothing was. Raises: KeyError, TypeError, ValueError for what is no such thing."""
    return Judgings() if value is None else Judgings(*(int(value[name]) for name in ("day", "calls", "ever")))
