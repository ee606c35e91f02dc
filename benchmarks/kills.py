"""Kill a run at random points, again and again: totals equal a recount, and only calls in flight are paid again.

    python benchmarks/kills.py               200 kills, about ten minutes
    python benchmarks/kills.py --kills 20    fewer

The real commands draw from `reroll fake-server`, which counts what it was asked; all are processes of their own.
`certify` gets six kills of ten, `compare` and `phrase`, which draw in pairs and rounds, two each. `kill -9` strikes
within a second of the first call, one time in ten while the command is starting. Then the same command goes on.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report

REROLL = [sys.executable, "-m", "reroll"]
CASES = "cases:\n  - {id: greet, input: {request: Say yes}, checks: [{name: says-yes, contains: 'yes'}]}\n"


@dataclass(frozen=True)
class Kill:
    """One run that was killed: calls that the server got, samples that were stored."""

    asked: int
    stored: int

    @property
    def lost(self) -> int:
        return self.asked - self.stored


@contextlib.contextmanager
def fake_server(*words: str) -> Iterator[str]:
    """The base_url of a fake server in a process of its own."""
    process = subprocess.Popen([*REROLL, "fake-server", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["base_url"])
    finally:
        process.kill()
        process.communicate()


def stats(url: str) -> Any:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as got:  # noqa: S310 - loopback
        return json.load(got)


def project(folder: Path, url: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = f"program: greeting\nmodel: openai:tiny\nbase_url: {url}\nsystem: {{role: Be kind.}}\n"
    (folder / "program.yaml").write_text(program)
    (folder / "cases.yaml").write_text(CASES)
    return folder


# Nothing short of 29,956 passes decides the first, and in the others nothing differs: they draw until they are killed.
CERTIFY = "certify greet --target 0.9999"
COMMANDS = {
    CERTIFY: 0.6,
    "compare params.temperature=0 --case greet": 0.2,
    "phrase greet --by-rule 2": 0.2,
}


def command(folder: Path, budget: int, concurrency: int, asked: str = CERTIFY) -> list[str]:
    words = f"{asked} --budget {budget} --concurrency {concurrency} --yes --quiet --json --project"
    return [*REROLL, *words.split(), str(folder)]


def recount(folder: Path) -> tuple[int, int, int]:
    """Samples, different slots, and attempts, counted by SQLite itself."""
    store = folder / ".reroll" / "store.sqlite"
    if not store.exists():
        return 0, 0, 0
    with contextlib.closing(sqlite3.connect(store)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "samples" not in tables:
            return 0, 0, 0
        one = "SELECT count(*), count(DISTINCT request_id || ' ' || series || ' ' || idx) FROM samples"
        total, slots = connection.execute(one).fetchone()
        return total, slots, connection.execute("SELECT count(*) FROM attempts").fetchone()[0]


def run(
    folder: Path, url: str, kills: int, concurrency: int, rng: random.Random, words: str = CERTIFY
) -> tuple[list[Kill], Any]:
    """Every kill, and what the command prints when it is at last left alone."""
    found = []
    for _ in range(kills):
        asked, stored = stats(url)["calls"], recount(folder)[0]
        process = subprocess.Popen(
            command(folder, 100_000, concurrency, words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        starting = rng.random() < 0.1
        while not starting and stats(url)["calls"] == asked and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.0, 1.0))
        process.kill()
        process.wait()
        while stats(url)["in_flight"]:  # the server may have read what the dead process had sent
            time.sleep(0.01)
        found.append(Kill(stats(url)["calls"] - asked, recount(folder)[0] - stored))
    done = subprocess.run(command(folder, 20, concurrency, words), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    return found, json.loads(done.stdout)


def main() -> int:
    report = Report("kills", __doc__, kills=200, concurrency=50, seed=1)
    args = report.args
    rows, counted_wrong, twice, more = [], 0, 0, 0
    worst = 0.0
    rng = random.Random(args.seed)
    with (
        tempfile.TemporaryDirectory() as name,
        fake_server("--answer", "yes", "--latency", "40", "--spread", "20") as url,
    ):
        for words, part in COMMANDS.items():
            folder, before = project(Path(name) / words.split()[0], url), stats(url)["calls"]
            kills, printed = run(folder, url, round(args.kills * part), args.concurrency, rng, words)
            total, slots, attempts = recount(folder)
            asked, lost = stats(url)["calls"] - before, [kill.lost for kill in kills]
            says = printed["cost"]["reused"] + printed["cost"]["samples"]
            begun = sum(k.asked > 0 for k in kills)
            rows.append(
                [words.split()[0], len(kills), begun, asked, total, says, sum(lost), max(lost), args.concurrency]
            )
            counted_wrong += abs(says - total)
            twice, more = twice + total - slots, more + attempts - total
            worst = max(worst, max(lost) / args.concurrency)
    head = ["command", "kills", "after calls had begun", "calls", "stored", "counted by the command", "paid again",
            "most at one kill", "in flight"]  # fmt: skip
    report.add("runs", "Killed at random points", head, rows)
    report.bar("samples that the command counts, less a recount", counted_wrong, 0)
    report.bar("samples less different slots", twice, 0)
    report.bar("attempts less samples (no fault was injected)", more, 0)
    report.bar("most calls paid again at one kill, in shares of those in flight", worst, 1)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
