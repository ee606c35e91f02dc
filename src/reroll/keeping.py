"""Samples into the store as they come back: one commit for all that came in the same turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from reroll.store import NewSample

__all__ = ["Keeper", "UnderWay"]


class Keeper:
    """Gathers what comes back and stores it before the loop waits for anything else.

    A commit for every sample costs more than drawing it. Under load many samples come in one turn, and share
    one; where few come nothing waits. A draw stays in flight until its sample is stored, so a kill loses what
    is in flight and no more.
    """

    def __init__(self, store: Callable[[Sequence[NewSample]], None]) -> None:
        self._store = store
        self._new: list[NewSample] = []
        self._stored: asyncio.Future[None] | None = None

    def add(self, new: NewSample) -> asyncio.Future[None]:
        """Store it soon. Returns what is done once it is stored, with the error if it could not be."""
        self._new.append(new)
        if self._stored is None:
            loop = asyncio.get_running_loop()
            self._stored = loop.create_future()
            loop.call_soon(self._soon)
        return self._stored

    def flush(self) -> None:
        """Store now what was gathered. Raises: what storing raises."""
        new, stored = self._new, self._stored
        self._new, self._stored = [], None
        try:
            if new:
                self._store(new)
        except BaseException as error:
            if stored is not None and not stored.done():
                stored.set_exception(error)
                stored.exception()  # seen: whoever waits is told too, but nobody need wait
            raise
        if stored is not None and not stored.done():
            stored.set_result(None)

    def _soon(self) -> None:
        try:
            self.flush()
        except Exception:  # those who wait have it
            return


class UnderWay:
    """Slots of one place that were handed out and whose samples are not stored yet, and the keeper that stores them.

    Batches that overlap share one: what comes back in the same turn shares a commit, whatever batch it is of.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.open: set[int] = set()
        self.failed: BaseException | None = None  # what storing raised
        self._closed = asyncio.Event()

    def close(self, slots: Iterable[int], stored: asyncio.Future[None] | None = None) -> None:
        """These are stored, or will never be; `stored` is what storing them came to."""
        if stored is not None and not stored.cancelled():
            self.failed = self.failed or stored.exception()
        self.open.difference_update(slots)
        self._closed.set()

    async def change(self) -> None:
        """Wait until something is closed."""
        await self._closed.wait()
        self._closed.clear()
