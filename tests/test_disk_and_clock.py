"""A disk that is really full, and a clock that jumps: what came back stays, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reroll.store import Store
from tests.background import in_background, in_turn, reroll, write_project


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], int]]]:
    """A disk of its own size, and how to give it another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*words: str) -> int:
        return subprocess.run(["mount", "-t", "tmpfs", *words, "none", str(place)], capture_output=True).returncode

    if sys.platform != "linux" or os.geteuid() != 0 or mount("-o", "size=1m") != 0:
        pytest.skip("no small disk can be mounted here (Linux, as root)")
    try:
        yield place, lambda size: mount("-o", f"remount,size={size}")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_on_a_full_disk_what_came_back_is_kept_and_with_room_the_same_command_goes_on(
    small_disk: tuple[Path, Callable[[str], int]], tmp_path: Path, capsys: Any
) -> None:
    disk, resize = small_disk
    with in_background(in_turn("yes", "yes " * 3000)) as (server, url):
        project = write_project(tmp_path / "p", url)
        words = ("certify", "greet", "--target", 0.999, "--budget", 400, "--concurrency", 4, "--quiet", "--json",
                 "--project", project, "--store", disk / "store.sqlite")  # fmt: skip
        full = reroll(capsys, *words)
        assert full.complaint.endswith("[store-full]")
        with Store.open(disk / "store.sqlite") as store:
            kept = len(store.samples())
        assert kept <= server.calls < 400
        assert resize("40m") == 0
        then = reroll(capsys, *words)
    assert then.code in (0, 1, 3)
    assert then.json["cost"]["reused"] >= kept
    assert then.json["rate"]["n"] == then.json["cost"]["reused"] + then.json["cost"]["samples"]
    with Store.open(disk / "store.sqlite") as store:
        samples = store.samples()
    assert len({(s.request_id, s.series, s.idx) for s in samples}) == len(samples) == then.json["rate"]["n"]


@pytest.mark.parametrize("jump", [-3 * 86400, 3 * 86400])
def test_a_clock_that_jumps_days_makes_nobody_wait_and_every_sample_keeps_its_place(
    jump: int, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward, a wait must not end at once for ever; back, it must not last three days: waits go by another clock."""
    real, real_ns, looks = time.time, time.time_ns, 0

    def off() -> int:
        nonlocal looks
        looks += 1
        return jump if looks % 40 >= 20 else 0  # there and back again, many times

    monkeypatch.setattr(time, "time", lambda: real() + off())
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + off() * 10**9)
    started = time.monotonic()
    with in_background(in_turn("yes", "no", "yes")) as (server, url):
        project = write_project(tmp_path / "p", url)
        common = ("--project", project, "--json", "--concurrency", 4)
        first = reroll(capsys, "certify", "greet", "--target", 0.9, "--budget", 30, *common)
        again = reroll(capsys, "certify", "greet", "--target", 0.9, "--budget", 30, *common)
        (project / "watch.yaml").write_text(
            "watch: w\nruns: [draw]\nstreams: [{name: all, baseline: 0.6, silence: true}]\n"
        )
        watched = reroll(capsys, "watch", "--once", "--project", project, "--json")
        watched_again = reroll(capsys, "watch", "--once", "--project", project, "--json")
    assert time.monotonic() - started < 120
    assert first.code in (0, 1, 3)
    assert again.json["rate"]["n"] == again.json["cost"]["reused"] + again.json["cost"]["samples"] == server.calls
    for one in (watched, watched_again):
        assert one.code == 0
        states = {stream["state"] for stream in one.json["streams"]}
        assert states
        assert states <= {"watched", "measuring"}, one.json
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        samples = store.samples()
    assert len({s.id for s in samples}) == len({s.idx for s in samples}) == len(samples) == server.calls
    assert all(0 <= a.seconds < 60 and a.waited < 60 for s in samples for a in s.sample.attempts)
