"""What storing costs: rows per second and bytes per row, beside bare sqlite3 writing the very same rows.

    python benchmarks/store.py               Markdown, then one JSON block
    python benchmarks/store.py --rows 20000  more rows per cell (default 4000)

Bare sqlite3 gets ready-made tuples for the same tables, PRAGMAs and commit sizes, so the ratio is
what our own work costs: making rows, packing tokens, ids, SQLAlchemy.  Cells are medians of three
interleaved rounds.  Bytes a row are what rows add to an empty store.  About a minute on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _report import Report
from reroll.sample import Attempt, Completion, Sample, Token, Usage
from reroll.store import NewSample, Store

BATCHES = (1, 20, 100)
ROUNDS = 3
TABLES = ("samples", "attempts", "payloads")


def float32(number: float) -> float:
    """As a server that computes in 4 bytes reports it."""
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


KINDS = {
    "": "text",
    "chosen": "text + 60 logprobs",
    "top": "text + 60 tokens x 5",
    "shared": "the same, alike to a point",
}


def make(count: int, tokens: str, seed: int) -> list[NewSample]:
    """Samples with 1 KB of Zipf words, an attempt, usage; and 60 tokens: their logprobs alone (`chosen`), each with 5
    alternatives (`top`), or the same for what begins alike, as of one request (`shared`).
    """
    rng = random.Random(seed)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    out = []
    for idx in range(count):
        text = " ".join(rng.choices(words, weights, k=180))[:1000]
        if tokens == "chosen":
            listed = cut(rng, text)
        elif tokens == "shared" and out:
            first, alike = out[rng.randrange(len(out))].sample.completion, rng.randrange(60)
            assert first is not None
            listed = first.tokens[:alike] + tuple(token(rng, words, weights) for _ in range(60 - alike))
        else:
            listed = tuple(token(rng, words, weights) for _ in range(60)) if tokens else ()
        sample = Sample(
            Completion(text, tokens=listed),
            attempts=(Attempt(1.7e9 + idx, rng.random(), 200, request_id=f"req_{idx:016x}"),),
            usage=Usage(300, 240, 0.0001),
            seed=idx,
            model="openai/some-model-2026-08",
            fingerprint="fp_0123456789",
        )
        out.append(NewSample(sample, "r1:0123456789abcdef", "rerun", idx, "p1:0123456789abcdef", "next-friday"))
    return out


def cut(rng: random.Random, text: str) -> tuple[Token, ...]:
    """The text as 60 tokens of some length, each with the logprob of a model that is often sure."""
    at = sorted(rng.sample(range(1, len(text)), 59))
    parts = [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]
    return tuple(Token(part, float32(-rng.expovariate(2.0))) for part in parts)


def token(rng: random.Random, words: list[str], weights: list[float]) -> Token:
    top = tuple((" " + word, float32(-rng.expovariate(0.3))) for word in rng.choices(words, weights, k=5))
    return Token(*top[0], top, rng.randrange(150_000))


def chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def size(path: Path) -> int:
    """Bytes of the file with its log folded in and free pages given back."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("VACUUM")
    connection.close()
    return path.stat().st_size


def store_round(path: Path, new: list[NewSample], batch: int) -> tuple[float, float]:
    with Store.open(path) as store:

        def work() -> None:
            for part in chunks(new, batch):
                store.add_samples(part)

        return timed(work)


def rows_of(path: Path) -> list[dict[str, list[tuple[Any, ...]]]]:
    """The rows that the store wrote, per sample and table: what bare sqlite3 then writes again."""
    connection = sqlite3.connect(path)
    found = {table: {row[0]: row for row in connection.execute(f"SELECT * FROM {table}")} for table in TABLES}
    connection.close()
    return [{t: [found[t][seq]] if seq in found[t] else [] for t in TABLES} for seq in sorted(found["samples"])]


def bare_round(path: Path, rows: list[dict[str, list[tuple[Any, ...]]]], batch: int) -> tuple[float, float]:
    Store.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    places = {t: ",".join("?" * len(connection.execute(f"SELECT * FROM {t}").description)) for t in TABLES}
    groups = [{t: [row for one in part for row in one[t]] for t in TABLES} for part in chunks(rows, batch)]

    def work() -> None:
        for group in groups:
            connection.execute("BEGIN IMMEDIATE")
            for table, some in group.items():
                if some:
                    connection.executemany(f"INSERT INTO {table} VALUES ({places[table]})", some)
            connection.execute("COMMIT")

    took = timed(work)
    connection.close()
    return took


