"""What is received goes into the store, many requests in one transaction, and is read from there beside the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from reroll.errors import RerollError, StoreError
from reroll.receiving import Reader
from reroll.store_received import NewBatch
from reroll.web.beside import beside
from reroll.web.home import Home

__all__ = ["Full", "Reading", "in_time", "reading"]

PATIENCE = 4.0  # seconds that a request waits for the store; exporters wait 10 for us
MOST_WAITING = 64 * 2**20  # bytes that wait for the store
MOST_UNREAD = 2 * 2**30  # bytes in the store that nobody read yet
EVERY = 1.0  # seconds between looks for batches that another server, or one before this, left
SLOW = 5.0  # seconds after which the batches behind a slow group are read beside it
LANES = 3


T = TypeVar("T")


async def in_time(answer: Awaitable[T]) -> T:
    """What the store answers, if it does so soon. Raises: TimeoutError where it does not; it goes on by itself."""
    asked = asyncio.ensure_future(answer)
    if not (await asyncio.wait({asked}, timeout=PATIENCE))[0]:
        asked.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody else hears of it
        raise TimeoutError
    return asked.result()


class Full(Exception):
    """More comes than is kept up with; the text says so."""


class Reading:
    """One server's part in it."""

    def __init__(self, home: Home) -> None:
        self.store = home.store
        self.reader = Reader(home.store, home.folder, home.project)
        self.arriving = 0  # bytes of requests that are being received
        self.looking = ThreadPoolExecutor(1)  # one request is unpacked after the other: that bounds what they take
        self.unread = 0  # bytes, as last seen
        self._waiting: list[tuple[NewBatch, asyncio.Future[None]]] = []
        self._bytes = 0
        self._came, self._kept = asyncio.Event(), asyncio.Event()

    async def keep(self, batch: NewBatch) -> None:
        """The batch is in the store when this returns. Raises: Full, StoreError where it may not be: send it again."""
        size = len(batch.body)
        if self._bytes + size > MOST_WAITING or self.unread + self._bytes + size > MOST_UNREAD:
            raise Full("more comes than is read; send it again a little later")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, done))
        self._bytes += size
        self._came.set()
        try:
            await in_time(done)
        except TimeoutError:
            done.cancel()  # if it still waits, it is not kept
            raise Full("the store does not answer; send it again a little later") from None

    async def keeping(self) -> None:
        """Whatever came meanwhile is stored together: the more comes, the less each costs."""
        while True:
            await self._came.wait()
            self._came.clear()
            given, self._waiting = self._waiting, []
            waiting = [(batch, done) for batch, done in given if not done.done()]
            problem = await self._stored([batch for batch, _ in waiting])
            self._bytes -= sum(len(batch.body) for batch, _ in given)
            for _, done in waiting:
                if not done.done():
                    done.set_result(None) if problem is None else done.set_exception(problem)

    async def _stored(self, batches: list[NewBatch]) -> StoreError | None:
        try:
            await run_in_threadpool(self.store.keep_received, batches)
        except StoreError as error:
            return error
        except Exception as error:
            return StoreError(f"what came could not be stored ({type(error).__name__}); please report this")
        self.unread += sum(len(batch.body) for batch in batches)
        self._kept.set()
        return None

    async def reading(self) -> None:
        """Read what waits. A group that takes long is let alone, and others are read beside it."""
        loop, lanes = asyncio.get_running_loop(), dict[asyncio.Future[bool], float]()
        while True:
            if len(lanes) < LANES and all(loop.time() - since > SLOW for since in lanes.values()):
                self._kept.clear()
                lanes[asyncio.ensure_future(run_in_threadpool(self._read))] = loop.time()
            done, _ = await asyncio.wait(lanes, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
            found = [lanes.pop(lane) is not None and lane.result() for lane in done]
            if done and not any(found):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._kept.wait(), EVERY)

    def _read(self) -> bool:
        """Whether there was something to read. A store or project that cannot be used now: the pages say so."""
        try:
            self.unread = self.store.backlog()
            return self.reader.read()
        except RerollError:
            return False


@contextlib.asynccontextmanager
async def reading(home: Home) -> AsyncIterator[Reading]:
    made = Reading(home)
    with made.looking:
        async with beside(made.keeping()), beside(made.reading()):
            yield made
