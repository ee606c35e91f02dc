"""Lines of recorded completions as a Parquet file, written as they come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from reroll.errors import UsageError
from reroll.store_rows import clean, to_json

__all__ = ["write_parquet"]

ROWS = 1000  # in one row group: a few MB with tokens
AS_JSON = ("messages", "params", "expected", "tool_calls")


def write_parquet(lines: Iterable[Mapping[str, Any]], path: Path) -> int:
    """How many rows were written. The file is there whole or, after an error, as it was before.

    Columns are the keys of the lines; `messages`, `params`, `expected` and `tool_calls` are JSON texts. A completion
    is its text, with `finish_reason`, `tool_calls` and `refusal` beside it where there is more to say; what it took
    (`usage`) has a column each.
    Parquet holds no half characters and no seed over 63 bits: `?` and null stand for them.

    Raises: UsageError without pyarrow; OSError where the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise UsageError(
            "--parquet needs pyarrow; install it with pip install 'reroll[parquet]'", slug="no-pyarrow"
        ) from None
    text, number = pa.string(), pa.float64()
    top = pa.struct([("token", text), ("logprob", number)])
    token = pa.struct([("token", text), ("logprob", number), ("top_logprobs", pa.list_(top)), ("id", pa.int64())])
    texts = ("case_id", "variant", "model", "messages", "params", "completion", "finish_reason", "tool_calls")
    schema = pa.schema(
        [
            *((name, text) for name in (*texts, "refusal", "expected", "error")),
            ("run", pa.int64()),
            ("seed", pa.int64()),
            ("reward", number),
            *((name, pa.int64()) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")),
            ("usd", number),
            ("logprobs", pa.list_(token)),
        ]
    )
    rows, n = iter(lines), 0
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            while batch := [_row(line) for line in islice(rows, ROWS)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                n += len(batch)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return n


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    said = line["completion"]
    row = {**line, **({**said, "completion": said["text"]} if isinstance(said, Mapping) else {})}
    row |= row.pop("usage", {})
    for name in AS_JSON:
        if row.get(name) is not None:
            row[name] = to_json(row[name])
    seed = row.get("seed")
    if seed is not None and not -(2**63) <= seed < 2**63:
        row["seed"] = None
    if "logprobs" in row:
        row["logprobs"] = row["logprobs"]["content"]
    return {name: _clean(value) for name, value in row.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {name: _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value
