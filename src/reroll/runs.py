"""The judged runs of one place in the order drawn: small however many there are, read again where somebody asks."""

from __future__ import annotations

from array import array
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import overload

from reroll.check import Outcome, overall
from reroll.looking import said_by
from reroll.outcomes import CODE, Outcomes
from reroll.sample import Sample, made_often
from reroll.store import Store, StoredSample

__all__ = ["DAY", "PAGE", "Judged", "Room", "Runs", "day_words", "size_of"]

PAGE = 500  # runs that are read, judged and held together
WHOLE = 2 << 20  # bytes: some 1,500 runs with short answers; hardly anything asks for more than their columns
DAY = 86_400  # seconds
LAST_DAY = 0xFFFF  # in the year 2149
MOST_NAMES = 255
BARE = 1200  # bytes that a run takes beside its texts, about


@made_often
class Judged:
    """One stored sample with what its checks say: all together, and each one in the order of the case's checks."""

    stored: StoredSample
    outcome: Outcome
    each: tuple[Outcome, ...] = ()


@dataclass(slots=True)
class Room:
    """How many bytes of whole runs one command may still keep. What was taken is not given back."""

    left: int = WHOLE

    def take(self, judged: Judged) -> bool:
        """Whether there is room for it; then it is taken."""
        if self.left > 0:
            self.left -= size_of(judged.stored.sample)
            return True
        return False


@dataclass(slots=True)
class _Kept:
    """What is in memory of all runs, in columns by index: 21 bytes and one more for each check; and of some more.

    `said`: hashes, equal for runs that look alike on a screen; `days`: when they settled; `models`: which of `names`
    answered; `later`: whether another completion of the same call came before. `whole` and `broken` are by `seq`.
    """

    checks: tuple[bytearray, ...]
    codes: bytearray = field(default_factory=bytearray)
    later: bytearray = field(default_factory=bytearray)
    seqs: array[int] = field(default_factory=lambda: array("I"))  # wider once a number needs it: see _append
    indices: array[int] = field(default_factory=lambda: array("I"))
    said: array[int] = field(default_factory=lambda: array("q"))
    days: array[int] = field(default_factory=lambda: array("H"))
    models: array[int] = field(default_factory=lambda: array("B"))
    names: dict[str, int] = field(default_factory=dict)
    newest: int = 0
    whole: dict[int, Judged] = field(default_factory=dict)
    broken: dict[int, tuple[Outcome, ...]] = field(default_factory=dict)  # what the store does not have
    alike: dict[tuple[Outcome, ...], tuple[Outcome, ...]] = field(default_factory=dict)  # so that it is held once


