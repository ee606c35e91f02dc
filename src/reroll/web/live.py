"""Live: where a job stands, told to every page that watches it, by server-sent events.

One task looks into the store for all watchers; each watcher holds the newest word alone, so a slow one costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from reroll.errors import StoreError
from reroll.web.home import Home

__all__ = ["ROUTES", "Hub", "hub", "told"]

EVERY = 0.1  # seconds between looks while somebody watches
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


class Hub:
    """Looks at the jobs that are watched and tells each watcher what changed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.watchers: dict[str, set[asyncio.Queue[dict[str, Any]]]] = defaultdict(set)
        self.last: dict[str, dict[str, Any]] = {}

    async def go(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if self.watchers:
                with contextlib.suppress(StoreError):
                    self.tell(await run_in_threadpool(self.look, tuple(self.watchers)))

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
            for queue in self.watchers.get(word["id"], ()):
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(word)

    @contextlib.contextmanager
    def watching(self, id: str) -> Any:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.watchers[id].add(queue)
        try:
            yield queue
        finally:
            self.watchers[id].discard(queue)
            if not self.watchers[id]:
                del self.watchers[id]
                self.last.pop(id, None)


@contextlib.asynccontextmanager
async def hub(home: Home) -> AsyncIterator[Hub]:
    made = Hub(home)
    task = asyncio.create_task(made.go())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def events(request: Request) -> StreamingResponse:
    """The job's news until it is over."""
    id = request.path_params["id"]
    made: Hub = request.app.state.hub
    first = await run_in_threadpool(made.word, id)

    async def stream() -> AsyncIterator[str]:
        yield _event(first)
        if first["over"]:
            return
        with made.watching(id) as queue:
            while True:
                try:
                    word = await asyncio.wait_for(queue.get(), SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                yield _event(word)
                if word["over"]:
                    return

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _event(word: dict[str, Any]) -> str:
    return f"data: {json.dumps(word)}\n\n"


ROUTES = [Route("/jobs/{id}/events", events)]
