"""What the benchmark beside other tools counts by itself: their versions, their rows, what a command cost."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest
from benchmarks.peers import JOBS, Asked, environment, installing, kill_when, spend


@pytest.mark.parametrize(
    ("node", "release"),
    [("v24.19.0", "0.123.1"), ("v22.22.0", "0.123.1"), ("v22.21.1", None), ("v21.7.0", None), ("v20.20.2", "0.121.20")],
)
def test_the_newest_promptfoo_that_a_node_runs_is_chosen(node: str, release: str | None) -> None:
    assert installing.promptfoo_for(node) == release


def test_rows_with_an_answer_and_with_an_error_are_counted_and_a_torn_last_line_is_none(tmp_path: Path) -> None:
    lines = ['{"text": "yes", "passed": true}', '{"text": "no", "passed": false}', '{"error": "reset"}', '{"text": "ye']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    kept = JOBS["openai"].kept(Asked(tmp_path, "", 4, 1))
    assert (kept.answers, kept.passed, kept.errors) == (2, 1, 1)


def test_what_a_command_cost_includes_what_it_started(tmp_path: Path) -> None:
    burn = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.2: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('said'); sys.exit(7)"
    spent = spend([sys.executable, "-c", parent], tmp_path, environment(Asked(tmp_path, "", 1, 1)), 60)
    assert spent.cpu > 0.2
    assert (spent.code, spent.said) == (7, "said")


def test_a_command_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    ends: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        def connected() -> bool:
            with contextlib.suppress(BlockingIOError):
                ends.append(server.accept()[0])
            return bool(ends)

        child = f"import socket, time; s = socket.create_connection({server.getsockname()!r}); time.sleep(600)"
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        command = [sys.executable, "-c", parent]
        assert kill_when(command, tmp_path, environment(Asked(tmp_path, "", 1, 1)), connected).code is None
    with ends[0] as end:
        end.settimeout(60)
        assert end.recv(1) == b""  # the child's side is closed
