"""Outcomes in the order drawn, one byte each: a million of them take a megabyte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

__all__ = ["CODE", "FAIL", "INVALID", "PASS", "WORDS", "Codes", "Outcomes", "codes_of"]

Word = Literal["pass", "fail", "invalid"]
Codes = npt.NDArray[np.uint8]

WORDS: tuple[Word, Word, Word] = ("pass", "fail", "invalid")
CODE: dict[str, int] = {word: code for code, word in enumerate(WORDS)}
PASS, FAIL, INVALID = range(3)


class Outcomes(Sequence[Word]):
    """Outcome words that never change. Slices are `Outcomes` again; equal to any sequence of the same words.

    Raises: ValueError for a word that is no outcome.

    >>> seen = Outcomes(["pass", "fail", "pass"])
    >>> seen[1], seen[1:], seen.count("pass")
    ('fail', Outcomes(['fail', 'pass']), 2)
    """

    __slots__ = ("_codes",)

    def __init__(self, words: Iterable[str] = ()) -> None:
        try:
            self._codes = bytes(map(CODE.__getitem__, words))
        except KeyError as error:
            raise ValueError(f"an outcome is pass, fail or invalid, got {error.args[0]!r}") from None

    @classmethod
    def of_codes(cls, codes: bytes | bytearray | memoryview[int]) -> Outcomes:
        """The words of these codes (`PASS`, `FAIL`, `INVALID`), copied."""
        made = cls.__new__(cls)
        made._codes = bytes(codes)
        return made

    @classmethod
    def in_rounds(cls, rows: Sequence[Outcomes]) -> Outcomes:
        """The first of every row, the second of every row, and so on, as far as every row goes.

        >>> Outcomes.in_rounds([Outcomes(["pass", "pass"]), Outcomes(["fail"])])
        Outcomes(['pass', 'fail'])
        """
        rounds = min(map(len, rows), default=0)
        codes = bytearray(rounds * len(rows))
        for k, row in enumerate(rows):
            codes[k :: len(rows)] = row._codes[:rounds]
        return cls.of_codes(codes)

    @property
    def codes(self) -> Codes:
        """(n,) uint8, not to be written to."""
        return np.frombuffer(self._codes, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, at: int) -> Word: ...
    @overload
    def __getitem__(self, at: slice) -> Outcomes: ...
    def __getitem__(self, at: int | slice) -> Word | Outcomes:
        if isinstance(at, slice):
            return Outcomes.of_codes(self._codes[at])
        return WORDS[self._codes[at]]

    def __iter__(self) -> Iterator[Word]:
        return map(WORDS.__getitem__, self._codes)

    def __add__(self, other: Sequence[str]) -> Outcomes:
        return Outcomes.of_codes(self._codes + (other if isinstance(other, Outcomes) else Outcomes(other))._codes)

    def count(self, value: Any) -> int:
        """How often a word is among them."""
        code = CODE.get(value)
        return 0 if code is None else self._codes.count(code)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Outcomes):
            return self._codes == other._codes
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Outcomes({list(self)!r})"


def codes_of(outcomes: Sequence[str]) -> Codes:
    """(n,) uint8: `PASS`, `FAIL` or `INVALID` for each; without a copy for `Outcomes`. Raises: ValueError."""
    return (outcomes if isinstance(outcomes, Outcomes) else Outcomes(outcomes)).codes