class Runs(Sequence[Judged]):
    """Judged runs by index, as far as they were added: `judged` adds what came since.

    The order of drawing, not of arrival: that would favour quick answers. Of all runs the outcomes are in memory; of
    the first ones, as far as there is room, everything; others are read from the store again, a page at a time. So
    outcomes (`words`) cost nothing, going through all runs costs what reading them does, and `[k]` reads a page.
    """

    def __init__(self, store: Store, checks_ids: Sequence[str], room: Room | None = None, most: int | None = None):
        """`most`: only so many count, the first ones by index, whatever is added."""
        self._store, self._ids, self._room, self._most = store, tuple(checks_ids), room or Room(), most
        self._kept = _Kept(tuple(bytearray() for _ in checks_ids))
        self._page: dict[int, Judged] = {}  # the page that was read last

    def add(self, new: Iterable[Judged]) -> None:
        """Take in more runs, each once, in any order. Cheap where they belong near the end."""
        kept = self._kept
        before = len(kept.seqs)
        for judged in sorted(new, key=lambda j: j.stored.idx):
            stored, outcome, seq = judged.stored, judged.outcome, judged.stored.seq
            kept.seqs = _append(kept.seqs, seq)
            kept.indices = _append(kept.indices, stored.idx)
            kept.codes.append(CODE[outcome.outcome])
            kept.later.append(stored.choice > 0)
            kept.said.append(hash((outcome.outcome, said_by(stored.sample), outcome.reason)))
            kept.days.append(max(0, min(int(stored.settled // DAY), LAST_DAY)))
            # Past so many names all further ones are one number: nobody is shown more than four.
            kept.models.append(kept.names.setdefault(stored.sample.model or "", min(len(kept.names), MOST_NAMES)))
            for codes, one in zip(kept.checks, judged.each, strict=True):
                codes.append(CODE[one.outcome])
            kept.newest = max(kept.newest, seq)
            if any(one.broken for one in judged.each):
                kept.broken[seq] = kept.alike.setdefault(judged.each, judged.each)
            if self._room.take(judged):
                kept.whole[seq] = judged
        if 0 < before < len(kept.seqs) and kept.indices[before] < kept.indices[before - 1]:
            self._sort(bisect(kept.indices, kept.indices[before], 0, before))

    def _sort(self, start: int) -> None:
        """Put the runs from here on into their order; those before are in it."""
        kept = self._kept
        order = sorted(range(start, len(kept.seqs)), key=kept.indices.__getitem__)
        for numbers in (kept.seqs, kept.indices, kept.said, kept.days, kept.models):
            numbers[start:] = array(numbers.typecode, [numbers[k] for k in order])
        for codes in (kept.codes, kept.later, *kept.checks):
            codes[start:] = bytes([codes[k] for k in order])

    def first(self, n: int) -> Runs:
        """The first `n` of them, or all where there are fewer: they share what they keep."""
        part = Runs.__new__(Runs)
        part._store, part._ids, part._room, part._kept, part._page = self._store, self._ids, self._room, self._kept, {}
        part._most = n if self._most is None else min(n, self._most)
        return part

    def before(self, index: int) -> Runs:
        """Those with a lower index."""
        return self.first(bisect_left(self._kept.indices, index))

    def words(self, check: int | None = None) -> Outcomes:
        """Their outcomes as they are now; of one check, by its place among the case's, or of all together."""
        codes = self._kept.codes if check is None else self._kept.checks[check]
        return Outcomes.of_codes(memoryview(codes)[: len(self)])

    @property
    def indices(self) -> list[int]:
        """The index of each in its series, in order: gaps are draws that never came back."""
        return list(self._kept.indices[: len(self)])

    @property
    def seqs(self) -> memoryview[int]:
        """The `seq` of each, where they are: nothing can be added while somebody holds this."""
        return memoryview(self._kept.seqs)[: len(self)]

    @property
    def said(self) -> memoryview[int]:
        """A number for each, equal for those with the same outcome, text and reason; others differ but by a chance.

        Of 64 bits: that any two of a million different runs share one has a chance below 1e-7. Nothing can be added
        while somebody holds this.
        """
        return memoryview(self._kept.said)[: len(self)]

    def days(self) -> list[int]:
        """The days on which they settled, since 1970 (UTC), sorted."""
        return sorted(set(self._kept.days[: len(self)]))

    def models(self) -> list[str]:
        """What servers said answered, sorted; those that did not say are left out."""
        used = set(self._kept.models[: len(self)])
        return sorted(name for name, number in self._kept.names.items() if name and number in used)

    def several(self) -> bool:
        """Whether any of them came to a call with others before it."""
        return any(self._kept.later[: len(self)])

    @property
    def broken(self) -> int:
        """Of how many that were added a check could not run."""
        return len(self._kept.broken)

    def why_broken(self) -> str:
        """The most frequent reason for which a check could not run; "" where all could."""
        reasons = Counter(one.reason for each in self._kept.broken.values() for one in each if one.broken)
        return reasons.most_common(1)[0][0] if reasons else ""

    @property
    def newest(self) -> int:
        """The highest `seq` that was added, 0 before any: what came later has not been."""
        return self._kept.newest

    def __len__(self) -> int:
        n = len(self._kept.seqs)
        return n if self._most is None else min(n, self._most)

    @overload
    def __getitem__(self, at: int) -> Judged: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Judged]: ...
    def __getitem__(self, at: int | slice) -> Judged | Sequence[Judged]:
        found = range(len(self))[at]
        if isinstance(found, range):
            return [self[k] for k in found]
        seq = self._kept.seqs[found]
        if (whole := self._kept.whole.get(seq)) is not None:
            return whole
        if seq not in self._page:
            self._page = {judged.stored.seq: judged for judged in self._read(found - found % PAGE)}
        return self._page[seq]

    def __iter__(self) -> Iterator[Judged]:
        for start in range(0, len(self), PAGE):
            yield from self._read(start)

    def _read(self, start: int) -> list[Judged]:
        """The page that begins here: from memory what is there, the rest from the store."""
        kept = self._kept
        seqs = kept.seqs[start : min(start + PAGE, len(self))]
        missing = [seq for seq in seqs if seq not in kept.whole]
        again = {j.stored.seq: j for j in self._judged(self._store.of_seqs(missing))} if missing else {}
        return [kept.whole.get(seq) or again[seq] for seq in seqs]

    def _judged(self, stored: Sequence[StoredSample]) -> Iterator[Judged]:
        said = self._store.outcomes([one.id for one in stored], self._ids)
        for one in stored:
            each = self._kept.broken.get(one.seq) or tuple(said[one.id][id] for id in self._ids)
            yield Judged(one, overall(each), each)


def day_words(day: int) -> str:
    """A day, counted from 1970 (UTC), as people write it.

    >>> day_words(20000)
    '2024-10-04'
    """
    return datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d")


def _append(numbers: array[int], number: int) -> array[int]:
    """The numbers with one more, in as many bytes as they need."""
    try:
        numbers.append(number)
    except OverflowError:
        numbers = array("q", [*numbers, number])
    return numbers


def size_of(sample: Sample) -> int:
    """About how many bytes it takes in memory."""
    completion = sample.completion
    size = BARE + 200 * len(sample.attempts)
    if completion is not None:
        size += len(completion.text) + len(completion.refusal or "")
        if completion.tool_calls:
            size += 4 * len(repr(completion.tool_calls))
    return size
