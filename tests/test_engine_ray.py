"""Draws on a real Ray cluster on loopback: nothing lost, nothing twice, no key leaves its node, and clear refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from aiohttp import web

from reroll import engine_ray, ray_cluster
from reroll.arguments import Spending
from reroll.engine import run_draws
from reroll.engine_ray import Crew, crew
from reroll.errors import ModelError, RerollError, UsageError
from reroll.models.model import Draw
from reroll.models.registry import open_model
from reroll.options import on_cluster, options_of
from reroll.program import Program, Request
from reroll.ray_cluster import joined
from reroll.sample import Sample
from tests.background import in_background, reroll_apart, write_project
from tests.fake_server import Act, FakeServer, answer, serving
from tests.test_judge_calls import cases, fair, judging

# Ray reads its environment when it is imported, so it must not be imported here.
pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(os.name == "nt", reason="Ray's clusters for tests need Unix"),
]

T = TypeVar("T")
TOKEN = secrets.token_hex(32)
SECRET = "kept-on-its-own-node-" + secrets.token_hex(8)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # everything on 127.0.0.1
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
}


@contextlib.contextmanager
def head(**more: str) -> Iterator[Any]:
    """A cluster whose head takes no actors. What is in this environment is what its nodes have."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET, **more}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with room for five actors."""
    with pytest.MonkeyPatch.context() as patch, head() as cluster:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        cluster.nodes = [cluster.add_node(num_cpus=n, include_dashboard=False) for n in (3, 2)]
        yield cluster


