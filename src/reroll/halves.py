"""Neighbours parted into a half for choosing and a sealed one: by content and order, so that adding one moves none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from reroll.case import Case

__all__ = ["halves", "kind_of"]

KIND = re.compile(r"~([a-z]+)-\d+$")


def kind_of(case_id: str) -> str:
    """The kind that made a neighbour, as its id tells; empty where a person named it.

    >>> kind_of("next-friday~entity-1"), kind_of("next-friday-call")
    ('entity', '')
    """
    match = KIND.search(case_id)
    return match[1] if match else ""


def halves(cases: Sequence[Case]) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Those to choose by and those that stay sealed, each in the order given: equal in number, or one apart.

    Cases are taken two by two in their order. The first of two goes where its kind has fewer, or where its content
    says; the second to the other half. So a case that is added at the end moves none, whatever it is: put new ones
    there. (Were only the set of cases to count, not their order, equal halves that never move could not be had: of any
    three cases two would begin in the same half.) Cases with the same input are one: copies go where the first one is.
    """
    sides: dict[str, bool] = {}  # by content: whether it is sealed
    ahead: dict[str, int] = {}  # by kind: how many more are sealed
    first: bool | None = None  # where the first of the two went whose second is still to come
    for case in cases:
        if case.content_id in sides:
            continue
        kind = kind_of(case.id)
        if first is None:
            more = ahead.get(kind, 0)
            sealed = more < 0 if more else _coin(case)
            first = sealed
        else:
            sealed, first = not first, None
        sides[case.content_id] = sealed
        ahead[kind] = ahead.get(kind, 0) + (1 if sealed else -1)
    return (
        tuple(c for c in cases if not sides[c.content_id]),
        tuple(c for c in cases if sides[c.content_id]),
    )


def _coin(case: Case) -> bool:
    return bool(hashlib.blake2b(f"halves {case.content_id}".encode(), digest_size=1).digest()[0] & 1)
