"""Calls as plain values, stored in batches: what is handed to whoever stores beside the reading."""

from __future__ import annotations

import marshal
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from reroll.case import Case
from reroll.errors import UsageError
from reroll.intake.casing import case_from
from reroll.program import Request
from reroll.store import Store
from reroll.store_rows import NewSample, Origin, Packed, packed

__all__ = [
    "Batch",
    "Briefly",
    "Plain",
    "Stored",
    "loads",
    "read_frame",
    "row_of",
    "store_most",
    "to_bytes",
    "write_frame",
]

JSON = Any
Asked = tuple[str, str, str | None, JSON, str | None, str]  # id, model, base_url, body, raw, identity
Briefly = tuple[str, str, tuple[JSON, ...], JSON]  # a case without checks: id, request, history, expected
Row = tuple[tuple[Any, ...], tuple[str, str, str] | None]  # of a sample, and where it was made


# What is to be stored of a call: its samples; its request and its case only where they are not stored yet.
Plain = tuple[list[Row | NewSample], Asked | None, Briefly | Case | None]
Batch = list[Plain]


@dataclass(frozen=True, slots=True)
class Stored:
    """How many samples of a batch are new, and the calls (by their place in it) that were left out: they hold a key."""

    new: int = 0
    held: tuple[int, ...] = ()


def row_of(new: NewSample) -> Row | NewSample:
    """The sample as plain values; as it is where rows of other tables hang on it."""
    short = packed(new)
    if short is None:
        return new
    made = short.origin
    return short.values, None if made is None else (made.trace, made.span, made.response)


def store_most(store: Store, batch: Sequence[Plain], first: int = 0) -> Stored:
    """Stored but for calls whose request or case holds a key in use. Raises: RerollError."""
    try:
        return Stored(_store(store, batch))
    except UsageError as error:
        if error.slug != "secret-in-request":
            raise
        if len(batch) == 1:
            return Stored(0, (first,))
        half = len(batch) // 2
        one, other = store_most(store, batch[:half], first), store_most(store, batch[half:], first + half)
        return Stored(one.new + other.new, one.held + other.held)


def _store(store: Store, batch: Sequence[Plain]) -> int:
    requests = {asked[0]: asked for _, asked, _ in batch if asked}
    cases = {case.id if isinstance(case, Case) else case[0]: case for _, _, case in batch if case is not None}
    store.put_requests(
        (id, Request(model, base_url, body, raw), identity)
        for id, model, base_url, body, raw, identity in requests.values()
    )
    store.put_cases(one if isinstance(one, Case) else case_from(*one) for one in cases.values())
    new = [
        one if isinstance(one, NewSample) else Packed(one[0], Origin(*one[1]) if one[1] else None)
        for rows, _, _ in batch
        for one in rows
    ]
    return sum([is_new for _, is_new in store.put_samples(new)])


# -- between two processes ---------------------------------------------------------------------------------------------


def to_bytes(batch: Batch) -> bytes | None:
    """The batch as bytes; None for what is nested too deeply for that."""
    try:
        return b"m" + marshal.dumps(batch)  # a tenth of the time of pickling
    except ValueError:
        pass  # a case with checks, a sample with tokens
    try:
        return b"p" + pickle.dumps(batch, pickle.HIGHEST_PROTOCOL)
    except (RecursionError, pickle.PicklingError, TypeError, AttributeError):
        return None


def loads(data: bytes) -> Any:
    """What `to_bytes` was given. Only for bytes that a process of ours wrote."""
    return marshal.loads(memoryview(data)[1:]) if data[:1] == b"m" else pickle.loads(memoryview(data)[1:])  # noqa: S301, S302


LENGTH = struct.Struct("<Q")


def write_frame(file: IO[bytes], data: bytes) -> None:
    file.write(LENGTH.pack(len(data)))
    file.write(data)
    file.flush()


def read_frame(file: IO[bytes]) -> bytes | None:
    """None where the other side is gone."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    data = file.read(size)
    return data if len(data) == size else None