def json_bytes(path: Path, new: list[NewSample]) -> int:
    """Bytes per row if each sample were one JSON text in a table, the usual first idea."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE samples (id INTEGER PRIMARY KEY, body TEXT)")
    for one in new:
        completion = one.sample.completion
        listed = [
            {"token": t.text, "logprob": t.logprob, "top_logprobs": [{"token": a, "logprob": b} for a, b in t.top]}
            for t in (completion.tokens if completion else ())
        ]
        body = {"text": completion.text if completion else None, "logprobs": listed, "place": [one.request_id, one.idx]}
        connection.execute("INSERT INTO samples (body) VALUES (?)", (json.dumps(body),))
    connection.commit()
    connection.close()
    return round(size(path) / len(new))


def cells(folder: Path, count: int) -> list[dict[str, Any]]:
    out, empty = [], folder / "empty.sqlite"
    Store.open(empty).close()
    nothing = size(empty)
    for tokens in KINDS:
        new = make(count if not tokens else count // 2, tokens, seed=1)
        for batch in BATCHES:
            ours, bare = [], []
            for n in range(ROUNDS):
                path = folder / f"store-{tokens or 0}-{batch}-{n}.sqlite"
                ours.append(store_round(path, new, batch))
                again = folder / f"bare-{tokens or 0}-{batch}-{n}.sqlite"
                bare.append(bare_round(again, rows_of(path), batch))
            (wall, cpu), (bare_wall, bare_cpu) = middle(ours), middle(bare)
            out.append(
                {
                    "sample": KINDS[tokens],
                    "batch": batch,
                    "rows/s": round(len(new) / wall),
                    "bare rows/s": round(len(new) / bare_wall),
                    "times bare": round(wall / bare_wall, 1),
                    "CPU us/row": round(cpu / len(new) * 1e6),
                    "bare CPU us/row": round(bare_cpu / len(new) * 1e6),
                    "bytes/row": round((size(path) - nothing) / len(new)),
                    "bare bytes/row": round((size(again) - nothing) / len(new)),
                    "as JSON bytes/row": json_bytes(folder / f"json-{tokens or 0}-{batch}.sqlite", new),
                }
            )
    return out


def middle(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(w for w, _ in rounds), statistics.median(c for _, c in rounds)


def other(folder: Path, count: int) -> dict[str, float]:
    """Wall milliseconds to make and to open a store; CPU microseconds per row to read, per call to reserve."""
    path = folder / "other.sqlite"
    fresh = timed(lambda: Store.open(path).close())[0]
    nothing = size(path)
    again = statistics.median(timed(lambda: Store.open(path).close())[0] for _ in range(20))
    with Store.open(path) as store:
        for part in chunks(make(count // 2, "top", seed=2), 100):
            store.add_samples(part)
        plain = timed(lambda: void(store.samples()))[1]
        full = timed(lambda: void(store.samples(payload=True)))[1]
        one = timed(lambda: void([store.reserve("r1:0", "x", 1) for _ in range(300)]))[1] / 300
        found = timed(lambda: void(store.find_quotation("no such words anywhere")))[1]
    rows = count // 2
    return {
        "make a store, ms (imports Alembic)": round(fresh * 1e3, 1),
        "bytes of an empty store": nothing,
        "open a current store, ms": round(again * 1e3, 1),
        "read, CPU us/row": round(plain / rows * 1e6, 1),
        "read with tokens, CPU us/row": round(full / rows * 1e6, 1),
        "reserve, CPU us": round(one * 1e6),
        "look for a quotation, CPU us/row": round(found / rows * 1e6, 1),
    }


def void(_: object) -> None:
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--folder", help="where to write (default: the system's temporary folder)")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    kept = Report.of("store", args)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        writes, rest = cells(Path(folder), args.rows), other(Path(folder), args.rows)
    import sqlalchemy

    kept.report |= {
        "sqlite": sqlite3.sqlite_version,
        "sqlalchemy": sqlalchemy.__version__,
        "samples": args.rows,
    }
    kept.add("writes", "Writing samples, a commit per batch", list(writes[0]), [list(row.values()) for row in writes])
    kept.add("other", "Everything else", ["what", "measured"], [[name, f"{value:,g}"] for name, value in rest.items()])
    for row in writes:
        what = f"{row['sample']}, batches of {row['batch']}"
        bare = ("bare sqlite3", row["bare CPU us/row"])
        kept.number(f"CPU µs to store a sample: {what}", row["CPU us/row"], unit="µs", peer=bare)
    bytes_of = {row["sample"]: row["bytes/row"] for row in writes}
    kept.bar("bytes of a sample with 60 logprobs", bytes_of["text + 60 logprobs"], 1536, unit="B")
    for name, value in rest.items():
        kept.number(name, value)
    return kept.finish()


if __name__ == "__main__":
    raise SystemExit(main())
