"""What runs on a cluster's nodes: opens a model there and draws, for a driver that stores and decides."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pickle
import platform
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import reroll
from reroll.checking import Checker
from reroll.engine import run_draws
from reroll.errors import RerollError, UsageError
from reroll.keys import hide, known_values
from reroll.models.model import Draw, Model
from reroll.models.registry import open_model
from reroll.models.stepped import around
from reroll.program import Program, Request
from reroll.sample import Sample

__all__ = ["POLL", "Drawer", "Pace", "Problem", "Spec", "versions"]

POLL = 1.0  # seconds after which the driver is answered though nothing has settled: a sign of life

# place among the driver's draws, number of the request, case, index, seed, variant
Ordered = tuple[int, int, str, int, int | None, str]
# class, sentence, slug
Problem = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Spec:
    """All that a node needs to open a model; never a key, which a node has in its own environment.

    `identity`: what the opened model must say it is; `project`: the folder that relative paths start from;
    `stepped`: as JSON the program whose steps stand around the model, if any do.
    """

    ref: str
    base_url: str | None
    project: str
    timeout: float
    tries: int
    identity: str
    stepped: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds: how long settled samples wait for others, so that a message carries several, and how long calls
    in flight get when a run is stopped."""

    linger: float
    grace: float


@cache
def versions() -> dict[str, str]:
    """What must be the same on every node: Python, and reroll down to its source (a version may have many)."""
    root = Path(reroll.__file__).parent
    code = hashlib.blake2b(digest_size=4)
    for path in sorted(root.rglob("*.py")):
        code.update(path.read_bytes())
    return {"Python": platform.python_version(), "reroll": f"{reroll.__version__} (code {code.hexdigest()})"}


class Drawer:
    """An actor. One process keeps one of them, which may serve several runs of its driver at once.

    A run's draws are kept under a lease: samples that have settled wait there until the driver fetches them.
    `me` is new in every process, so that a driver notices when an actor was started again and knows of nothing.
    """

    def __init__(self) -> None:
        self.me = secrets.token_hex(8)
        self._models: dict[Spec, Model] = {}
        self._checked: set[Spec] = set()
        self._leases: dict[int, _Lease] = {}
        self._ended: set[int] = set()  # messages may overtake each other: a late order must not begin a lease anew

    async def hello(self, spec: Spec) -> dict[str, Any]:
        """Who this is and where; `problem` says why it cannot draw from this model, if so."""
        said: dict[str, Any] = {
            "me": self.me,
            "pid": os.getpid(),
            "node": _node(),
            "versions": versions(),
            "problem": None,
        }
        try:
            if spec not in self._checked:
                await self._model(spec).check()
                self._checked.add(spec)
        except Exception as error:
            said["problem"] = _problem(error)
        return said

    def _model(self, spec: Spec) -> Model:
        """The model, opened once. Raises: UsageError where it is another one than the driver means."""
        if spec not in self._models:
            model = open_model(
                spec.ref, base_url=spec.base_url, project=Path(spec.project), timeout=spec.timeout, tries=spec.tries
            )
            if spec.stepped:
                # The child process of its checks ends with the actor's own.
                model = around(model, Program.model_validate_json(spec.stepped), Checker(spec.project))
            if model.identity != spec.identity:
                raise UsageError(
                    f"`{spec.ref}` is {model.identity} here and {spec.identity} where the command runs; "
                    "put the same file there",
                    slug="cluster-model",
                )
            self._models[spec] = model
        return self._models[spec]

    async def exchange(self, me: str, number: int, spec: Spec, pace: Pace, order: bytes) -> bytes:
        """Begin the ordered draws, and return what has settled since the last call: soon after the first, or empty.

        me: whom the driver means; nothing (b"") comes back where that is not this process, or the lease has ended.
        order: new requests of this lease, and draws. Returns: samples by place, and the problem that ended the
        drawing, if any.
        """
        if me != self.me or number in self._ended:
            return b""
        lease = self._leases.get(number)
        if lease is None:
            lease = self._leases[number] = _Lease(self._model(spec), pace)
        lease.begin(*pickle.loads(order))  # noqa: S301 (whoever sends this can run code here anyway)
        await lease.some()
        return lease.taken()

    async def stop(self, me: str, number: int) -> bytes:
        """End a lease: calls in flight get their grace, then what has settled comes back as from `exchange`."""
        self._ended.add(number)
        lease = self._leases.pop(number, None)
        if me != self.me or lease is None:
            return b""
        await lease.stop()
        return lease.taken()


class _Lease:
    """The draws of one driver's run on this actor."""

    def __init__(self, model: Model, pace: Pace) -> None:
        self.model, self.pace = model, pace
        self.requests: list[Request] = []
        self.out: list[tuple[int, Sample]] = []
        self.news = asyncio.Event()
        self.running: set[asyncio.Task[int]] = set()
        self.in_flight = 0
        self.problem: Problem | None = None
        self.closed = False

    def begin(self, requests: Sequence[Request], ordered: Sequence[Ordered]) -> None:
        self.requests += requests
        if self.closed or not ordered:
            return
        draws, places = [], {}
        for place, request, case_id, index, seed, variant in ordered:
            draw = Draw(self.requests[request], case_id, index, seed, variant)
            draws.append(draw)
            places[id(draw)] = place

        def settled(draw: Draw, sample: Sample) -> None:
            self.out.append((places[id(draw)], sample))
            self.in_flight -= 1
            self.news.set()

        # The very engine that draws in process: the same gate, tries and grace.
        task = asyncio.create_task(run_draws(self.model, draws, len(draws), settled, grace=self.pace.grace))
        self.in_flight += len(draws)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[int]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problem = self.problem or _problem(error)
            self.news.set()

    async def some(self) -> None:
        """Wait for something to tell."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), POLL)
        if self.in_flight and self.out and not self.closed:
            await asyncio.sleep(self.pace.linger)

    def taken(self) -> bytes:
        out, self.out = self.out, []
        if self.problem is None:
            self.news.clear()
        return pickle.dumps((out, self.problem), pickle.HIGHEST_PROTOCOL)

    async def stop(self) -> None:
        running = list(self.running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self.closed = True
        self.news.set()


def _node() -> str:
    """How people know this node."""
    try:
        import ray

        return str(ray.util.get_node_ip_address())
    except Exception:
        return socket.gethostname()


def _problem(error: BaseException) -> Problem:
    """An error as plain words, without keys; the driver makes an error of them again."""
    words = hide(" ".join(str(error).split()), *known_values().values())
    if isinstance(error, RerollError):
        return type(error).__name__, words, error.slug
    return "ModelError", f"{type(error).__name__}: {words}", "model"
