"""Who begins next where several programs are run side by side: in every round of one draw each, an order of chance.

Behind one address there is often more than one server, and calls go to them by turns.  Two programs that always begin
in the same order would each meet the same one, and the servers' difference would be taken for theirs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from contextvars import ContextVar

__all__ = ["Seat", "seat_of_this_task", "take_turns"]


class _Table:
    """Seats that begin their k-th draws in an order of chance, and no (k+1)-th one before all k-th ones."""

    def __init__(self, seats: int, key: str) -> None:
        self.chance = random.Random(key)
        self.begun = [0] * seats
        self.gone = [False] * seats
        self.orders: list[list[int]] = []
        self.changed = asyncio.Event()

    def _order(self, k: int) -> list[int]:
        while len(self.orders) <= k:
            order = list(range(len(self.begun)))
            self.chance.shuffle(order)
            self.orders.append(order)
        return self.orders[k]

    def may_begin(self, seat: int) -> bool:
        k = self.begun[seat]
        order = self._order(k)
        mine = order.index(seat)
        return all(
            self.gone[other] or self.begun[other] >= k + (order.index(other) < mine)
            for other in range(len(self.begun))
            if other != seat
        )

    def tell(self) -> None:
        """Whoever waits looks again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Seat:
    """One program's place at the table. Its draws begin one after the other: `waited`, then `begins`."""

    def __init__(self, table: _Table, number: int) -> None:
        self._table, self._number = table, number
        self.starting = asyncio.Lock()  # held from waiting for the turn until the draw has begun

    async def waited(self) -> None:
        """Return once it is this seat's turn."""
        while not self._table.may_begin(self._number):
            await self._table.changed.wait()

    def begins(self, *, last: bool = False) -> None:
        """A draw begins now: the next one's turn may have come. After the `last` one nobody waits for this seat."""
        self._table.begun[self._number] += 1
        self._table.gone[self._number] |= last
        self._table.tell()

    def leaves(self) -> None:
        """Nothing more begins here: nobody waits for this seat."""
        self._table.gone[self._number] = True
        self._table.tell()


_seat: ContextVar[Seat | None] = ContextVar("seat", default=None)


def seat_of_this_task() -> Seat | None:
    """The seat of the work that this task is part of; None where it is run beside nothing."""
    return _seat.get()


async def take_turns(work: Sequence[Awaitable[None]], key: str) -> None:
    """Do all of it at the same time, each to its end; `key` decides the orders.

    Raises: what the first of them raised.
    """
    table = _Table(len(work), key)

    async def seated(number: int, one: Awaitable[None]) -> None:
        seat = Seat(table, number)
        _seat.set(seat)  # seen by this task and those that it begins
        try:
            await one
        finally:
            seat.leaves()

    tasks = [seated(number, one) for number, one in enumerate(work)]
    for problem in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(problem, BaseException):
            raise problem
