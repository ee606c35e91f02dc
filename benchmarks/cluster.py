"""Draws on a real Ray cluster of this machine: what dies, what is paid twice, what more actors bring, what it costs.

    python benchmarks/cluster.py                    about two minutes; needs `pip install 'reroll[ray]'`

Every row is a process of its own, against `reroll fake-server` in another one. One of a run's four actors is killed
(kill -9) after a quarter of its samples, and after half of them one of the two nodes that have the actors is removed
with everything on it. `CPU` is what the driver adds for each sample that is drawn, stored, read back and judged, the
actors' own not included; `messages only` leaves store and checks out, and beside it stands Ray's usual way, one task
for each draw. Storing is measured where PostgreSQL is installed, a server of its own on loopback without fsync.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report
from kills import fake_server, project, recount, stats

WIDTH = 50  # calls in flight for each actor


@contextlib.contextmanager
def nodes(count: int, cpus: int) -> Iterator[tuple[str, list[Any], Any]]:
    """A real cluster on loopback: a head without CPUs for actors, and so many nodes. Address, nodes, cluster."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.urandom(32).hex())
    os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    from ray.cluster_utils import Cluster

    told = {"include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **told}, shutdown_at_exit=True)
    try:
        yield cluster.address, [cluster.add_node(num_cpus=cpus, **told) for _ in range(count)], cluster
    finally:
        cluster.shutdown()


async def drawn(
    told: dict[str, Any], crew: Any, actors: int, calls: int, folder: Path, hurt: Any = None
) -> dict[str, Any]:
    """One session's draws, stored, read back and judged, on the crew's actors (None: in process)."""
    from reroll.checking import Checker
    from reroll.engine import run_draws
    from reroll.models.registry import open_model
    from reroll.project import load_project
    from reroll.runner import draw_more
    from reroll.session import Options, Session, judged, slots
    from reroll.store import Store

    found = load_project(project(folder, told["url"]))
    model = open_model(found.program.model, base_url=told["url"], timeout=60.0)
    engine = run_draws if crew is None else await crew.engine(found.program, folder, model)
    (folder / ".reroll").mkdir()
    with Store.open(folder / ".reroll" / "store.sqlite") as store, Checker(folder) as checker:
        options = Options(budget=10 * calls, concurrency=WIDTH * actors)
        session = Session(found, store, model, checker, options, engine=engine)
        store.put_program(found.program)
        store.put_case(found.cases[0])
        at = slots(session, found.cases[0])
        await draw_more(session, [at], 2 * actors)  # connections, imports
        hurting = asyncio.ensure_future(hurt(session, calls)) if hurt else None
        cpu, wall = time.process_time(), time.perf_counter()
        await draw_more(session, [at], calls - 2 * actors)
        drew = time.perf_counter() - wall
        n = len(judged(session, at))
        cpu = time.process_time() - cpu
        if hurting:
            await hurting
    await model.close()
    return {"n": n, "cpu ms": 1000 * cpu / calls, "wall": drew}


async def messages_only(told: dict[str, Any], crew: Any, actors: int, calls: int) -> dict[str, float]:
    """Driver CPU in ms a sample: our batches, and one Ray task for each draw, nothing stored."""
    from reroll.models.model import Draw
    from reroll.models.registry import open_model
    from reroll.project import load_project
    from reroll.ray_actor import Drawer

    folder = Path(told["folder"]) / "messages"
    program = load_project(project(folder, told["url"])).program
    model = open_model(program.model, base_url=told["url"], timeout=60.0)
    engine = await crew.engine(program, folder, model)
    request = program.render({"request": "Say yes"})
    draws = [Draw(request, "greet", i) for i in range(calls)]
    await engine(model, draws[:50], 50, lambda d, s: None)
    messages = counting(crew)
    cpu = time.process_time()
    await engine(model, draws, WIDTH * actors, lambda d, s: None)
    ours = 1000 * (time.process_time() - cpu) / calls
    each = calls / messages()

    class One(Drawer):
        async def draw(self, spec: Any, draw: Draw) -> Any:
            return await self._model(spec).draw(draw)

    ray = crew.cluster.ray
    many = [ray.remote(One).options(num_cpus=0, max_concurrency=1000).remote() for _ in range(actors)]
    todo = iter(enumerate(draws))

    async def worker() -> None:
        for i, draw in todo:
            await many[i % actors].draw.remote(engine.specs[0], draw)

    await asyncio.gather(*(many[k % actors].hello.remote(engine.specs[0]) for k in range(2 * actors)))
    cpu = time.process_time()
    await asyncio.gather(*(worker() for _ in range(WIDTH * actors)))
    return {"ours": ours, "our samples a message": each, "task each": 1000 * (time.process_time() - cpu) / calls}


def counting(crew: Any) -> Any:
    """What says how many samples' messages there have been since now."""
    count = itertools.count()

    def counted(ask: Any) -> Any:
        async def asked(method: str, *words: Any, **more: Any) -> Any:
            if method == "exchange":
                next(count)
            return await ask(method, *words, **more)

        return asked

    for actor in crew.actors:
        actor.ask = counted(type(actor).ask.__get__(actor))
    return lambda: next(count)


def storing() -> list[list[Any]]:
    """Milliseconds that a commit of so many samples takes, wall and CPU of this process."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import pytest
    from tests.postgres import running

    from reroll.program import Program
    from reroll.sample import Attempt, Completion, Sample, Usage
    from reroll.store import NewSample, Store

    program = Program(program="greeting", model="openai:tiny")
    request = program.render({"request": "Say yes"})
    told = {"request_id": request.id("x"), "series": "open", "program_id": program.id, "case_id": "greet"}
    sample = Sample(
        Completion("x" * 400),
        attempts=(Attempt(1e9, 0.5, 200),),
        usage=Usage(100, 100, 1e-4),
        raw="{" + "y" * 700 + "}",
    )
    rows = []

    def measure(kind: str, url: str) -> None:
        with Store.open(url) as store:
            store.put_program(program)
            store.put_request(told["request_id"], request, "x")
            free = itertools.count()
            for size in (1, 64):
                times, cpu = [], time.process_time()
                for _ in range(100):
                    new = [
                        NewSample(sample, idx=next(free), variant="baseline", source="draw", **told)
                        for _ in range(size)
                    ]
                    began = time.perf_counter()
                    store.add_samples(new)
                    times.append(time.perf_counter() - began)
                cpu = 1000 * (time.process_time() - cpu) / 100
                rows.append([kind, size, f"{1000 * sorted(times)[50]:.2f}", f"{cpu:.2f}"])

    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"{folder}/store.sqlite")
    try:
        with running() as server:
            measure("PostgreSQL", server.new_database())
    except pytest.skip.Exception as why:
        rows.append(["PostgreSQL", "–", f"not run: {why}", "–"])
    return rows


async def calm(told: dict[str, Any]) -> dict[str, Any]:
    """Asyncio, one actor and four on the same load for each; then what messages cost."""
    from reroll.engine_ray import crew

    folder, calls = Path(told["folder"]), told["calls"]
    found: dict[str, Any] = {"asyncio": await drawn(told, None, 4, calls, folder / "asyncio")}
    async with crew(None, 4) as four:
        found["4"] = await drawn(told, four, 4, calls, folder / "four")
        found["messages"] = await messages_only(told, four, 4, calls)
    async with crew(None, 1) as one:
        found["1"] = await drawn(told, one, 1, calls // 4, folder / "one")
    return found


async def made(session: Any, calls: int) -> None:
    while session.made < calls:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.005)


async def hurt(told: dict[str, Any]) -> dict[str, Any]:
    """Kill an actor, remove a node, while the draws go on."""
    from reroll.engine_ray import crew

    with nodes(2, 2) as (address, two, cluster):
        async with crew(address, 4) as four:

            async def strike(session: Any, calls: int) -> None:
                await made(session, calls // 4)
                os.kill(four.actors[0].pid, signal.SIGKILL)
                await made(session, calls // 2)
                await asyncio.to_thread(cluster.remove_node, two[1], allow_graceful=False)

            return await drawn(told, four, 4, told["calls"], Path(told["folder"]) / "hurt", strike)


def row(kind: str, calls: int, ms: int) -> dict[str, Any]:
    """What the process of this kind found, what SQLite counts, and what the server saw."""
    with tempfile.TemporaryDirectory() as folder, fake_server("--answer", "yes", "--latency", str(ms)) as url:
        told = {"kind": kind, "url": url, "folder": folder, "calls": calls}
        command = [sys.executable, __file__, "--inside", json.dumps(told)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        found["asked"] = stats(url)["calls"]
        if kind == "hurt":
            found["rows"], found["slots"], _ = recount(Path(folder) / "hurt")
        return found


def inside(told: dict[str, Any]) -> dict[str, Any]:
    from reroll.opening import run

    found: dict[str, Any] = run({"calm": calm, "hurt": hurt}[told["kind"]](told))
    return found


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(json.loads(sys.argv[2]))))
        return 0
    report = Report("cluster", __doc__, calls=4000, latency=500)
    calls = report.args.calls
    found = row("hurt", calls, report.args.latency)
    twice = found["asked"] - found["rows"]
    head = ["calls wanted", "rows", "different slots", "asked of the server", "paid twice", "share", "seconds"]
    cells = [
        calls,
        found["rows"],
        found["slots"],
        found["asked"],
        twice,
        f"{twice / calls:.1%}",
        f"{found['wall']:.1f}",
    ]
    report.add("hurt", "An actor killed, a node removed (4 actors, 200 in flight)", head, [cells])
    report.bar("rows missing", calls - found["slots"], 0)
    report.bar("rows twice", found["rows"] - found["slots"], 0)
    report.bar("share of calls paid twice", twice / calls, 0.05)
    calm = row("calm", calls, report.args.latency)
    rates = {"asyncio": calls, "4": calls, "1": calls // 4}
    rows = [
        [name, n, 50 if name == "1" else 200, f"{n / calm[name]['wall']:.0f}", f"{calm[name]['cpu ms']:.3f}"]
        for name, n in rates.items()
    ]
    head = ["where (number of actors)", "calls", "in flight", "samples a second", "CPU ms of the driver a sample"]
    report.add("calm", f"Undisturbed, {report.args.latency} ms latency", head, rows)
    faster = (calls / calm["4"]["wall"]) / (calls // 4 / calm["1"]["wall"])
    report.bar("4 actors, times the samples a second of one", faster, 3, most=False)
    message = calm["messages"]
    cells = [[name, f"{value:.3f}"] for name, value in message.items()]
    report.add("messages", "Messages only: driver CPU ms a sample", ["how", "measured"], cells)
    report.add("storing", "Storing", ["store", "samples a commit", "median ms", "CPU ms"], storing())
    report.bar(
        "driver CPU of messages, times that of one task for each draw", message["ours"] / message["task each"], 0.5
    )
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
