"""What a command costs with everything that it starts: CPU, wall time, memory; and how to kill it whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Spent", "kill_when", "spend"]

MB = 1024 if sys.platform == "linux" else 1024 * 1024  # ru_maxrss in KB or bytes


@dataclass(frozen=True)
class Spent:
    """CPU seconds (user and system, of the command and all that it started and waited for), wall seconds, peak MB of
    its largest process, exit code (None: stopped by us, at `limit` seconds or killed on purpose), last words."""

    cpu: float
    wall: float
    mb: float
    code: int | None
    said: str


def spend(command: Sequence[str], folder: Path, env: Mapping[str, str], limit: float) -> Spent:
    """Run a command to its end, for `limit` seconds at most."""
    until = time.monotonic() + limit
    return kill_when(command, folder, env, lambda: time.monotonic() > until)


def kill_when(command: Sequence[str], folder: Path, env: Mapping[str, str], now: Callable[[], bool]) -> Spent:
    """Run a command in a process group of its own, and end the whole group with SIGKILL once `now` says so."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "said.txt").open("w+") as said:
        started, killed = time.perf_counter(), False
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not killed and now():
                killed = True
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(status)  # we waited for it, not subprocess
        wall = time.perf_counter() - started
        said.seek(0)
        words = " ".join(said.read().split())
    cpu = used.ru_utime + used.ru_stime
    return Spent(cpu, wall, used.ru_maxrss / MB, None if killed else process.returncode, words[-400:])
