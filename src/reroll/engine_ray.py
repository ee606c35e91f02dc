"""`--engine ray`: draws on the actors of a Ray cluster; this process hands them out, stores what comes and decides."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import pickle
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reroll import errors
from reroll.engine import GRACE, Engine, OnCut, OnSample
from reroll.errors import ModelError, NotCompleted, RerollError, UsageError
from reroll.models.model import Draw, Model, bare
from reroll.models.registry import open_model
from reroll.models.stepped import SteppedModel
from reroll.program import Program
from reroll.ray_actor import Drawer, Pace, Problem, Spec, versions
from reroll.ray_cluster import Cluster, joined
from reroll.sample import Sample
from reroll.settings import setting
from reroll.turns import Seat

__all__ = ["Crew", "crew"]

MESSAGES = 200  # a second, from all actors together: what keeps this process free for storing and deciding
START = 60.0  # seconds until the first actor must have started
OTHERS = 15.0  # seconds that the first waits for the others
SILENT = 30.0  # seconds without a sign of life after which an actor's draws go to others
MARGIN = 2.0  # seconds for the way, over the grace that calls in flight get
LOST = 60.0  # seconds without any actor after which a run ends; what was drawn is stored
CALLS = 1000  # messages that an actor handles at once; more than runs of one command


class _Lost(Exception):
    """An actor is gone, silent, or another process than before. `for_good`: it will not be started again."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


class _Actor:
    """One actor of the cluster, as seen from here."""

    def __init__(self, ray: Any, kind: Any, number: int) -> None:
        self.number = number
        self.node, self.pid = "?", 0
        self._exceptions = ray.exceptions
        # Restarted wherever there is room. Its calls are not repeated by Ray: that would pay again for
        # draws that came back, and we know which did not.
        self._handle = kind.options(
            num_cpus=1, max_restarts=-1, max_task_retries=0, max_concurrency=CALLS, scheduling_strategy="SPREAD"
        ).remote()

    async def ask(self, method: str, *words: Any, seconds: float | None = None) -> Any:
        """What the actor answers. Raises: _Lost when nothing came; ModelError when it fails otherwise."""
        exceptions = self._exceptions
        try:
            return await asyncio.wait_for(_reply(getattr(self._handle, method).remote(*words)), seconds)
        except exceptions.RayTaskError as error:
            raise ModelError(_failed(error), slug="cluster-node") from None
        except (exceptions.RayError, TimeoutError) as error:
            raise _Lost(str(error), for_good=isinstance(error, exceptions.ActorDiedError)) from None

    async def meet(self, spec: Spec) -> str:
        """Which process it is by now, once it has started. Raises: RerollError where it cannot draw from this model."""
        while True:
            try:
                said = await self.ask("hello", spec)
            except _Lost as lost:
                if lost.for_good:
                    raise ModelError(_failed(lost), slug="cluster-node") from None
                await asyncio.sleep(0.2)
                continue
            self.node, self.pid = str(said["node"]), int(said["pid"])
            if said["versions"] != versions():
                there, here = (
                    ", ".join(f"{k} {v}" for k, v in found.items()) for found in (said["versions"], versions())
                )
                raise UsageError(
                    f"node {self.node} of the cluster has {there}, this machine {here}; they must be the same",
                    slug="cluster-version",
                )
            if said["problem"] is not None:
                raise _error(said["problem"], self.node)
            return str(said["me"])


async def _reply(ref: Any) -> Any:
    return await ref


class Crew:
    """The actors of one command, for all its models. `size` of them; those that come late join when they come."""

    def __init__(self, cluster: Cluster, size: int) -> None:
        self.cluster, self.size = cluster, size
        kind = cluster.ray.remote(Drawer)
        self.actors = [_Actor(cluster.ray, kind, number) for number in range(size)]

    async def engine(self, program: Program, project: Path, model: Model) -> Engine:
        """What draws from this program's model, once every actor that has started can.

        Replicas of the program (`replicas: {a: {base_url: ...}}`) are dealt to the actors in turn; samples
        belong to the program's model whichever answered. Raises: RerollError in one sentence, with the node.
        """
        specs = _specs(program, project, model)
        place = _OnActors(self.actors, specs)
        await place.check(self.cluster)
        return place


