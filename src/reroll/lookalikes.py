"""Look-alikes of a case: much the same words and another right answer, which a hasty patch would wrongly catch.

What the smallest edit of a request does to its right answer no rule can know, so most look-alikes are a person's to
write (`set: lookalike`). By rule there are two kinds: the project's own control cases that share most words; and those,
or look-alikes that somebody wrote, with another value in place of their own, which their checks follow.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from reroll.case import Case
from reroll.neighbours import LOOKALIKE, Neighbour, new_id
from reroll.numbers import percent
from reroll.pinned import pinned
from reroll.program import Program
from reroll.swapping import Swap, dates_changed, names_changed, numbers_changed, times_changed

__all__ = ["alike", "lookalikes", "near_controls"]

LEAST = 0.15  # of a case's words and pairs of words: with less in common nothing looks alike
EACH = 2  # values of one kind that are put into one source


def alike(case: Case, other: Case, program: Program) -> float:
    """The share of a case's words, and of its pairs of words, that the other one has too.

    >>> program = Program(program="p")
    >>> said = ("Lunch with Ana next Friday", "Lunch with Ana on Friday")
    >>> a, b = (Case(id=text, input={"request": text}) for text in said)
    >>> round(alike(a, b, program), 2)
    0.67
    """
    mine, theirs = _grams(case, program), _grams(other, program)
    return len(mine & theirs) / len(mine) if mine else 0.0


def near_controls(case: Case, program: Program, cases: Sequence[Case], most: int = 3) -> tuple[tuple[Case, float], ...]:
    """The project's control cases that share most words with the case, with the share, the nearest first."""
    found = [(other, alike(case, other, program)) for other in cases if other.set == "control" and other.checks]
    near = sorted((pair for pair in found if pair[1] >= LEAST), key=lambda pair: -pair[1])
    return tuple(near[:most])


def lookalikes(case: Case, program: Program, cases: Sequence[Case], most: int | None = None) -> tuple[Neighbour, ...]:
    """Written look-alikes with another value and control cases with one of the case's, those most alike first.

    A control case looks more like the case for it, and the checks of all follow. Whether the baseline answers it
    rightly is asked of runs, not here.
    """
    if program.raw is not None or not case.input:
        return ()
    known = {one.content_id for one in cases} | {case.content_id}
    taken = {one.id for one in cases}
    found: list[tuple[float, Swap, str]] = []
    for source in cases:
        written = source.set == "lookalike" and source.of == case.id
        if not (written or source.set == "control") or not source.checks or source.id == case.id:
            continue
        before = alike(case, source, program)
        for swap in _swaps(source, [case, *cases], program):
            share = alike(case, swap.case, program)
            if (written or share > before) and share >= LEAST and swap.case.content_id not in known:
                known.add(swap.case.content_id)
                found.append((share, swap, source.id))
    made: list[Neighbour] = []
    for share, swap, source_id in sorted(found, key=lambda one: -one[0])[:most]:
        id = new_id(case.id, LOOKALIKE, taken)
        taken.add(id)
        new = swap.case.model_copy(update={"id": id, "set": "lookalike", "of": case.id})
        made.append(Neighbour(new, LOOKALIKE, f"from {source_id}, {percent(share)} of the words alike: {swap.why}"))
    return tuple(made)


def _swaps(source: Case, others: Sequence[Case], program: Program) -> Iterator[Swap]:
    """The source with another value: of each kind those of the first of the others before the rest."""
    of = pinned(source, program)
    for make in (names_changed, dates_changed, times_changed, numbers_changed):
        yield from make(of, [one for one in others if one.id != source.id], EACH)


def _grams(case: Case, program: Program) -> set[tuple[str, ...]]:
    grams: set[tuple[str, ...]] = set()
    for text in pinned(case, program).texts:
        words = re.findall(r"\w+(?::\w+)*", text.lower())
        grams |= {(word,) for word in words} | set(itertools.pairwise(words))
    return grams
