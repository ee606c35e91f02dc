"""Recorded completions: one JSON object a line, plain or gzipped, into rows; every fault named by file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from reroll.errors import FileError
from reroll.intake.logprobs import read_tokens
from reroll.sample import Completion

__all__ = ["RecordedRow", "read_row", "read_rows"]

KEYS = "case_id, run, and completion (or reward, or error)"

DEEPEST = 100  # lists and objects in one another; what writes JSON and YAML takes some 200


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One recorded draw: a completion, an error, or only a reward in 0...1 (a whole conversation).

    `run` orders the draws of one case; `variant` is "baseline" where the row names none; `fields`
    are all keys of the row as they stand in the file, also those that reroll does not know.
    """

    case_id: str
    run: int
    line: int
    variant: str = "baseline"
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ()
    completion: Completion | None = None
    expected: Any = None
    reward: float | None = None
    error: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_rows(path: str | Path) -> Iterator[RecordedRow]:
    """The rows in the order of the file, read as they are asked for; empty lines are passed over.

    Raises: FileError for a missing or truncated file and for a line that is no such row.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            # The gzip reader is left to the garbage collector with its file: it holds nothing of its own.
            source: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            yield from _rows(path, source)
    except FileNotFoundError:
        raise FileError(path, "there is no such file of recorded completions", slug="recorded-file") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}", slug="recorded-file") from None


def _rows(path: Path, source: Iterable[bytes]) -> Iterator[RecordedRow]:
    number = 0
    lines = iter(source)
    while True:
        number += 1
        try:
            line = next(lines, None)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            problem = "the gzip file breaks off or is damaged here; copy it again"
            raise FileError(path, problem, line=number, slug="recorded-file") from None
        if line is None:
            return
        if line.strip():
            yield _row(path, number, line)


def _row(path: Path, number: int, line: bytes) -> RecordedRow:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        problem = "is not JSON (one JSON object a line is expected); does the file break off here?"
        raise FileError(path, problem, line=number, slug="recorded-file") from None
    if line.count(b"[") + line.count(b"{") > DEEPEST and _deeper(row, DEEPEST):
        problem = f"is nested more than {DEEPEST} deep, which no request is; leave it out"
        raise FileError(path, problem, line=number, slug="recorded-file")
    return read_row(path, number, row)


def _deeper(value: Any, than: int) -> bool:
    """Whether lists and objects stand in one another more than so deep."""
    inside, depth = [value], 0
    while inside and depth <= than:
        within = (v.values() if isinstance(v, dict) else v for v in inside if isinstance(v, dict | list))
        inside, depth = [one for many in within for one in many], depth + 1
    return bool(inside)


def read_row(path: Path, number: int, row: Any) -> RecordedRow:
    """The row that a JSON value is. Raises: FileError."""
    if not isinstance(row, dict):
        problem = f"is a JSON {type(row).__name__}; a row is an object with {KEYS}"
        raise FileError(path, problem, line=number, slug="recorded-file")
    take = _Taker(path, number, row)
    error, reward = take("error", str), take("reward", int | float)
    completion = _completion(take)
    if completion is None and error is None and reward is None:
        raise take.fault("completion", "the row has no completion, no reward and no error; it needs one of them")
    if completion is not None and error is not None:
        raise take.fault("error", "the row has both a completion and an error; it can only have one")
    if reward is not None and not 0 <= reward <= 1:
        raise take.fault("reward", f"must lie in 0 to 1, got {reward}")
    messages = take("messages", list) or []
    if not all(isinstance(m, dict) for m in messages):
        raise take.fault("messages", "must be a list of objects")
    return RecordedRow(
        case_id=take("case_id", str, needed=True),
        run=take("run", int, needed=True),
        line=number,
        variant=take("variant", str) or "baseline",
        model=take("model", str),
        params=take("params", dict) or {},
        messages=tuple(messages),
        completion=completion,
        expected=row.get("expected"),
        reward=None if reward is None else float(reward),
        error=error,
        fields=row,
    )


@dataclass(frozen=True, slots=True)
class _Taker:
    """Takes keys out of one row, and names the row when something is wrong with one."""

    path: Path
    line: int
    row: Mapping[str, Any]

    def __call__(self, key: str, kind: Any, needed: bool = False) -> Any:
        """The value, None if it is missing or null. Raises: FileError for another type, or if it is needed."""
        value = self.row.get(key)
        if value is None:
            if needed:
                raise self.fault(key, f"missing; a row of recorded completions has {KEYS}")
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = {str: "text", int: "a whole number", list: "a list", dict: "an object"}.get(kind, "a number")
            raise self.fault(key, f"must be {wanted}, got {json.dumps(value)[:60]}")
        return value

    def fault(self, key: str, problem: str) -> FileError:
        return FileError(self.path, problem, line=self.line, key=key, slug="recorded-file")


def _completion(take: _Taker) -> Completion | None:
    """A text, or an object {text, finish_reason?, tool_calls?, refusal?}; tokens from `logprobs`."""
    value = take("completion", str | dict)
    if value is None:
        return None
    said = {"text": value} if isinstance(value, str) else value
    text, calls, refusal = said.get("text", ""), said.get("tool_calls") or [], said.get("refusal")
    if not isinstance(text, str) or not (refusal is None or isinstance(refusal, str)):
        raise take.fault("completion", "`text` and `refusal` must be text")
    if not isinstance(calls, list) or not all(isinstance(c, dict) for c in calls):
        raise take.fault("completion", "`tool_calls` must be a list of objects")
    logprobs = take("logprobs", list | dict) or []
    content = (logprobs.get("content") or []) if isinstance(logprobs, dict) else logprobs
    try:
        tokens = read_tokens(content)
    except ValueError as error:
        raise take.fault("logprobs", str(error)) from None
    return Completion(text, str(said.get("finish_reason") or "stop"), tuple(calls), tokens, refusal)
