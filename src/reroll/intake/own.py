"""Recorded completions of reroll's own, as calls like those of any other format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reroll.errors import FileError
from reroll.intake.recorded import RecordedRow, read_row
from reroll.intake.taken import Format, Skipped, Taken, Value

__all__ = ["OWN"]

JSON = Any
NAME = "recorded completions"


def _looks_like(first: Sequence[JSON]) -> bool:
    needed = {"case_id", "run"}
    said = {"completion", "reward", "error", "messages"}
    return any(isinstance(v, dict) and needed <= v.keys() and v.keys() & said for v in first)


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for number, one in enumerate(values, 1):
        try:
            row = read_row(Path(one.where), number, one.value)
        except FileError as error:
            yield Skipped(NAME, one.where, f"is no row: {str(error).partition(': ')[2]}")
            continue
        if row.messages:
            yield _taken(row, one.where)
        else:
            yield Skipped(NAME, one.where, "has no messages")


def _taken(row: RecordedRow, where: str) -> Taken:
    model = {"model": row.model} if row.model else {}
    told = row.fields.get("instruction")
    whole = row.completion is None and row.reward is not None
    return Taken(
        format=NAME,
        where=where,
        body={**model, "messages": [dict(m) for m in row.messages], **row.params},
        fidelity="partly" if row.params else "messages",
        completion=row.completion,
        error=row.error,
        reward=row.reward,
        expected=row.expected,
        ids={"case": row.case_id, **({"instruction": told} if isinstance(told, str) else {})},
        model=row.model,
        whole=whole,
    )


OWN = Format(NAME, _looks_like, _read)
