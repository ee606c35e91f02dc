"""Batches of requests as OpenAI and Anthropic take them, joined with the file of answers by `custom_id`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from reroll.intake.bodies import as_mapping, is_request
from reroll.intake.pairs import taken_from
from reroll.intake.taken import Format, Skipped, Taken, Value

__all__ = ["BATCH"]

JSON = Any
NAME = "batch"


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(_request(v) or _is_answer(v) for v in first)


def _request(value: JSON) -> tuple[dict[str, JSON], str | None] | None:
    """The body of a batch's request and its address; Anthropic's has only the body, as `params`."""
    one = as_mapping(value)
    if not isinstance(one.get("custom_id"), str):
        return None
    for key in ("body", "params"):
        if is_request(one.get(key)):
            url = one.get("url")
            return dict(one[key]), url if isinstance(url, str) else "/v1/messages" if key == "params" else None
    return None


def _is_answer(value: JSON) -> bool:
    one = as_mapping(value)
    return isinstance(one.get("custom_id"), str) and ("response" in one or "result" in one or "error" in one)


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    """What has no counterpart yet waits in a database of its own on the disk: batches are large."""
    with closing(sqlite3.connect("")) as waiting:
        waiting.execute("CREATE TABLE half (answer INT, id TEXT, place TEXT, value TEXT, PRIMARY KEY (answer, id))")
        for one in values:
            yield from _joined(waiting, one)
        yield from _left(waiting)


def _joined(waiting: sqlite3.Connection, one: Value) -> Iterator[Taken | Skipped]:
    answer = _is_answer(one.value) and _request(one.value) is None
    if not answer and _request(one.value) is None:
        yield Skipped(NAME, one.where, "is neither a request of a batch nor an answer to one")
        return
    id = one.value["custom_id"].encode("utf-8", "replace").decode()
    found = waiting.execute("DELETE FROM half WHERE answer = ? AND id = ? RETURNING place, value", (not answer, id))
    other = found.fetchone()
    if other is not None:
        place, value = other[0], json.loads(other[1])
        yield _taken(place, value, one.value) if answer else _taken(one.where, one.value, value)
        return
    text = json.dumps(one.value)
    put = waiting.execute("INSERT OR IGNORE INTO half VALUES (?, ?, ?, ?)", (answer, id, one.where, text))
    if put.rowcount == 0:
        yield Skipped(NAME, one.where, "has a custom_id that another record of the batch has")


def _left(waiting: sqlite3.Connection) -> Iterator[Taken | Skipped]:
    for answer, place, value in waiting.execute("SELECT answer, place, value FROM half ORDER BY rowid"):
        if answer:
            yield Skipped(
                NAME, place, "is an answer whose request is in none of the files; give the batch's input, too"
            )
        else:
            yield _taken(place, json.loads(value), None)


def _taken(where: str, asked: Mapping[str, JSON], answered: Mapping[str, JSON] | None) -> Taken:
    found = _request(asked)
    assert found is not None
    body, url = found
    answer: JSON = None
    if answered is not None:
        result = as_mapping(answered.get("result"))
        answer = answered.get("response") or result.get("message") or {"error": answered.get("error") or _why(result)}
    taken = taken_from(NAME, where, body, url, answer, answered is not None)
    # The address in a batch is only a path; where it was sent is not said.
    return replace(taken, url=None)


def _why(result: Mapping[str, JSON]) -> JSON:
    said = as_mapping(result.get("error"))
    return said.get("error") or said or result.get("type") or "the batch says no answer and no error"


BATCH = Format(NAME, _looks_like, _read)