class Four:
    """Four actors, and the event loop that they belong to, for all tests that only draw."""

    def __init__(self, runner: asyncio.Runner, crew: Crew) -> None:
        self.runner, self.crew = runner, crew

    def __call__(self, test: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self.runner.run(test())

    @contextlib.asynccontextmanager
    async def drawn(self, act: Act, folder: Path) -> AsyncIterator[Drawn]:
        async with serving(act) as (server, url):
            program = Program(program="p", model="openai:tiny", base_url=f"{url}/v1")
            model = open_model(program.model, base_url=program.base_url)
            yield Drawn(self.crew, await self.crew.engine(program, folder, model), server, url)
            await model.close()


@pytest.fixture(scope="module")
def four(cluster: Any) -> Iterator[Four]:
    with asyncio.Runner() as runner:
        opening = crew(cluster.address, 4)
        yield Four(runner, runner.run(opening.__aenter__()))  # type: ignore[arg-type]
        runner.run(opening.__aexit__(None, None, None))  # type: ignore[arg-type]


class Drawn:
    """What a test works with: actors, a model behind a fake server, and what was handed over."""

    def __init__(self, crew: Crew, engine: Any, server: FakeServer, url: str) -> None:
        self.crew, self.engine, self.server, self.url = crew, engine, server, url
        self.got: Counter[int] = Counter()
        self.errors: list[str] = []
        self.then: Callable[[int], None] = lambda n: None

    async def run(self, n: int, width: int, **more: Any) -> int:
        draws = [Draw(Request("openai:tiny", self.url, {"messages": []}), "case", i) for i in range(n)]
        settled: int = await self.engine(None, draws, width, self.keep, **more)
        return settled

    def keep(self, draw: Draw, sample: Sample) -> None:
        self.got[draw.index] += 1
        if sample.error:
            self.errors.append(sample.error)
        self.then(self.got.total())


def later(seconds: float) -> Act:
    async def act(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)  # what a model's answer takes
        return await answer("ok")(request)

    return act


# -- the contract of the engine ----------------------------------------------------------------------------------------


def test_results_are_those_of_the_engine_in_process_and_a_recording_ends_alike(four: Four, tmp_path: Path) -> None:
    rows = [{"case_id": "case", "run": i, "model": "m", "messages": [], "completion": f"text {i}"} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    program = Program(program="p", model="recorded:rows.jsonl")
    model = open_model(program.model, project=tmp_path)
    draws = [Draw(Request(program.model, None, {}), "case", i) for i in range(40)]

    async def both() -> list[dict[int, Sample]]:
        found: list[dict[int, Sample]] = [{}, {}]
        for engine, into in zip((run_draws, await four.crew.engine(program, tmp_path, model)), found, strict=True):
            assert await engine(model, draws, 7, lambda d, s, into=into: into.update({d.index: s})) == 40
        with pytest.raises(ModelError, match="has only 40 recorded completions") as caught:
            await engine(model, [*draws, Draw(draws[0].request, "case", 40)], 7, lambda d, s: None)
        assert caught.value.slug == "recorded-exhausted"
        return found

    here, there = four(both)
    assert here == there
    assert there[39].completion is not None
    assert there[39].completion.text == "text 39"


def test_a_stop_brings_home_every_call_that_comes_back_within_the_grace(four: Four, tmp_path: Path) -> None:
    async def run() -> None:
        async with four.drawn(later(0.1), tmp_path) as d:
            running = asyncio.ensure_future(d.run(500, 10))
            d.then = lambda settled: settled == 20 and running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert d.got.total() == d.server.calls  # all that was paid for
            assert d.got.total() < 60
            assert max(d.got.values()) == 1
            d.then = lambda settled: None
            assert await d.run(5, 2) == 5  # the actors are as good as new

    four(run)


def test_no_draw_starts_once_it_is_enough_and_never_more_are_in_flight_than_told(four: Four, tmp_path: Path) -> None:
    async def run() -> None:
        async with four.drawn(later(0.02), tmp_path) as d:
            settled = await d.run(500, 6, enough=lambda in_flight: d.got.total() + in_flight >= 37)
            assert settled == d.got.total() == d.server.calls == 37
            assert d.server.most_at_once <= 6
            assert await d.run(500, 6, deadline=time.monotonic()) == 0
            assert await d.run(0, 6) == 0

    four(run)


def test_an_error_while_storing_ends_the_run_with_that_error(four: Four, tmp_path: Path) -> None:
    async def run() -> None:
        async with four.drawn(later(0.02), tmp_path) as d:

            def full(settled: int) -> None:
                if settled == 10:
                    raise OSError("the disk is full")

            d.then = full
            with pytest.raises(OSError, match="the disk is full"):
                await d.run(500, 6)
            assert d.server.calls < 40

    four(run)


def test_replicas_share_the_draws_and_more_than_an_address_is_refused(four: Four, tmp_path: Path) -> None:
    async def run() -> None:
        actors = four.crew
        async with serving(answer()) as (one, first), serving(answer()) as (two, second):
            replicas: Any = {"a": {"base_url": first}, "b": {"base_url": second}}
            program = Program(program="p", model="openai:tiny", base_url=first, replicas=replicas)
            model = open_model("openai:tiny", base_url=first)
            engine = await actors.engine(program, tmp_path, model)
            draws = [Draw(Request("openai:tiny", first, {"messages": []}), "case", i) for i in range(40)]
            assert await engine(model, draws, 4, lambda d, s: None) == 40
            assert one.calls
            assert two.calls
            assert one.calls + two.calls == 40
            other = program.model_copy(update={"replicas": {"a": {"headers": {"x": "y"}}}})
            with pytest.raises(UsageError, match="replica `a` has headers"):
                await actors.engine(other, tmp_path, model)

    four(run)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_stays_where_it_is_and_a_node_without_one_says_so(
    cluster: Any, four: Four, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def run() -> list[bytes]:
        async with four.drawn(answer(), tmp_path) as d:
            await d.run(20, 4)
            # The driver has the key and the nodes have none: so none was sent, because none went there.
            assert not any(SECRET in str(headers) for headers in d.server.headers)
            vendor = Program(program="p", model="openai:gpt-4o-mini")
            with pytest.raises(ModelError, match=r"^on node 127.0.0.1 of the cluster: .* OPENAI_API_KEY") as caught:
                await d.crew.engine(vendor, tmp_path, open_model(vendor.model))
            assert caught.value.slug == "no-key"
            kept = d.crew.cluster.ray.experimental.internal_kv
            return [kept._internal_kv_get(name) or b"" for name in kept._internal_kv_list(b"")]

    assert not any(SECRET.encode() in value for value in four(run))
    logs = [p for p in Path(cluster.head_node.get_session_dir_path()).rglob("*") if p.is_file()]
    assert logs
    assert not any(SECRET.encode() in p.read_bytes() for p in logs)


def test_a_password_on_the_command_line_is_refused_since_ray_would_show_it() -> None:
    for words in (["--store", "postgresql://me:hidden@host/db"], ["--store=postgresql://me:hidden@host/db"]):
        with pytest.raises(UsageError, match="Ray keeps the command line") as caught:
            ray_cluster._no_password(["reroll", "rerun", "x", *words])
        assert "hidden" not in str(caught.value)
    ray_cluster._no_password(["reroll", "rerun", "x", "--store", "postgresql://me@host/db", "--yes"])


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusal(address: str) -> RerollError:
    began = time.monotonic()
    with pytest.raises(RerollError) as caught, joined(address, 1):
        pass
    assert time.monotonic() - began < 30
    return caught.value


def test_what_is_no_cluster_is_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "PROBE", 3.0)
    assert refusal("ray://127.0.0.1:10001").slug == "cluster"
    assert refusal("auto").slug == "cluster"
    assert refusal("127.0.0.1:1").slug == "no-cluster"
    with in_background(answer()) as (_, url):
        assert refusal(url.removeprefix("http://")).slug == "no-cluster"


def test_a_cluster_that_asks_for_no_token_is_refused(cluster: Any) -> None:
    with head(RAY_AUTH_MODE="disabled") as open_to_all:
        said = refusal(open_to_all.address)
    assert said.slug == "cluster-open"
    assert "asks nobody for a token" in str(said)


def test_a_wrong_token_and_none_are_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    said = refusal(cluster.address)
    assert said.slug == "cluster-token"
    assert "refuses the token" in str(said)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "there is no token here" in str(refusal(cluster.address))


def test_another_version_of_ray_python_or_reroll_is_refused(
    cluster: Any, four: Four, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._raylet import GcsClient

    gcs, place = GcsClient(address=cluster.address), (b"CLUSTER_METADATA", b"cluster")
    truth = gcs.internal_kv_get(*place)
    assert truth is not None
    try:
        told = {**json.loads(truth), "ray_version": "2.52.1"}
        gcs.internal_kv_put(place[0], json.dumps(told).encode(), True, place[1])
        said = refusal(cluster.address)
        assert said.slug == "cluster-version"
        assert "runs ray 2.52.1 on Python" in str(said)
    finally:
        gcs.internal_kv_put(place[0], truth, True, place[1])
    monkeypatch.setattr(engine_ray, "versions", lambda: {"Python": "3.11.7", "reroll": "0.0.9 (code 00)"})

    async def run() -> None:
        async with four.drawn(answer(), tmp_path):
            pass

    with pytest.raises(UsageError, match=r"node 127.0.0.1 of the cluster has .* reroll 0.0.9"):
        four(run)


def test_another_file_under_the_same_name_is_refused(four: Four, tmp_path: Path) -> None:
    row = {"case_id": "case", "run": 0, "model": "m", "messages": [], "completion": "one"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    program = Program(program="p", model="recorded:rows.jsonl")
    model: Any = SimpleNamespace(identity="recorded:rows.jsonl@0123456789ab")  # what the driver has

    async def run() -> None:
        await four.crew.engine(program, tmp_path, model)

    with pytest.raises(UsageError, match="put the same file there") as caught:
        four(run)
    assert caught.value.slug == "cluster-model"


def test_a_cluster_without_room_is_told_from_none(four: Four, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_ray, "START", 1.0)

    async def run() -> None:
        one, none = Crew(four.crew.cluster, 1), Crew(four.crew.cluster, 1)
        program = Program(program="p", model="bundled")
        model = open_model("bundled")
        try:
            await one.engine(program, tmp_path, model)
            await none.engine(program, tmp_path, model)
        finally:
            for actor in (*one.actors, *none.actors):
                four.crew.cluster.ray.kill(actor._handle)

    with pytest.raises(UsageError, match="of the cluster's 5 CPUs are free") as caught:
        four(run)
    assert caught.value.slug == "cluster-full"


def test_ray_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise ray_cluster.PackageNotFoundError(name)

    monkeypatch.setattr(ray_cluster, "version", missing)
    with pytest.raises(UsageError, match=r"pip install 'reroll\[ray\]'") as caught, joined(None, 1):
        pass
    assert caught.value.slug == "no-ray"


def test_options_of_a_cluster_need_the_engine() -> None:
    assert on_cluster(Spending(), {}) is None
    assert on_cluster(Spending(), {"REROLL_CLUSTER": "h:1", "RAY_ADDRESS": "h:2"}) is None
    assert on_cluster(Spending(engine="ray"), {}) == (None, None)
    assert on_cluster(Spending(engine="ray", actors=3), {"RAY_ADDRESS": "h:2"}) == ("h:2", 3)
    assert on_cluster(Spending(cluster="h:3"), {"REROLL_ENGINE": "ray", "REROLL_CLUSTER": "h:1"}) == ("h:3", None)
    for told in (Spending(cluster="h:1"), Spending(actors=2)):
        with pytest.raises(UsageError, match="is for --engine ray"):
            on_cluster(told, {})
    with pytest.raises(UsageError, match="--actors must be 1 or more"):
        options_of(Spending(engine="ray", actors=0))
    with pytest.raises(UsageError, match="asyncio or ray"):
        on_cluster(Spending(), {"REROLL_ENGINE": "dask"})


# -- the commands ------------------------------------------------------------------------------------------------------


def finished(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 1, out
    assert "ray" not in err.lower(), err
    return json.loads(out)


def test_rerun_on_a_cluster_answers_as_it_does_in_process(cluster: Any, tmp_path: Path) -> None:
    with in_background(answer("no")) as (_, url), in_background(judging(fair)) as (judge, at):
        here, there = (write_project(tmp_path / name, url, cases=cases(at)) for name in ("here", "there"))
        words = ("rerun", "greet", "--json", "--project")
        plain = finished(reroll_apart(*words, here))
        on_ray = finished(reroll_apart(*words, there, "--engine", "ray", "--cluster", cluster.address, "--actors", 1))
    assert on_ray["verdict"] == plain["verdict"] == "worse_than_reference"
    assert on_ray["rate"]["failures"] == on_ray["rate"]["n"]
    assert (on_ray["cost"]["judge_calls"], judge.calls) == (1, 2), "a judge is asked from here, once for equal answers"
    assert TOKEN.encode() not in (there / ".reroll" / "store.sqlite").read_bytes()


def test_a_cluster_of_its_own_draws_from_the_bundled_model_and_is_ended(tmp_path: Path) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp", prefix="rr"))  # Ray's sockets lie there, whose paths may not be long
    try:
        subprocess.run([sys.executable, "-m", "reroll", "init", str(tmp_path / "p")], check=True, capture_output=True)
        environment = {**os.environ, "TMPDIR": str(short)}
        words = ("rerun", "next-friday", "--budget", 12, "--json", "--project", tmp_path / "p", "--engine", "ray")
        found = finished(reroll_apart(*words, "--actors", 1, env=environment))
        assert found["cost"]["calls"] + found["cost"]["control_calls"] > 0
        assert list(short.iterdir()) == []
        assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(short) in _read(p)]
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace")
    return ""


# -- deaths: last, since two of the four actors have nowhere to go then ------------------------------------------------


def test_an_actor_is_killed_and_a_node_removed_and_no_draw_is_lost_or_settled_twice(
    cluster: Any, four: Four, tmp_path: Path
) -> None:
    width, n = 40, 400
    doomed = cluster.nodes[1]

    async def run() -> None:
        async with four.drawn(later(0.05), tmp_path) as d:

            def strike(settled: int) -> None:
                if settled == 100:
                    os.kill(d.crew.actors[0].pid, signal.SIGKILL)
                if settled == 200:
                    cluster.remove_node(doomed, allow_graceful=False)

            d.then = strike
            assert await d.run(n, width) == n
            assert d.got == Counter(range(n))
            assert not d.errors
            # Paid twice is at most what was on its way on the actors that died: one, then two of the four.
            assert n <= d.server.calls <= n + 2 * width

    four(run)
