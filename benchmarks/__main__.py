"""Run the benchmarks, keep each number in results.json and write docs/benchmarks.md: `python -m benchmarks [NAME ...]`.

    python -m benchmarks               all of them, hours; says first how long (`make bench`, two at once)
    python -m benchmarks NAME ...      these
    python -m benchmarks --resume      goes on where the last one stopped
    python -m benchmarks --at-once 2   those that only count, two at a time; then those that measure time, alone
    python -m benchmarks --quick       each in small, in under ten minutes; kept apart (`make bench-quick`)
    python -m benchmarks --page        writes the page from what is kept, measures nothing
    python -m benchmarks --take FILE   keeps what a script printed that was run by hand

A quick row says that a benchmark runs, and about what it finds: it goes to benchmarks/out/quick.json and never
replaces a full one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial, reduce
from pathlib import Path
from typing import Any

from benchmarks._page import write_page
from benchmarks._plan import COUNTS, WAITS, jobs
from benchmarks._report import Row, circumstances, commit
from benchmarks._results import RESULTS, read, rows_of, taken, with_report, with_rows, without, write

HERE = Path(__file__).parent
JSON = dict[str, Any]
OUT = HERE / "out"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--at-once", type=int, default=1, metavar="N")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--take", type=Path, nargs="+", metavar="FILE", default=[])
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(jobs())):
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(jobs())}", file=sys.stderr)
        return 2
    for path in args.take:
        write(with_report(read(), taken(path.read_text(encoding="utf-8"))))
    if args.page or args.take:
        write_page()
        return 0
    OUT.mkdir(exist_ok=True)
    names = [n for n in jobs() if not args.names or n in args.names]
    return run_all(names, quick=args.quick, resume=args.resume, at_once=args.at_once)


def run_all(names: list[str], *, quick: bool, resume: bool, at_once: int = 1) -> int:
    """Each script in a process of its own; what is done is written down at once."""
    done, plan = _done(quick) if resume else {}, jobs()
    names = [n for n in names if done.get(n) != commit() and (not quick or plan[n].quick is not None)]
    total = sum(plan[n].seconds[quick] for n in names)
    print(f"{len(names)} benchmarks, about {total / 60:.0f} minutes of CPU.\n", flush=True)
    failed: list[str] = []
    for name, reports in _reports(names, partial(run_one, quick=quick, resume=resume), quick, at_once):
        if None in reports:
            failed.append(name)
            continue
        kept = OUT / "quick.json" if quick else RESULTS
        write(reduce(with_report, filter(None, reports), without(read(kept), name)), kept)
        _done(quick, {**_done(quick), name: commit()})
        if not quick:
            write_page()
    if quick:
        _small(names)
    if failed:
        print(f"gave no rows: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _reports(
    names: Sequence[str], run: Callable[[str, Sequence[str]], JSON | None], quick: bool, at_once: int
) -> Iterator[tuple[str, list[JSON | None]]]:
    """Each name with what its runs report, as soon as all are there; who measures time runs alone, at the end."""
    counting = [name for name in names if name in COUNTS] if at_once > 1 else []
    waiting = [name for name in names if name in WAITS] if counting else []
    runs = [(name, told) for name in counting for told in jobs()[name].runs(quick=quick)]
    dear = {name: jobs()[name].seconds[quick] / len(jobs()[name].runs(quick=quick)) for name in counting}
    with ThreadPoolExecutor(max(1, at_once)) as pool, ThreadPoolExecutor(max(1, len(waiting))) as beside:
        running = {beside.submit(run, name, ()): name for name in waiting}
        for name, told in sorted(runs, key=lambda run: -dear[run[0]]):
            running[pool.submit(run, name, told)] = name
        reports: dict[str, list[JSON | None]] = {name: [] for name in running.values()}
        for one in as_completed(running):
            name = running[one]
            reports[name].append(one.result())
            if len(reports[name]) == sum(other == name for other in running.values()):
                yield name, reports[name]
    for name in names:
        if name not in (*counting, *waiting):
            yield name, [run(name, told) for told in jobs()[name].runs(quick=quick)]


def _small(names: Sequence[str]) -> None:
    """What small runs found, and what all of them take together, where all have been run."""
    rows = read(OUT / "quick.json")["rows"]
    cpu = {row["id"].split("/")[0]: row["cpu_seconds"] for row in rows}
    missed = [row for row in rows if row["met"] is False and row["id"].split("/")[0] in names]
    print(f"Kept in benchmarks/out/quick.json. {len(missed)} rows miss their bar in so small a run:")
    print("\n".join(f"- {row['id']}: {row['ours']:.4g}" for row in missed))
    if set(cpu) >= {name for name, job in jobs().items() if job.quick is not None}:
        took = {**circumstances("python -m benchmarks --quick"), "seconds": None, "cpu_seconds": sum(cpu.values())}
        row = Row("CPU minutes of make bench-quick", sum(cpu.values()) / 60, 10, unit="min").named("bench_quick")
        write(with_rows(read(), rows_of({**took, "rows": [row]})))
        write_page()


def run_one(name: str, told: Sequence[str], *, quick: bool, resume: bool) -> JSON | None:
    """What the script reports; None where it gave no rows. A missed bar is a row, not a failure of the run.

    resume: take what it printed the last time, if that was of this version: of a script that is cut into parts some
    may have been through.
    """
    part = "".join(told) if len(jobs()[name].runs(quick=quick)) > 1 else ""
    kept = OUT / f"{name}{part}{'.quick' if quick else ''}.md"
    if resume and kept.exists() and (before := _rows_in(kept.read_text(encoding="utf-8"))).get("commit") == commit():
        return before
    print(f"# {name} {' '.join(told)}".rstrip() + "\n", flush=True)
    started = time.perf_counter()
    command = [sys.executable, str(HERE / f"{name}.py"), *told]
    as_commands_do = {"OPENBLAS_NUM_THREADS": "1", **os.environ}  # cli.main
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=as_commands_do)
    print(run.stdout)
    kept.write_text(run.stdout, encoding="utf-8")
    report = _rows_in(run.stdout)
    took = f"{time.perf_counter() - started:.0f} s, {report.get('cpu_seconds', 0):.0f} s of CPU"
    print(f"({name}: {took})\n", flush=True)
    return report if report["rows"] else None


def _rows_in(printed: str) -> JSON:
    """What a script printed as JSON; no rows where it did not come so far."""
    try:
        return taken(printed)
    except ValueError:
        return {"rows": []}


def _done(quick: bool, now: dict[str, str] | None = None) -> dict[str, str]:
    """Which benchmarks have been run, and of which version; `now` replaces it."""
    path = OUT / ("done.quick.json" if quick else "done.json")
    if now is not None:
        path.write_text(json.dumps(now), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


if __name__ == "__main__":
    raise SystemExit(main())
