"""How many draws of one model may be in flight: as many as its server lets through, in fair shares among runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Hashable
from weakref import WeakKeyDictionary

from reroll.models.model import Model, bare
from reroll.sample import Sample

__all__ = ["Gate", "Place", "gate_of"]

THROTTLED = (429, 529)
GENTLE = 1 / 8  # places gained per round of good draws, at first, once it is known how many are too many
Waiting = deque[asyncio.Future[None]]


class Place:
    """One draw's place at a gate, when it has one; `share` says which run it belongs to."""

    __slots__ = ("held", "round", "share", "told")

    def __init__(self, share: Hashable) -> None:
        self.share = share
        self.held = False
        self.told = False  # whether the gate knows that the server sent this draw away
        self.round = 0


class Gate:
    """How many draws of one model may be in flight. Wide open until the server first says that it is too much.

    How wide. Each draw that the server sends away takes one place, but all that were under way together take half at
    most: so the gate comes down fast where most are sent away, and by one where one is. Good draws widen it,
    by one place for each round of as many; by an eighth of that at first, once it has come down to what got
    through, then twice as much with every place won. No clock is asked, so none that jumps does harm.

    Who. Runs that wait get places in turn, one each, whatever they ask for: shares are equal to within one
    draw. A draw that was sent away gives its place to another while it waits, and then goes before all that are new.
    While every draw is waiting so, none that is new tries the server.

    Entering and leaving take the same time however many wait.
    """

    def __init__(self) -> None:
        self.limit = float("inf")
        self.running = 0
        self.asleep = 0  # draws that were sent away and will come back
        self._round = 0
        self._least = 1.0  # what the draws of the round before this one may bring the limit down to
        self._pace = 1.0
        self._won = 0.0  # places won at this pace
        self._back: Waiting = deque()  # draws that have slept
        self._of: dict[Hashable, Waiting] = {}
        self._turns: deque[Hashable] = deque()  # whose turn it is; every run that waits, once

    async def enter(self, place: Place) -> None:
        """Wait for a place and take it."""
        if self._turns or self._back or not self._has_room(new=True):
            queue = self._of.get(place.share)
            if queue is None:
                queue = self._of[place.share] = deque()
                self._turns.append(place.share)
            await self._wait(queue)
        else:
            self.running += 1
        place.held, place.told, place.round = True, False, self._round

    def leave(self, place: Place, sample: Sample | None) -> None:
        """Give the place back and learn from how the draw went (None: it was stopped)."""
        if sample is not None and place.held:
            sent_away = [a.status in THROTTLED for a in sample.attempts]
            if sent_away and (sent_away[-1] or (not place.told and any(sent_away))):
                self._too_many(place)
            elif self.running + 1 >= self.limit:
                self._grow()
        self._give_back(place)
        self._wake()

    async def away(self, place: Place, pause: Awaitable[None]) -> None:
        """The server sent this draw away: learn from that, and take the place again once `pause` is over."""
        self._too_many(place)
        place.told = True
        self._give_back(place)
        self.asleep += 1
        self._wake()
        try:
            await pause
        except BaseException:
            self.asleep -= 1
            self._wake()
            raise
        self.asleep -= 1
        if self._back or not self._has_room(new=False):
            await self._wait(self._back)
        else:
            self.running += 1
            self._wake()
        place.held, place.round = True, self._round

    def _has_room(self, *, new: bool) -> bool:
        return self.running + 1 <= self.limit and not (new and self.asleep and not self.running)

    async def _wait(self, queue: Waiting) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        self._wake()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was ours already: pass it on
                self.running -= 1
                self._wake()
            raise

    def _give_back(self, place: Place) -> None:
        self.running -= place.held
        place.held = False

    def _wake(self) -> None:
        """Give places to those that wait, as many as there are."""
        while self._back and self._has_room(new=False):
            self._grant(self._back)
        while self._turns and self._has_room(new=True):
            share = self._turns.popleft()
            queue = self._of[share]
            self._grant(queue)
            if queue:
                self._turns.append(share)
            else:
                del self._of[share]

    def _grant(self, queue: Waiting) -> None:
        """A place for the first in the queue that still wants one."""
        while queue:
            place = queue.popleft()
            if not place.done():
                self.running += 1
                place.set_result(None)
                return

    def _too_many(self, place: Place) -> None:
        if place.round == self._round:
            self._round += 1
            self.limit = min(self.limit, self.running)
            self._least = max(1.0, self.limit / 2)
            self._pace, self._won = GENTLE, 0.0
        elif place.round < self._round - 1:
            return  # old news
        self.limit = max(self._least, self.limit - 1)
        if self.limit == self._least:
            self._pace = 1.0  # far too many: how many get through is not known yet

    def _grow(self) -> None:
        step = self._pace / self.limit
        self.limit += step
        self._won += step
        if self._won >= 1:
            self._pace, self._won = min(1.0, 2 * self._pace), 0.0


_gates: WeakKeyDictionary[Model, Gate] = WeakKeyDictionary()


def gate_of(model: Model) -> Gate:
    """The one gate of this model, shared by all runs that draw from it, through whatever steps."""
    model = bare(model)
    gate = _gates.get(model)
    if gate is None:
        gate = _gates[model] = Gate()
    return gate
