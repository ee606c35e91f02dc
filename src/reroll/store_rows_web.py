"""Rows of the store that pages show: findings, jobs, access tokens; and how a finding's outcomes are packed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reroll.store_rows import to_json
from reroll.store_tokens import pack_text, unpack_text

__all__ = ["AccessToken", "Finding", "Job", "JobState", "Mark", "finding_bytes", "finding_json", "job_from_row"]

JSON = Any
JobState = Literal["waiting", "running", "done", "failed", "stopped"]
LETTERS = {"pass": "p", "fail": "f", "invalid": "i"}
WORDS = {letter: word for word, letter in LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a command found, without its JSON (`Store.finding_body` has it). Times are UTC microseconds."""

    id: str
    command: str
    case_id: str | None
    program_id: str | None
    report_id: str | None
    sample_id: str | None
    job_id: str | None
    verdict: str
    line: str
    made_us: int


@dataclass(frozen=True, slots=True)
class Job:
    """One command that pages run. `progress`: where it stands, as its worker last said; None before that."""

    id: str
    key: str
    words: tuple[str, ...]
    title: str
    asked_by: str
    token_id: str | None
    case_id: str | None
    report_id: str | None
    state: JobState
    worker: str | None
    asked_us: int
    started_us: int | None
    beat_us: int | None
    stop_us: int | None
    ended_us: int | None
    changed_us: int
    progress: Mapping[str, JSON] | None
    finding_id: str | None
    message: str
    max_calls: int | None
    max_usd: float | None
    usd: float | None

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Who may do what. The secret is not here: only its hash is kept."""

    id: str
    name: str
    scopes: tuple[str, ...]
    max_usd: float | None
    made_us: int
    revoked_us: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody said of a report: its `status`, its `owner`, or which it is the `same_as`."""

    what: str
    value: str
    by: str
    at_us: int


def job_from_row(row: Mapping[str, JSON]) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    values["words"] = tuple(json.loads(row["words"]))
    values["progress"] = None if row["progress"] is None else json.loads(row["progress"])
    return Job(**values)


def finding_bytes(body: Mapping[str, JSON]) -> bytes:
    """The JSON packed. A million outcomes are a million letters, which zstd makes small.

    >>> finding_json(finding_bytes({"a": 1, "outcomes": ["pass", "fail", "invalid"]}))
    {'a': 1, 'outcomes': ['pass', 'fail', 'invalid']}
    >>> finding_json(finding_bytes({"outcomes": [["pass", None]]}))
    {'outcomes': [['pass', None]]}
    """
    said = body.get("outcomes")
    if isinstance(said, list | tuple) and all(isinstance(word, str) and word in LETTERS for word in said):
        body = {**body, "outcomes": {"letters": "".join(map(LETTERS.__getitem__, said))}}
    return pack_text(to_json(body))


def finding_json(packed: bytes) -> dict[str, JSON]:
    """The JSON as it was given."""
    body: dict[str, JSON] = json.loads(unpack_text(packed))
    said = body.get("outcomes")
    if isinstance(said, dict) and set(said) == {"letters"}:
        body["outcomes"] = [WORDS[letter] for letter in said["letters"]]
    return body
