"""What a follow-up asks for: a plain table of patterns, the first that fits decides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["CAN_ASK", "Wish", "wish_of"]

Does = Literal["certify", "special", "guard", "cause", "rerun"]
CAN_ASK = (
    "Ask me “is it 99 % reliable?”, “why?”, “can't we just hard-code it?”, “can't we detect it and stop it?” or “run "
    "it again”, and I measure that."
)
WAYS: tuple[tuple[Does, bool, str], ...] = (
    ("certify", True, r"\b(?:[5-9]\d|100)(?:[.,]\d+)?\s*(?:%|percent|per cent)|\breliab"),
    ("special", True, r"\bhard-?\s?cod|\bspecial[- ]cas|\bif[- ](?:statement|clause|branch)|\ban if\b"),
    ("guard", True, r"\bdetect|\bstop it\b|\bguard|\bblock"),
    ("cause", True, r"\bwhy\b|\broot cause|\bthe cause\b"),
    ("rerun", True, r"\bre-?run|\bagain\b|\bonce more\b"),
    ("special", False, r"\bif\b"),
)
TABLE = tuple((does, plain, re.compile(pattern, re.I)) for does, plain, pattern in WAYS)
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:%|percent|per cent)", re.I)


@dataclass(frozen=True, slots=True)
class Wish:
    """does: what is to be measured; target: for certify, where a rate was named. plain: said so plainly that it is
    meant even where nobody called us."""

    does: Does
    target: float | None = None
    plain: bool = True


def wish_of(words: str) -> Wish | None:
    """What the words ask for; None where they ask for nothing that can be measured.

    >>> wish_of("But we need this to be 99.5 % reliable").target
    0.995
    >>> wish_of("Can't we just hard-code it?").does, wish_of("just detect it and stop it").does
    ('special', 'guard')
    >>> wish_of("What if you re-run it?").does, wish_of("thanks!")
    ('rerun', None)
    """
    for does, plain, pattern in TABLE:
        if pattern.search(words):
            return Wish(does, _target(words) if does == "certify" else None, plain)
    return None


def _target(words: str) -> float | None:
    said = PERCENT.search(words)
    rate = float(said[1].replace(",", ".")) / 100 if said else 0.0
    return round(rate, 9) if 0.5 <= rate < 1 else None