@contextlib.asynccontextmanager
async def crew(address: str | None, actors: int | None) -> AsyncIterator[Crew]:
    """Actors on the cluster at `address`, or on one that is started on this machine and ended afterwards.

    actors: how many; default: one for each CPU. Raises: UsageError where the cluster cannot be used.
    """
    with joined(address, actors or os.cpu_count() or 1) as cluster:
        yield Crew(cluster, actors or max(1, cluster.cpus))


def _specs(program: Program, project: Path, model: Model) -> list[Spec]:
    """What actors open, in turn. Raises: UsageError for a replica that is more than an address."""
    policy = setting("timeout"), setting("tries")
    folder = str(project.resolve())
    steps = model.identity.removeprefix(bare(model).identity)
    stepped = program.model_dump_json(exclude_defaults=True) if isinstance(model, SteppedModel) else ""
    found = []
    for name, replica in program.replicas.items():
        if set(replica) != {"base_url"} or not isinstance(replica["base_url"], str):
            raise UsageError(
                f"replica `{name}` has {', '.join(sorted(replica)) or 'nothing'}; --engine ray can only go to "
                "replicas that are a `base_url` and nothing else",
                slug="replicas",
            )
        same = open_model(program.model, base_url=replica["base_url"], project=project)
        identity = same.identity + steps
        found.append(Spec(program.model, replica["base_url"], folder, *policy, identity, stepped))
    return found or [Spec(program.model, program.base_url, folder, *policy, model.identity, stepped)]


