"""Live: where a job stands, told to every page that watches it, by server-sent events.

One task looks into the store for all watchers; each watcher holds the newest word of a job alone, so a slow one costs
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from reroll.errors import RerollError
from reroll.web.beside import beside
from reroll.web.home import Home

__all__ = ["ROUTES", "Hub", "hub", "told"]

EVERY = 0.1  # seconds between looks while somebody watches
MOST = 100  # jobs that one page follows
SIGN_OF_LIFE = 15.0  # seconds after which a comment is sent, so that no proxy hangs up
OVER = ("done", "failed", "stopped")


def told(job: Any) -> dict[str, Any]:
    """What a page needs to know of a job to show it live; text and numbers only."""
    return {
        "id": job.id,
        "state": job.state,
        "title": job.title,
        "progress": job.progress,
        "message": job.message,
        "finding": job.finding_id,
        "over": job.state in OVER,
    }


class Watcher:
    """What one open page has not been told yet: the newest word of each of its jobs."""

    def __init__(self, ids: Collection[str]) -> None:
        self.ids = frozenset(ids)
        self.news: dict[str, dict[str, Any]] = {}
        self.there = asyncio.Event()

    def hear(self, word: dict[str, Any]) -> None:
        self.news[word["id"]] = word
        self.there.set()

    def taken(self) -> list[dict[str, Any]]:
        news, self.news = list(self.news.values()), {}
        self.there.clear()
        return news


class Hub:
    """Looks at the jobs that are watched and tells each watcher what changed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.watchers: set[Watcher] = set()
        self.last: dict[str, dict[str, Any]] = {}

    async def go(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if wanted := tuple({id for one in self.watchers for id in one.ids}):
                with contextlib.suppress(RerollError):  # the pages say so; the next look may find the store again
                    self.tell(await run_in_threadpool(self.look, wanted))

    def look(self, ids: tuple[str, ...]) -> list[dict[str, Any]]:
        return [self.word(id) for id in ids]

    def word(self, id: str) -> dict[str, Any]:
        job = self.home.store.job(id)
        asked = self.home.store.open_question(id) if job.state == "running" else None
        return {**told(job), "question": None if asked is None else asked[0]}

    def tell(self, news: list[dict[str, Any]]) -> None:
        for word in news:
            if self.last.get(word["id"]) == word:
                continue
            self.last[word["id"]] = word
            for watcher in self.watchers:
                if word["id"] in watcher.ids:
                    watcher.hear(word)

    @contextlib.contextmanager
    def watching(self, ids: Collection[str]) -> Iterator[Watcher]:
        """Whoever begins to watch is told where each job stands by the next look, whatever others were told before."""
        watcher = Watcher(ids)
        self.watchers.add(watcher)
        self._forget(watcher.ids)
        try:
            yield watcher
        finally:
            self.watchers.discard(watcher)
            self._forget(watcher.ids)

    def _forget(self, ids: Collection[str]) -> None:
        for id in ids:
            self.last.pop(id, None)


@contextlib.asynccontextmanager
async def hub(home: Home) -> AsyncIterator[Hub]:
    made = Hub(home)
    async with beside(made.go()):
        yield made


async def events(request: Request) -> StreamingResponse:
    """The news of the jobs that a page shows, until all are over.

    One stream for all of them: a browser holds six connections to a server at most, and a page with more streams than
    that could not even send the form that stops a job.
    """
    ids = tuple(dict.fromkeys(request.query_params.getlist("job")))[:MOST]
    made: Hub = request.app.state.hub
    await run_in_threadpool(made.look, ids)  # one that is unknown is said before the stream begins

    async def stream() -> AsyncIterator[str]:
        going = set(ids)
        with made.watching(ids) as watcher:
            while going:
                try:
                    await asyncio.wait_for(watcher.there.wait(), SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                for word in watcher.taken():
                    yield _event(word)
                    going -= {word["id"]} if word["over"] else set()

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _event(word: dict[str, Any]) -> str:
    return f"data: {json.dumps(word)}\n\n"


ROUTES = [Route("/events", events)]
