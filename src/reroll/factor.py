"""What could be the cause of a case's failures, as values: each thing that can be changed, and its neutral levels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["Factor", "FactorClass", "Factors", "Level", "Place", "called", "groups_of"]

JSON = Any
QUOTED = 48  # characters of a sentence that is one of several
Place = tuple[str | int, ...]
FactorClass = Literal["user", "system", "few-shot", "schema", "context", "model", "decoding", "serving", "checker"]


@dataclass(frozen=True, slots=True)
class Level:
    """What a factor says instead. out: nothing, it is gone; text, value: this; order: this order of names; bare: its
    type without what narrows it."""

    how: Literal["out", "text", "value", "order", "bare"]
    value: JSON = None


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that could be the cause. `id` as in DESIGN section 3; two phrases of one sentence share it.

    place: where it stands in a draft; span: of the text there, if only a part of it; words: as an answer quotes it;
    levels: neutral ones, at least one, `out` first where it may be left out; shared: control cases have it, too;
    members: of several taken together, each; phrase: of a request so short that hardly any of it can be missed.
    """

    id: str
    cls: FactorClass
    words: str
    place: Place
    levels: tuple[Level, ...]
    shared: bool = True
    span: tuple[int, int] | None = None
    members: tuple[Factor, ...] = ()
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Factors:
    """All factors of a case, in the order of the request, and what was left out: id and why."""

    all: tuple[Factor, ...]
    left_out: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, k: int) -> Factor:
        return self.all[k]


def groups_of(factors: Sequence[Factor], without: Collection[int] = ()) -> tuple[Factor, ...]:
    """All parts of one kind as one factor each, where there are several: what many carry together shows so.

    Args:    without: numbers of those that must stay.
    """
    kinds = {"example": "examples", "document": "documents", "user": "user", "input": "input", "field": "descriptions"}
    out = []
    for place, word in kinds.items():
        members = tuple(f for k, f in enumerate(factors) if f.place[0] == place and k not in without and not f.members)
        if len(members) > 1:
            what = "sentences" if word in ("user", "input") else word
            words = f"{len(members)} {what} together: {', '.join(called(f) for f in members)}"
            shared = all(f.shared for f in members)
            out.append(
                replace(members[0], id=word, words=words, members=members, shared=shared, levels=(Level("out"),))
            )
    return tuple(out)


def called(member: Factor) -> str:
    """What it is called among several: a sentence by its words, as far as they go; anything else by its id."""
    if member.place[0] not in ("user", "input"):
        return member.id
    line = " ".join(member.words.split())
    return f"‘{line if len(line) <= QUOTED else line[: QUOTED - 1] + '…'}’"