class _OnActors:
    """An `Engine`: the contract of `engine.run_draws`, on the actors."""

    def __init__(self, actors: Sequence[_Actor], specs: Sequence[Spec]) -> None:
        self.actors, self.specs = actors, specs

    def spec(self, actor: _Actor) -> Spec:
        return self.specs[actor.number % len(self.specs)]

    async def check(self, cluster: Cluster) -> None:
        """Return when all actors can draw, or after a while the first few. Raises: what one of them complains of."""
        meeting = [asyncio.ensure_future(actor.meet(self.spec(actor))) for actor in self.actors]
        try:
            done, late = await asyncio.wait(meeting, timeout=START, return_when=asyncio.FIRST_COMPLETED)
            if done and late:
                more, _ = await asyncio.wait(late, timeout=OTHERS, return_when=asyncio.FIRST_EXCEPTION)
                done |= more
            for one in done:
                one.result()
            if not done:
                raise UsageError(
                    f"no actor has started within {START:g} seconds: {cluster.free_cpus} of the cluster's "
                    f"{cluster.cpus} CPUs are free, and each actor takes one",
                    slug="cluster-full",
                )
        finally:
            for one in meeting:
                one.cancel()
            await asyncio.gather(*meeting, return_exceptions=True)

    async def __call__(
        self,
        model: Model,
        draws: Sequence[Draw],
        concurrency: int,
        on_sample: OnSample,
        deadline: float | None = None,
        grace: float = GRACE,
        enough: Callable[[int], bool] | None = None,
        on_cut: OnCut | None = None,
        seat: Seat | None = None,
    ) -> int:
        """As `engine.run_draws`; `concurrency` is for all actors together, and nobody tells of what was cut there.
        No turns are taken (`seat`): actors call when they please.

        Raises also: NotCompleted when no actor is left.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency must be 1 or more, got {concurrency}")
        if not draws:
            return 0
        return await _Run(self, draws, concurrency, on_sample, deadline, grace, enough).go()


_numbers = itertools.count()


class _Run:
    """The draws of one call: which are to do, which are where, which are settled.

    A draw whose actor is gone is to do again. Should its sample arrive after all, twice or late, the first one
    counts: a place settles once.
    """

    def __init__(
        self,
        engine: _OnActors,
        draws: Sequence[Draw],
        width: int,
        on_sample: OnSample,
        deadline: float | None,
        grace: float,
        enough: Callable[[int], bool] | None,
    ) -> None:
        self.engine, self.draws, self.width, self.on_sample = engine, draws, width, on_sample
        self.deadline, self.grace, self.enough = deadline, grace, enough
        self.pace = Pace(len(engine.actors) / MESSAGES, grace)
        self.todo = deque(range(len(draws)))
        self.is_settled = bytearray(len(draws))
        self.settled = 0
        self.in_flight = 0
        self.stopped = False  # nothing new starts
        self.ending = False  # nor is anything waited for
        self.serving = set(engine.actors)  # not known to be down
        self.leases: dict[_Actor, tuple[str, int]] = {}
        self.complaints: list[RerollError] = []
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self.bell: asyncio.Future[None] = loop.create_future()

    # -- the whole ------------------------------------------------------------------------------

    async def go(self) -> int:
        serving = {actor: asyncio.ensure_future(self._serve(actor)) for actor in self.engine.actors}
        watching = asyncio.ensure_future(self._watch())
        for one in (*serving.values(), watching):
            one.add_done_callback(self._ended)
        try:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            await asyncio.wait([self.over], timeout=left)
        finally:
            await self._finish(serving, watching)
        if self.over.done():
            self.over.result()
        return self.settled

    def _ended(self, one: asyncio.Future[None]) -> None:
        if not one.cancelled() and (error := one.exception()) is not None and not self.over.done():
            self.over.set_exception(error)

    async def _finish(self, serving: Mapping[_Actor, asyncio.Future[None]], watching: asyncio.Future[None]) -> None:
        """Ask for what is still in flight where the run ends early; let the actors forget the rest."""
        self.stopped = self.ending = True
        stops = [asyncio.ensure_future(self._stop(actor, *lease)) for actor, lease in self.leases.items()]
        for stop in stops:
            stop.add_done_callback(self._ended)
        try:
            if self.in_flight:
                busy = [serving[actor] for actor in self.leases]
                self._ring()
                await asyncio.wait([*stops, *busy], timeout=self.grace + MARGIN)
            else:
                await asyncio.sleep(0)  # the word is sent; nobody waits for the answer
        finally:
            rest: list[asyncio.Future[None]] = [*stops, *serving.values(), watching]
            for one in rest:
                one.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            if self.over.done():
                self.over.exception()  # seen: whoever stopped the run is told that it stopped

    async def _stop(self, actor: _Actor, me: str, lease: int) -> None:
        try:
            blob = await actor.ask("stop", me, lease, seconds=self.grace + MARGIN)
        except (_Lost, ModelError):  # then nothing comes from there
            return
        if blob:
            await self._settle(pickle.loads(blob)[0], set())  # noqa: S301

    async def _watch(self) -> None:
        """Ends a run that nobody serves any more. Raises: NotCompleted, or what the last actor complained of."""
        since = time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            if self.leases or not self.todo:
                since = time.monotonic()
            elif len(self.complaints) == len(self.engine.actors):
                raise self.complaints[-1]
            elif time.monotonic() - since > LOST:
                raise NotCompleted(
                    f"no actor of the cluster has been there for {LOST:g} seconds; what was drawn is stored, and the "
                    "same command goes on from there",
                    slug="cluster-lost",
                )

    # -- one actor ------------------------------------------------------------------------------

    async def _serve(self, actor: _Actor) -> None:
        """Keep one actor busy until all is settled, through all its deaths."""
        before: tuple[str, int] | None = None
        while not self.ending:
            held: set[int] = set()
            try:
                me = await actor.meet(self.engine.spec(actor))
            except RerollError as error:  # this one cannot; others may
                self.serving.discard(actor)
                self.complaints.append(error)
                return
            if before is not None and before[0] == me:  # it was only silent, and may have kept something
                await self._stop(actor, *before)
            self.serving.add(actor)
            lease = before = self.leases[actor] = me, next(_numbers)
            try:
                await self._trade(actor, lease, held)
                return
            except _Lost:
                self.serving.discard(actor)
                del self.leases[actor]
                self._take_back(held)

    async def _trade(self, actor: _Actor, lease: tuple[str, int], held: set[int]) -> None:
        """Give draws, get samples, until nothing is left. Raises: _Lost, or what ended the drawing there."""
        known: dict[int, int] = {}
        sent = itertools.count()
        while not self.ending:
            new = self._next(held)
            if not held:
                self._end_if_over()
                if not self.over.done():
                    await asyncio.shield(self.bell)
                    continue
                return
            order = self._order(new, known, sent)
            words = (*lease, self.engine.spec(actor), self.pace, order)
            blob = await actor.ask("exchange", *words, seconds=SILENT)
            if not blob:
                raise _Lost("started again")
            found, problem = pickle.loads(blob)  # noqa: S301 (actors run our code on the user's cluster)
            await self._settle(found, held)
            if problem is not None:
                raise _error(problem, actor.node)

    def _next(self, held: set[int]) -> list[int]:
        """The places of the draws that this actor may begin now."""
        share = math.ceil(self.width / max(1, len(self.serving)))
        new: list[int] = []
        while self.todo and len(held) < share and self.in_flight < self.width and not self._shut():
            place = self.todo.popleft()
            if not self.is_settled[place]:
                new.append(place)
                held.add(place)
                self.in_flight += 1
        return new

    def _shut(self) -> bool:
        """Whether no draw may start any more."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return True
        if not self.stopped and self.enough is not None and self.enough(self.in_flight):
            self.stopped = True
        return self.stopped

    def _order(self, new: Sequence[int], known: dict[int, int], sent: Any) -> bytes:
        """The draws as they travel; a request that draws share is sent once."""
        requests, ordered = [], []
        for place in new:
            draw = self.draws[place]
            request = id(draw.request)  # of all draws of this run, which keep their requests
            if request not in known:
                known[request] = next(sent)
                requests.append(draw.request)
            ordered.append((place, known[request], draw.case_id, draw.index, draw.seed, draw.variant))
        return pickle.dumps((requests, ordered), pickle.HIGHEST_PROTOCOL)

    async def _settle(self, found: Sequence[tuple[int, Sample]], held: set[int]) -> None:
        """Hand over what came; a draw stays in flight until its sample is stored. Raises: what `on_sample` raises."""
        stored = []
        for place, sample in found:
            if not self.is_settled[place]:
                self.is_settled[place] = 1
                self.settled += 1
                if (done := self.on_sample(self.draws[place], sample)) is not None:
                    stored.append(done)
        for done in dict.fromkeys(stored):
            await asyncio.shield(done)
        here = held.intersection(place for place, _ in found)
        held -= here
        self.in_flight -= len(here)
        self._ring()

    def _take_back(self, held: set[int]) -> None:
        """To do again, before what has not been begun."""
        self.todo.extendleft(sorted((p for p in held if not self.is_settled[p]), reverse=True))
        self.in_flight -= len(held)
        held.clear()
        self._ring()

    def _end_if_over(self) -> None:
        begun = self.settled == len(self.draws) or self.stopped
        if begun and self.in_flight == 0 and not self.over.done():
            self.over.set_result(None)

    def _ring(self) -> None:
        """Wake the actors that have nothing to do."""
        self._end_if_over()
        if not self.bell.done():
            self.bell.set_result(None)
        self.bell = asyncio.get_running_loop().create_future()


def _error(problem: Problem, node: str) -> RerollError:
    """An actor's complaint as the error that it was, with the node."""
    kind, words, slug = problem
    made = getattr(errors, kind, ModelError)
    if not (isinstance(made, type) and issubclass(made, RerollError)) or made is errors.FileError:
        made = UsageError if made is errors.FileError else ModelError
    if slug == "no-key":
        words += ", before `ray start`: actors have the environment that their node was started with"
    # A recording that ends is no trouble of its node, and the runner knows it by its slug.
    return made(words if slug == "recorded-exhausted" else f"on node {node} of the cluster: {words}", slug=slug)


def _failed(error: Exception) -> str:
    words = [line for line in str(error).split("\n") if line.strip()]
    why = words[-1].strip() if words else type(error).__name__
    return (
        f"an actor of the cluster failed ({why[:200]}); every node needs the same Python packages: "
        "reroll with its extra ray, and what the model needs"
    )
