"""Under fire: every fault through the real command, stored as it happened, and none leaves the denominator."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import kills

import reroll.opening as opening
from reroll.fake_faults import FAULTS, Behaviour, Deed
from reroll.fake_server import FakeServer, serving
from reroll.models.registry import open_model
from reroll.store import Store, StoredSample
from tests.background import Ran, reroll, write_project

ANSWERED = ("content-type", "refusal", "filter", "prompt-filter", "length", "empty")
FINAL = ("401", "404")
BROKEN = [name for name in FAULTS if name not in (*ANSWERED, *FINAL)]
SLOW = ("hang", "drip")


@contextlib.contextmanager
def fake(**behaviour: Any) -> Iterator[tuple[FakeServer, str]]:
    """A fake server in a thread, and its address without /v1."""
    started, held = threading.Event(), {}

    async def serve() -> None:
        async with serving(Behaviour(**{"answer": "yes", **behaviour})) as (server, url):
            held.update(server=server, url=url, loop=asyncio.get_running_loop(), over=asyncio.Event())
            started.set()
            await held["over"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield held["server"], held["url"].removesuffix("/v1")
    finally:
        held["loop"].call_soon_threadsafe(held["over"].set)
        thread.join(20)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What waiting was asked for: it takes no time, and is written down."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(opening, "open_model", functools.partial(open_model, sleep=sleep))
    return asked


def certify(capsys: Any, folder: Path, budget: int = 24) -> Ran:
    return reroll(
        capsys, "certify", "greet", "--target", 0.99, "--budget", budget, "--concurrency", 4, "--json",
        "--project", folder,
    )  # fmt: skip


def stored(folder: Path, **where: Any) -> list[StoredSample]:
    with Store.open(folder / ".reroll" / "store.sqlite", create=False) as store:
        return store.samples(**where)


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_tried_again_and_every_try_is_stored(
    name: str, waits: list[float], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in SLOW:
        monkeypatch.setenv("REROLL_TIMEOUT", "0.15")
    with fake(faults={name: 0.3}, retry_after=7, seed=5, drip=1.0) as (server, url):
        ran = certify(capsys, write_project(tmp_path / "p", url))
    samples = stored(tmp_path / "p")
    tries = [a for s in samples for a in s.sample.attempts]
    assert ran.code == 3
    assert ran.json["rate"]["n"] == len(samples) == 24
    assert ran.json["cost"]["attempts"] == len(tries) == server.calls
    bad = [a for a in tries if a.error]
    assert len(bad) == server.done[name] > 0
    statuses = {"malformed": 200, "html": 200, **{n: int(n) for n in FAULTS if n.isdecimal()}}
    assert {a.status for a in bad} == {statuses.get(name)}
    if name in statuses:  # whatever came with headers is named, so that the vendor can be asked about it
        assert all(a.request_id and a.request_id.startswith("fake-") for a in bad)
    assert sorted(a.waited for a in tries if a.waited) == sorted(waits)
    if name == "429":
        assert set(waits) == {7.0}
    for one in samples:
        assert one.sample.error is None or one.sample.completion is None
        assert sum(a.seconds for a in one.sample.attempts) < 3  # waits are no latency


@pytest.mark.parametrize("name", ANSWERED)
def test_an_odd_answer_is_an_answer_that_the_checks_see(name: str, capsys: Any, tmp_path: Path) -> None:
    with fake(faults={name: 1.0}) as (server, url):
        ran = certify(capsys, write_project(tmp_path / "p", url), budget=2)
    rate = ran.json["rate"]
    assert (rate["n"], rate["invalid"], server.calls) == (2, 0, 2)
    assert rate["failures"] == (0 if name == "content-type" else 2)


def test_the_fault_mix_loses_no_slot_and_records_every_attempt(
    waits: list[float], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_TIMEOUT", "0.4")
    mix = {"429": 0.05, "500": 0.02, "reset": 0.01, "hang": 0.01, "malformed": 0.02}
    with fake(faults=mix, seed=3) as (server, url):
        ran = certify(capsys, write_project(tmp_path / "p", url), budget=250)
    samples = stored(tmp_path / "p")
    assert ran.json["rate"]["n"] == len(samples) == len({s.idx for s in samples}) == 250
    assert sorted(s.idx for s in samples) == list(range(250))
    assert sum(len(s.sample.attempts) for s in samples) == server.calls
    assert sum(bool(a.error) for s in samples for a in s.sample.attempts) == server.calls - server.done["answer"]
    assert set(server.done) == {"answer", *mix}


@pytest.mark.parametrize("name", FINAL)
def test_a_key_or_model_that_is_turned_down_stops_the_run_at_once(name: str, capsys: Any, tmp_path: Path) -> None:
    with fake(faults={name: 1.0}) as (server, url):
        ran = certify(capsys, write_project(tmp_path / "p", url))
    assert ran.complaint
    assert server.calls <= 2


def test_a_key_that_expires_in_the_middle_ends_the_run_and_is_named(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_API_KEY", "a-key-of-the-test")
    folder = tmp_path / "p"
    with fake(key="a-key-of-the-test", expire_after=10) as (_, url):
        ran = certify(capsys, write_project(folder, url))
    assert ran.code in (2, 4)
    assert "REROLL_API_KEY" in ran.out + ran.err, ran.json["stopped"]
    good = [s for s in stored(folder) if s.sample.completion]
    assert len(good) == 10


def test_a_network_that_is_lost_never_ends_in_0(waits: list[float], capsys: Any, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    with fake(faults={"reset": 1.0}) as (server, url):
        ran = certify(capsys, write_project(folder, url))
    assert ran.complaint.endswith("[model-no-answer]")
    assert sum(len(s.sample.attempts) for s in stored(folder)) == server.calls


class Dying(Behaviour):
    """Answers so many calls, then cuts every connection."""

    def deed(self, index: int) -> Deed:
        return super().deed(index) if index < 20 else Deed("reset", False, 0.0)


@pytest.mark.parametrize("alive", [False, True])
def test_an_audit_ends_after_eight_calls_that_brought_nothing_whichever_circumstances_made_them(
    alive: bool, waits: list[float], capsys: Any, tmp_path: Path
) -> None:
    with fake() as (server, url):
        folder = write_project(tmp_path / "p", url)
        words = ["audit", "greet", "--project", folder, "--arms", "PZCS", "--json", "--quiet", "--yes"]
        server.behaviour = Dying(answer="yes") if alive else Behaviour(faults={"reset": 1.0})
        ran = reroll(capsys, *words)
        if alive:
            assert ran.code == 4
            assert "8 calls in a row brought nothing back" in ran.json["stopped"]
        else:
            assert ran.complaint.endswith("[model-no-answer]")
        outage = stored(folder, source="outage")
        assert len(outage) == 8
        assert len({one.variant for one in outage}) > 1
        server.behaviour = Behaviour(answer="yes")
        again = reroll(capsys, *words)
    assert again.code == 0, (again.out, again.err)
    assert again.json["arms"][0]["rate"]["invalid"] == 0, "an outage says nothing about the case"


@pytest.mark.parametrize("first", [{"key": "of-the-test", "expire_after": 10}, {"faults": {"reset": 1.0}}])
def test_after_an_expired_key_or_a_lost_network_the_same_command_goes_on(
    first: dict[str, Any], waits: list[float], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_API_KEY", "of-the-test")
    folder = tmp_path / "p"
    with fake(**first) as (server, url):
        write_project(folder, url)
        assert certify(capsys, folder).code in (2, 4)
        server.behaviour = Behaviour(answer="yes", key="of-the-test")
        ran = certify(capsys, folder)
    before = 10 if "key" in first else 0
    assert ran.code == 3
    assert (ran.json["rate"]["n"], ran.json["cost"]["reused"], ran.json["rate"]["invalid"]) == (24 + before, before, 0)


def test_tls_where_none_is_spoken_is_said_in_one_sentence(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_TIMEOUT", "5")
    with fake() as (_, url):
        ran = certify(capsys, write_project(tmp_path / "p", url.replace("http:", "https:")))
    assert ran.complaint.endswith("[unreachable]")


def test_a_clock_that_jumps_changes_neither_latencies_nor_what_counts(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, real_ns, count = time.time, time.time_ns, 0

    def set_back() -> int:
        nonlocal count
        count += 1
        return 3600 if count >= 30 else 0

    monkeypatch.setattr(time, "time", lambda: real() - set_back())
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() - set_back() * 10**9)
    with fake() as (_, url):
        folder = write_project(tmp_path / "p", url)
        assert certify(capsys, folder).json["rate"]["n"] == 24
        assert certify(capsys, folder).json["rate"]["n"] == 48
    for one in stored(folder):
        assert all(0 <= a.seconds < 3 for a in one.sample.attempts)


def test_runs_that_are_killed_go_on_with_totals_that_equal_a_recount(tmp_path: Path) -> None:
    words = ("--answer", "yes", "--latency", "20", "--spread", "10")
    with kills.fake_server(*words) as url:
        folder = kills.project(tmp_path / "p", url)
        killed, printed = kills.run(folder, url, 5, 20, random.Random(7))
        total, slots, attempts = kills.recount(folder)
    assert printed["rate"]["n"] == total == slots == attempts
    assert all(0 <= kill.lost <= 20 for kill in killed)
    assert sum(kill.asked > 0 for kill in killed) >= 3, "kills must strike runs that are drawing"
