"""Jobs as the pages start, show and stop them: each is one command, run by a process of its own.

A job is a row in the store, so it survives this server: what another one left waiting or lost is taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.errors import StoreError
from reroll.store import Store
from reroll.web.access import form_of, visitor_of
from reroll.web.actions import asked_for
from reroll.web.home import Home
from reroll.web.view import page

__all__ = ["AT_ONCE", "ROUTES", "Pool", "pool"]

AT_ONCE = 2  # jobs at the same time; others wait
EVERY = 0.2  # seconds between looks for jobs that wait
STALE = 10.0  # seconds without a sign of life after which a job is taken up again
LOOK_FOR_STALE = 25  # every so many looks


class Pool:
    """Starts what waits, at most `AT_ONCE` of them here."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.woken = asyncio.Event()

    async def go(self) -> None:
        looks = 0
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.woken.wait(), EVERY if self.running else 5 * EVERY)
            self.woken.clear()
            with contextlib.suppress(StoreError):  # the pages say so; the next look may find it again
                await run_in_threadpool(self.look, looks % LOOK_FOR_STALE == 0)
            looks += 1

    def look(self, for_stale: bool) -> None:
        for id in [id for id, child in self.running.items() if child.poll() is not None]:
            if self.running.pop(id).returncode != 0:  # it could not even say so itself
                self.home.store.end_job(id, "failed", message="the process that ran it was ended; run it again, it goes on")
        waiting = self.home.store.jobs(states=("waiting",))
        if for_stale:
            waiting = [*waiting, *self.home.store.stale_jobs(STALE)]
        for job in sorted(waiting, key=lambda job: job.asked_us):
            if len(self.running) < AT_ONCE and job.id not in self.running:
                self.running[job.id] = start(job.id, self.home)

    def end(self) -> None:
        """Children go on by themselves: a job outlives the server that started it."""


def start(id: str, home: Home) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "reroll.working", id, "--project", str(home.folder)]
    words += [] if home.store_url is None else ["--store", home.store_url]
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


@contextlib.asynccontextmanager
async def pool(home: Home) -> AsyncIterator[Pool]:
    made = Pool(home)
    task = asyncio.create_task(made.go())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# -- pages -------------------------------------------------------------------------------------------------------------


async def ask(request: Request) -> Response:
    """Start what a form asks for, and show it; where the very same runs already, show that."""
    form, who = await form_of(request), visitor_of(request)
    home: Home = request.app.state.home
    job = await run_in_threadpool(asked_for, home, form, who)
    request.app.state.pool.woken.set()
    back = str(form.get("back", ""))
    if back.startswith("/") and not back.startswith("//"):
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}job={job.id}", 303)
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def stop(request: Request) -> Response:
    await form_of(request)
    store: Store = request.app.state.home.store
    id = request.path_params["id"]
    await run_in_threadpool(store.stop_job, id)
    return RedirectResponse(request.query_params.get("back") or f"/jobs/{id}", 303)


def listed(request: Request) -> Response:
    store: Store = request.app.state.home.store
    return page(request, "jobs.html", jobs=store.jobs(limit=200))


def one(request: Request) -> Response:
    store: Store = request.app.state.home.store
    job = store.job(request.path_params["id"])
    if job.finding_id is not None and request.query_params.get("stay") is None:
        return RedirectResponse(f"/findings/{job.finding_id}", 303)
    return page(request, "job.html", job=job)


ROUTES = [
    Route("/jobs", listed, methods=["GET"]),
    Route("/jobs", ask, methods=["POST"]),
    Route("/jobs/{id}", one, methods=["GET"]),
    Route("/jobs/{id}/stop", stop, methods=["POST"]),
]
