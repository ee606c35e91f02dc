"""Recorded traffic into the store: how long a synthetic file of {request, response} lines takes, and its peak memory.

    python benchmarks/importing.py                   Markdown, then one JSON block
    python benchmarks/importing.py --records 1000000 the file that the bars are about

Each record is a call of about 1 kB with a system prompt, a question of one of `--cases` kinds (default: a tenth of the
records) and an answer with usage. The import runs in a process of its own, whose peak memory is what is reported. The
bars are those of a million records: 120 s and 500 MB; for fewer records the bar on time is a share of it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import Report

MOST_SECONDS, MOST_MB = 120.0, 500.0
SYSTEM = "You turn a request into one meeting. Answer with one JSON object and nothing else. " * 4
IMPORT = """
import resource, sys
from pathlib import Path
from reroll.intake.formats import read_files
from reroll.intake.traffic import take_in
from reroll.store import Store
with Store.open(Path(sys.argv[1]) / "store.sqlite") as store:
    found = take_in(read_files([Path(sys.argv[1]) / "calls.jsonl"]), store=store, folder=Path(sys.argv[1]))
print(found.stored, found.cases)
"""


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


def main() -> int:
    report = Report("importing", __doc__, records=100_000, cases=0)
    records = report.args.records
    cases = report.args.cases or max(1, records // 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "calls.jsonl", records, cases)
        size = (folder / "calls.jsonl").stat().st_size / 1e6
        started = time.perf_counter()
        ran = subprocess.run([sys.executable, "-c", IMPORT, name], stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - started
        stored, found = map(int, ran.stdout.split())
        kept = sum(p.stat().st_size for p in folder.glob("store.sqlite*")) / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (1e3 if sys.platform == "linux" else 1e6)
    if (stored, found) != (records, cases):
        raise SystemExit(f"{stored} of {records} records and {found} of {cases} cases were stored")
    rows = [
        ["records", records],
        ["cases", cases],
        ["file, MB", round(size)],
        ["store, MB", round(kept)],
        ["seconds", round(seconds, 1)],
        ["CPU seconds", round(used.ru_utime + used.ru_stime, 1)],
        ["records a second", round(records / seconds)],
        ["peak memory, MB", round(peak)],
    ]
    report.add("importing", f"{records:,} recorded calls of {cases:,} cases", ["what", "measured"], rows)
    report.bar("seconds to import them", seconds, MOST_SECONDS * max(records, 100_000) / 1_000_000)
    report.bar("peak memory of the import, MB", peak, MOST_MB)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
