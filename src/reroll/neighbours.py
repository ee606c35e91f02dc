"""Neighbours of a case: the same difficulty in another guise, each with the checks that its right answer must pass.

Everything here is made by rule, and keeps the right answer by construction: a manner that changes no matter, or a value
that is changed in the input and in what is expected alike. Whether the baseline ever passes is asked of runs, not here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reroll import manners, swapping
from reroll.case import Case
from reroll.check import Check
from reroll.errors import UsageError
from reroll.halves import halves, kind_of
from reroll.match import nearest
from reroll.pinned import Pinned, pinned
from reroll.program import Program
from reroll.swapping import Swap

__all__ = [
    "KINDS",
    "LOOKALIKE",
    "WRITTEN",
    "Neighbour",
    "as_neighbour",
    "halves",
    "in_turn",
    "kind_of",
    "kinds_of",
    "neighbours",
    "new_id",
    "no_kind_why",
]

Generator = Callable[[Pinned, Sequence[Case], int], Iterator[Swap]]
WRITTEN, LOOKALIKE = "written", "lookalike"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A case that belongs to another one. kind: one of KINDS, `written` by the model, or `lookalike`; why: what was
    changed, in words."""

    case: Case
    kind: str
    why: str

    @property
    def id(self) -> str:
        return self.case.id

    @property
    def input(self) -> dict[str, Any]:
        return self.case.input

    @property
    def checks(self) -> tuple[Check, ...]:
        return self.case.checks

    @property
    def set(self) -> Literal["case", "neighbour", "lookalike", "control"]:
        return self.case.set


@dataclass(frozen=True, slots=True)
class _Kind:
    words: str
    make: Generator


def _alone(make: Callable[[Pinned, int], Iterator[Swap]]) -> Generator:
    return lambda of, others, most: make(of, most)


def _orders(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    yield from swapping.order_changed(of, others, most)
    yield from manners.orders(of, most)


_MAKERS: Mapping[str, _Kind] = {
    "paraphrase": _Kind("the same request in other words, by rule", _alone(manners.wordings)),
    "entity": _Kind("another person's name, where the checks expect it", swapping.names_changed),
    "number": _Kind("another number, where the checks expect it", swapping.numbers_changed),
    "time": _Kind("another time of day, where the checks expect it", swapping.times_changed),
    "date": _Kind("another date or day of the week, where the checks expect it", swapping.dates_changed),
    "locale": _Kind("a time, date, amount or spelling as another place writes it", _alone(manners.locales)),
    "order": _Kind("names, sentences or the time in another order", _orders),
    "length": _Kind("longer by sentences that say nothing to the matter", _alone(manners.lengths)),
    "format": _Kind("other typography and layout", _alone(manners.formats)),
    "register": _Kind("as it is spoken, or as a formal letter has it", _alone(manners.registers)),
    "two": _Kind("a second, idle wish beside it, which asks for nothing in the answer", _alone(manners.two_in_one)),
}
KINDS: Mapping[str, str] = {name: kind.words for name, kind in _MAKERS.items()}
"""Each kind by the name that ids and `--kinds` have, in words."""


def kinds_of(names: Sequence[str]) -> tuple[str, ...]:
    """These kinds, each once, in the order of KINDS, look-alikes last; all where none is named.

    Raises: UsageError for an unknown one.
    """
    known = (*KINDS, LOOKALIKE)
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f"; the kinds are {', '.join(known)}"
            raise UsageError(f"no kind of neighbours `{name}`{hint}", slug="neighbours")
    return tuple(kind for kind in known if kind in names or not names)


def neighbours(
    case: Case, program: Program, cases: Sequence[Case] = (), kinds: Sequence[str] = (), most: int | None = None
) -> tuple[Neighbour, ...]:
    """Neighbours by rule, of each kind in turn until there are `most`; grouped by kind in the answer.

    None of them has the input of another one or of one of `cases`, the project's; ids are new there: `CASE~KIND-1`.

    Raises: UsageError for a kind that does not exist.

    >>> case = Case(id="lunch", input={"request": "Lunch with Ana at noon"}, checks=[{"json": {"who": "Ana"}}])
    >>> for one in neighbours(case, Program(program="p"), most=3):
    ...     print(one.id, "|", one.input["request"], "|", one.why)
    lunch~paraphrase-1 | Please take care of this: Lunch with Ana at noon | a please set or taken away
    lunch~entity-1 | Lunch with Olga at noon | Ana became Olga
    lunch~locale-1 | Lunch with Ana at 12:00 | “noon” is written “12:00”
    """
    wanted = [kind for kind in kinds_of(kinds) if kind in KINDS]
    if program.raw is not None or not case.input:
        return ()
    of, others = pinned(case, program), [one for one in cases if one.id != case.id]
    room = (24 if most is None else most) + sum(one.of == case.id for one in others)  # what is there is made again
    made = [zip(itertools.repeat(kind), _MAKERS[kind].make(of, others, room), strict=False) for kind in wanted]
    known = {case.content_id, *(one.content_id for one in cases)}
    taken = {one.id for one in cases}
    found: list[Neighbour] = []
    for kind, swap in (one for turn in itertools.zip_longest(*made) for one in turn if one is not None):
        if swap.case.content_id not in known and (most is None or len(found) < most):
            known.add(swap.case.content_id)
            id = new_id(case.id, kind, taken)
            taken.add(id)
            found.append(Neighbour(as_neighbour(swap.case, case, id), kind, swap.why))
    return tuple(one for kind in wanted for one in found if one.kind == kind)


def in_turn(found: Sequence[Neighbour]) -> list[Neighbour]:
    """The same in another order: the first of every kind, then the second of every kind, and so on."""
    by_kind = [[one for one in found if one.kind == kind] for kind in dict.fromkeys(one.kind for one in found)]
    return [one for turn in itertools.zip_longest(*by_kind) for one in turn if one is not None]


def new_id(case_id: str, kind: str, taken: set[str]) -> str:
    """The first id of this kind that nobody has."""
    return next(id for n in itertools.count(1) if (id := f"{case_id}~{kind}-{n}") not in taken)


def as_neighbour(new: Case, of: Case, id: str) -> Case:
    """The case under this id, as a neighbour of the other one (or of the one that this one is a neighbour of)."""
    whose = of.of if of.set == "neighbour" and of.of else of.id
    return new.model_copy(update={"id": id, "set": "neighbour", "of": whose})


def no_kind_why(case: Case, program: Program) -> str:
    """Why nothing can be made by rule, in a few words."""
    if program.raw is not None:
        return "the program is a stored request, sent as it is"
    of = pinned(case, program)
    if not of.texts and not of.numbers:
        return "its input has no text that the program sends"
    if not of.clear:
        return "its checks run code or ask somebody, so no value can be changed in them, and no rule fits its words"
    return "no value of its input stands among what its checks expect, and no rule fits its words"
