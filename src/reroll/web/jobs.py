"""Jobs as the pages start, show and stop them: each is one command, run by a process of its own.

A job is a row in the store, so it survives this server: what another one left waiting or lost is taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.errors import RerollError
from reroll.keys import SLACK_VARIABLES
from reroll.settings import SETTINGS
from reroll.store import Store
from reroll.store_rows_web import Job, JobState
from reroll.web.access import Refused, form_of, local, visitor_of
from reroll.web.actions import asked_for, key_of
from reroll.web.beside import beside
from reroll.web.home import Home
from reroll.web.view import page

__all__ = ["AT_ONCE", "ROUTES", "Pool", "pool", "wake"]

AT_ONCE = 2  # jobs at the same time; others wait
MOST = 12  # processes, with those that wait for a person
WAITING: tuple[JobState, ...] = ("waiting",)
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
            # A store that is gone, or a machine that can start no process: the pages say so; the next look may succeed.
            with contextlib.suppress(RerollError, OSError):
                await run_in_threadpool(self.look, looks % LOOK_FOR_STALE == 0)
            looks += 1

    def look(self, for_stale: bool) -> None:
        for id in [id for id, child in self.running.items() if child.poll() is not None]:
            if self.running.pop(id).returncode != 0:  # it could not even say so itself
                self.home.store.end_job(
                    id, "failed", message="the process that ran it was ended; run it again, it goes on"
                )
        waiting = self.home.store.jobs(states=WAITING)
        if for_stale:
            for lost in self.home.store.stale_jobs(STALE):
                if lost.stop_us is None:
                    waiting.append(lost)
                else:  # wanted stopped, and nobody is there any more to stop it
                    self.home.store.end_job(lost.id, "stopped")
        for job in sorted(waiting, key=lambda job: job.asked_us):
            if self.has_room() and job.id not in self.running and self.is_ours(job):
                self.running[job.id] = start(job.id, self.home)

    def is_ours(self, job: Job) -> bool:
        """Whether it is a job of this project: where the store is its own, all are, also after the folder was moved."""
        return self.home.store_url is None or job.key == key_of(job.words, self.home)

    def has_room(self) -> bool:
        """Whether another may start. One that waits for a person takes no room: it may wait for days."""
        asks = sum(self.home.store.open_question(id) is not None for id in self.running)
        return len(self.running) - asks < AT_ONCE and len(self.running) < MOST

    def end(self) -> None:
        """Children go on by themselves: a job outlives the server that started it."""


def wake(request: Request) -> None:
    """Let the pool look at once. Where none runs (another server has the jobs) there is nobody to wake."""
    if (made := getattr(request.app.state, "pool", None)) is not None:
        made.woken.set()


def start(id: str, home: Home) -> subprocess.Popen[bytes]:
    """Its process. The store's address goes by the environment: everybody on this machine may read a command line."""
    words = [sys.executable, "-m", "reroll.working", id, "--project", str(home.folder)]
    store = {} if home.store_url is None else {SETTINGS["store"].env: home.store_url}
    needed = {
        name: value for name, value in os.environ.items() if name not in SLACK_VARIABLES
    }  # a job tells Slack nothing
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        words, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, env={**needed, **store}
    )


@contextlib.asynccontextmanager
async def pool(home: Home) -> AsyncIterator[Pool]:
    made = Pool(home)
    async with beside(made.go()):
        yield made


# -- pages -------------------------------------------------------------------------------------------------------------


async def ask(request: Request) -> Response:
    """Start what a form asks for, and show it; where the very same runs already, show that."""
    form, who = await form_of(request), visitor_of(request)
    home: Home = request.app.state.home
    job = await run_in_threadpool(asked_for, home, form, who)
    wake(request)
    if back := local(str(form.get("back", ""))):
        path, hash, place = back.partition("#")
        return RedirectResponse(f"{path}{'&' if '?' in path else '?'}job={job.id}{hash}{place}", 303)
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def stop(request: Request) -> Response:
    await form_of(request)
    store: Store = request.app.state.home.store
    id = request.path_params["id"]
    await run_in_threadpool(store.stop_job, id)
    return RedirectResponse(local(request.query_params.get("back", "")) or f"/jobs/{id}", 303)


async def answer(request: Request) -> Response:
    """Take what a person says of the completion that a job asks about."""
    form, who = await form_of(request), visitor_of(request)
    id, said = request.path_params["id"], str(form.get("answer", ""))
    if said not in ("pass", "fail", "unsure", "skip") or not str(form.get("n", "")).isdecimal():
        raise Refused(400, "say whether the answer is right: pass, fail or unsure")
    store: Store = request.app.state.home.store
    await run_in_threadpool(store.answer_question, id, int(str(form["n"])), said, who.name)
    return RedirectResponse(local(str(form.get("back", ""))) or f"/jobs/{id}", 303)


def listed(request: Request) -> Response:
    store: Store = request.app.state.home.store
    return page(request, "jobs.html", jobs=store.jobs(limit=200))


def one(request: Request) -> Response:
    store: Store = request.app.state.home.store
    job = store.job(request.path_params["id"])
    if job.finding_id is not None:
        return RedirectResponse(f"/findings/{job.finding_id}", 303)
    return page(request, "job.html", job=job, jobs=[job])


ROUTES = [
    Route("/jobs", listed, methods=["GET"]),
    Route("/jobs", ask, methods=["POST"]),
    Route("/jobs/{id}", one, methods=["GET"]),
    Route("/jobs/{id}/stop", stop, methods=["POST"]),
    Route("/jobs/{id}/answer", answer, methods=["POST"]),
]
