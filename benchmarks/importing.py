"""Recorded traffic into the store: how long a synthetic file of {request, response} lines takes, and its peak memory.

    python benchmarks/importing.py                   Markdown, then one JSON block
    python benchmarks/importing.py --records 1000000 the file that the bars are about

Each record is a call of about 1 kB with a system prompt, a question of one of `--cases` kinds (default: a tenth of the
records) and an answer with usage. It is imported by `reroll import`; memory is that of all its processes together, at
its highest (Linux; looked at five times a second). The bars are those of a million records: 120 s, 500 MB; for fewer
records the bar on time is a share of it. Where other work is on the cores, look at the CPU seconds of each process: on
two cores that are free the import takes about as long as the one that takes most.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _report import Report

MOST_SECONDS, MOST_MB = 120.0, 500.0
SYSTEM = "You turn a request into one meeting. Answer with one JSON object and nothing else. " * 4


def write(path: Path, records: int, cases: int) -> None:
    params = {"temperature": 1, "max_tokens": 96}
    with path.open("w", encoding="utf-8") as file:
        for i in range(records):
            question = f"Lunch with guest number {i * 7919 % cases} next Friday at noon, please"
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
            said = json.dumps(
                {"date": "2026-11-27", "title": f"Lunch {i % 17}", "minutes": 60, "guests": ["Ana", "Mia"]}
            )
            answer = {
                "id": f"chatcmpl-{i:012d}",
                "created": 1795780800 + i,
                "model": "some-model-2026-08",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 120, "completion_tokens": 40},
            }
            request = {"model": "some-model", "messages": messages, **params}
            file.write(json.dumps({"request": request, "response": answer}) + "\n")


@dataclass
class Seen:
    """What an import's processes took: CPU seconds of each by pid, the most memory together in MB."""

    seconds: dict[int, float] = field(default_factory=dict)
    peak: float = 0.0

    def look(self, pid: int) -> None:
        together = 0.0
        for one in [pid, *children(pid)]:
            try:
                stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{one}/status").read_text()
            except OSError:
                continue  # it has just ended
            self.seconds[one] = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            together += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1e3
        self.peak = max(self.peak, together)


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def imported(folder: Path) -> tuple[dict[str, Any], Seen]:
    """What `reroll import --json` says of the file, and what it took."""
    words = [sys.executable, "-m", "reroll", "import", "calls.jsonl", "--store", "store.sqlite", "--json"]
    seen = Seen()
    with (folder / "said.json").open("wb") as said, subprocess.Popen(words, cwd=folder, stdout=said) as process:
        while process.poll() is None:
            seen.look(process.pid)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}")
    return json.loads((folder / "said.json").read_text()), seen


def main() -> int:
    report = Report("importing", __doc__, records=100_000, cases=0)
    records = report.args.records
    cases = report.args.cases or max(1, records // 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "calls.jsonl", records, cases)
        size = (folder / "calls.jsonl").stat().st_size / 1e6
        started = time.perf_counter()
        said, seen = imported(folder)
        seconds = time.perf_counter() - started
        kept = sum(p.stat().st_size for p in folder.glob("store.sqlite*")) / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = seen.peak
    if (said["stored"], said["cases"]) != (records, cases):
        raise SystemExit(f"{said['stored']} of {records} records and {said['cases']} of {cases} cases were stored")
    rows = [
        ["records", records],
        ["cases", cases],
        ["file, MB", round(size)],
        ["store, MB", round(kept)],
        ["seconds", round(seconds, 1)],
        ["CPU seconds", round(used.ru_utime + used.ru_stime, 1)],
        ["of these by process", ", ".join(str(round(one, 1)) for one in seen.seconds.values())],
        ["records a second", round(records / seconds)],
        ["peak memory together, MB", round(peak)],
    ]
    report.add("importing", f"{records:,} recorded calls of {cases:,} cases", ["what", "measured"], rows)
    report.bar("seconds to import them", seconds, MOST_SECONDS * max(records, 100_000) / 1_000_000)
    report.bar("peak memory of the import, all its processes, MB", peak, MOST_MB)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
