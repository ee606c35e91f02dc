"""Failure rate by variant over a million stored samples: how long it takes, and whether it equals a recount.

    python benchmarks/million.py                 Markdown, then one JSON block
    python benchmarks/million.py --rows 200000   a smaller store

The store is made by `Store.open` and filled by SQL, a million samples of 12 variants with an outcome each (through
`add_samples` it would take minutes); its rows look like those that reroll writes, without payloads. About 20 seconds.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from _report import Report
from reroll.store import Rates, Store

VARIANTS = 12
BAR_MS = 100.0
CHECK = "k1:0123456789abcdef"

# Numbers that look random and can be made again: multiples of a large odd number, as 60 bits of an id.
FILL = f"""
PRAGMA synchronous = OFF;
BEGIN;
CREATE TEMP TABLE n AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {{rows}}) SELECT i FROM n;
INSERT INTO samples (seq, id, request_id, series, idx, program_id, case_id, variant, source, settled_us, seconds, text,
    finish_reason, model, prompt_tokens, completion_tokens, usd)
SELECT i, printf('s_%012d', i), 'r1:0123456789abcdef', 'open', i, 'p1:0123456789abcdef', 'next-friday',
    'variant-' || (i % {VARIANTS}), CASE WHEN i % 50 THEN 'draw' ELSE 'imported' END, 1700000000000000 + i, 0.5,
    substr('The meeting with Ana is on Friday 27 November at noon and takes one hour, as always', 1, 40 + i % 40),
    'stop', 'openai/some-model-2026-08', 300, 60, 0.0001 FROM n;
INSERT INTO outcomes (sample_id, checks_id, check_name, outcome, reason, judged_us, variant, source)
SELECT id, '{CHECK}', 'right-date',
    CASE WHEN (seq * 2654435761) % 1000 < 30 + 10 * (seq % {VARIANTS}) THEN 'fail'
         WHEN (seq * 40503) % 997 = 0 THEN 'invalid' ELSE 'pass' END,
    '', settled_us, variant, source FROM samples;
COMMIT;
"""  # fmt: skip

RECOUNT = """
SELECT samples.variant, count(*), sum(outcome = 'fail'), sum(outcome = 'invalid') FROM outcomes
JOIN samples ON samples.id = sample_id WHERE checks_id = ? AND samples.source = 'draw' GROUP BY 1
"""


def timed(store: Store) -> tuple[float, dict[str, Rates]]:
    started = time.perf_counter()
    found = store.rates(CHECK)
    return (time.perf_counter() - started) * 1e3, found


def main() -> int:
    report = Report("million", __doc__, rows=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        Store.open(path).close()
        started = time.perf_counter()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(FILL.format(rows=report.args.rows))
        built = time.perf_counter() - started
        with Store.open(path) as store:
            first, found = timed(store)
            again = [timed(store)[0] for _ in range(9)]
        with closing(sqlite3.connect(path)) as connection:
            started = time.perf_counter()
            recount = {v: Rates(*counts) for v, *counts in connection.execute(RECOUNT, (CHECK,))}
            joined = (time.perf_counter() - started) * 1e3
        size = path.stat().st_size / 1e6
    if found != recount:
        raise SystemExit(f"the rates differ from a recount: {found} against {recount}")
    middle = statistics.median(again)
    rows = [
        ["failure rate by variant, first time, ms", round(first, 1)],
        ["failure rate by variant, median of 9, ms", round(middle, 1)],
        ["slowest of 9, ms", round(max(again), 1)],
        ["the same by joining outcomes with samples, ms", round(joined)],
        ["the same counts as the recount", "yes"],
        ["building the store, s", round(built, 1)],
        ["size of the file, MB", round(size)],
    ]
    report.add("rates", f"{report.args.rows:,} samples of {VARIANTS} variants", ["what", "measured"], rows)
    report.bar(f"failure rate by variant over {report.args.rows:,} samples, ms", middle, BAR_MS)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
