"""What was stored a moment ago, judged while more is drawn: nothing of it is read again, little is left for the end.

A draw is judged once its sample is stored, never before. Only checks that take no time are held against it here: a
person, and a check in a process of its own, are asked when nothing is in flight (`SLOW`). Any other that takes long
after all gets a quarter of the time at most; what it has not got to is judged when somebody asks for the runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.runs import Judged, size_of
from reroll.sample import Sample
from reroll.store import Store, StoredSample

__all__ = ["AtHand", "Place", "judges_at_once"]

SLOW = ("python", "person", "judge")
TURN = 0.002  # seconds of judging between two turns of the event loop
PATIENCE = 3  # so many times as long as that took, judging waits
TOGETHER = 250  # outcomes that share a commit; fewer where somebody asks for them
MOST = 16 << 20  # bytes of samples that are held; what is more is read from the store

Key = tuple[str, ...]  # request id, series, ids of the checks


def judges_at_once(case: Case) -> bool:
    """Whether the checks of this case take no time, so that calls may be in flight meanwhile."""
    return not any(inner.kind in SLOW for check in case.checks for inner in check.walk())


@dataclass(slots=True)
class Place:
    """Draws of one place: `waiting` are not judged yet, `judged` are, by `seq`; `fresh` outcomes are not stored yet."""

    store: Store
    ids: Sequence[str]
    judge: Callable[[Sample], list[Outcome]]
    waiting: deque[StoredSample] = field(default_factory=deque)
    judged: dict[int, Judged] = field(default_factory=dict)
    fresh: dict[str, list[tuple[str, Outcome]]] = field(default_factory=dict)

    def judge_one(self) -> None:
        """Judge the one that waits longest."""
        stored = self.waiting.popleft()
        said = tuple(self.judge(stored.sample))
        self.judged[stored.seq] = Judged(stored, overall(said), said)
        # A check that could not run is asked again by the next command.
        self.fresh[stored.id] = [(id, one) for id, one in zip(self.ids, said, strict=True) if not one.broken]

    def keep(self) -> None:
        """Store the outcomes that are not. Raises: StoreError."""
        fresh, self.fresh = self.fresh, {}
        self.store.add_all_outcomes(fresh)


class AtHand:
    """The places of one command whose draws are judged so: those that `watch` was told of."""

    def __init__(self) -> None:
        self._places: dict[Key, Place] = {}
        self._by_series: dict[tuple[str, str], list[Place]] = {}
        self._busy: dict[int, Place] = {}  # those with draws that wait, by identity, in turn
        self._held = 0  # bytes
        self._loop: asyncio.AbstractEventLoop | None = None  # in which the next turn is asked for

    def watch(self, key: Key, place: Callable[[], Place]) -> None:
        """Judge what is stored there from now on. To be told once its checks are known: what is older never counts."""
        if key not in self._places:
            made = self._places[key] = place()
            self._by_series.setdefault((key[0], key[1]), []).append(made)

    def add(self, new: Iterable[StoredSample]) -> None:
        """These were stored just now. Soon judged, by and by, as long as the loop runs."""
        for stored in new:
            for place in self._by_series.get((stored.request_id, stored.series), ()):
                if self._held < MOST:
                    self._held += size_of(stored.sample)
                    place.waiting.append(stored)
                    self._busy[id(place)] = place
        if self._busy:
            self._ask_for_a_turn(0.0)

    def take(self, key: Key) -> dict[int, Judged]:
        """All that is at hand of a place, judged, its outcomes stored, by `seq`; it is no longer held here.

        Raises: StoreError where outcomes cannot be stored; then nothing is at hand.
        """
        place = self._places[key]
        self._busy.pop(id(place), None)
        try:
            while place.waiting:
                place.judge_one()
            place.keep()
        except BaseException:
            self._forget(place)
            raise
        found, place.judged = place.judged, {}
        self._held -= sum(size_of(one.stored.sample) for one in found.values())
        return found

    def _ask_for_a_turn(self, wait: float) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # one is asked for already, or was of a loop that is gone
            self._loop = loop
            loop.call_later(wait, self._turn)

    def _turn(self) -> None:
        """Judge for a while."""
        self._loop = None
        begun = time.perf_counter()
        while self._busy and time.perf_counter() - begun < TURN:
            at, place = next(iter(self._busy.items()))
            place.judge_one()
            if not place.waiting:
                del self._busy[at]
            if len(place.fresh) >= TOGETHER:
                try:
                    place.keep()
                except Exception:  # whoever asks for the runs judges these again, and is told then
                    self._forget(place)
        if self._busy:
            self._ask_for_a_turn(PATIENCE * (time.perf_counter() - begun))

    def _forget(self, place: Place) -> None:
        """Hold nothing of this place: it is read from the store."""
        self._held -= sum(size_of(one.sample) for one in place.waiting)
        self._held -= sum(size_of(one.stored.sample) for one in place.judged.values())
        place.waiting.clear()
        place.judged, place.fresh = {}, {}
        self._busy.pop(id(place), None)
