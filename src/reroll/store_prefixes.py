"""Which stored samples of a request begin with the same tokens, so that a beginning is stored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reroll.sample import Token
from reroll.store_tokens import Base

__all__ = ["Beginnings"]

MOST = 100_000  # beginnings remembered, about 100 bytes each; what comes later is stored whole


@dataclass(slots=True)
class Beginnings:
    """The beginnings of samples that this process stored or looked at, each with the first sample that had it.

    Equal means equal in everything: texts, ids, logprobs and alternatives. A server that reports other
    numbers for the same words shares nothing, since nothing may be lost.

    A beginning is known by a hash of 64 bits. Texts are hashed with a secret of the process (unless somebody sets
    PYTHONHASHSEED), so that no server can make two that collide.
    """

    most: int = MOST
    requests: set[str] = field(default_factory=set)  # those whose earlier samples were looked at
    _first: dict[int, int] = field(default_factory=dict)  # hash of a beginning -> seq

    @property
    def full(self) -> bool:
        """Nothing more is remembered, so that looking into the store for more is of no use."""
        return len(self._first) >= self.most

    def place(self, request_id: str, tokens: Sequence[Token], seq: int, new: dict[int, int]) -> Base | None:
        """The sample that shares most tokens with this one, if any; the rest of its beginnings go to `new`.

        `new` is given to `learn` once the sample is stored for good; until then it is looked into as well.
        """
        found, shared, known = 0, 0, True
        place = hash(request_id)
        for n, t in enumerate(tokens, 1):
            place = hash((place, t.text, t.logprob, t.top, t.id, t.top_ids))
            if known:
                first = self._first.get(place) or new.get(place)
                if first is not None:
                    found, shared = first, n
                    continue
                known = False
            if len(self._first) + len(new) >= self.most:
                break
            new[place] = seq
        return Base(found, shared) if shared else None

    def learn(self, new: dict[int, int]) -> None:
        self._first.update(new)
