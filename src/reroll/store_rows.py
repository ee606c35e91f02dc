"""Samples to rows and back, without loss: no database here, only values."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, TypedDict, overload

import numpy as np

from reroll.case import Report
from reroll.program import Request
from reroll.sample import Attempt, Completion, Sample, Token, Usage, made_often
from reroll.store_tokens import LONG, pack_text, unpack_text

__all__ = [
    "ATTEMPT",
    "Decision",
    "Evaluation",
    "NewSample",
    "Origin",
    "Packed",
    "Rates",
    "Seqs",
    "Source",
    "Spend",
    "StoredReport",
    "StoredRequest",
    "StoredSample",
    "Where",
    "attempt_from",
    "attempt_rows",
    "clean",
    "decision_from_row",
    "from_row",
    "packed",
    "ranges",
    "request_from_row",
    "sample_row",
    "several",
    "text_of",
    "to_json",
    "to_us",
    "unpacked_row",
    "unranges",
]

JSON = Any  # what json.loads returns
Row = Mapping[str, Any]
Source = Literal["draw", "imported", "reported", "refused", "outage", "cut", "copy", "replay", "continued", "judge"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call was recorded: its trace and span, and the server's own name for its answer; "" where not known."""

    trace: str = ""
    span: str = ""
    response: str = ""


@made_often
class Evaluation:
    """What was said of a call elsewhere, in a word (`label`), a number, or both; and where the call was made.

    A call is known by trace and span, or by the server's own name for its answer; "" where not known. `scorer` is who
    or what said it, as far as that is known, `said` when, in Unix time.
    """

    trace: str
    span: str
    response: str
    name: str
    label: str = ""
    score: float | None = None
    comment: str = ""
    scorer: str = ""
    said: float | None = None


@made_often
class NewSample:
    """A sample with its place: `idx` in `series` of `request_id`. `settled` is Unix time; None: now.

    `choice` counts the completions of one call from 0; the first has the call's attempts, prompt tokens and money.
    """

    sample: Sample
    request_id: str
    series: str
    idx: int
    program_id: str
    case_id: str
    variant: str = "baseline"
    source: Source = "draw"
    settled: float | None = None
    choice: int = 0
    origin: Origin | None = None


def several(new: NewSample) -> list[NewSample]:
    """The sample and its siblings, each in a slot of its own: the indices after that of the first."""
    first = new.sample
    if not first.siblings:
        return [new]
    whole = (replace(first, siblings=()), *first.siblings)
    return [replace(new, sample=one, idx=new.idx + i, choice=i) for i, one in enumerate(whole)]


@made_often
class StoredSample:
    """A sample as it was stored. `seq` is the order in which results became known; `settled` is Unix time."""

    id: str
    seq: int
    request_id: str
    series: str
    idx: int
    program_id: str
    case_id: str
    variant: str
    source: Source
    settled: float
    sample: Sample
    choice: int = 0


class Where(TypedDict, total=False):
    """Which samples: every given key must match; a collection means any of its values.

    `after` is a `seq`: only samples that became known later.
    """

    request_id: str | Collection[str] | None
    series: str | Collection[str] | None
    case_id: str | Collection[str] | None
    program_id: str | Collection[str] | None
    variant: str | Collection[str] | None
    source: Source | Collection[Source] | None
    after: int | None


@dataclass(frozen=True, slots=True)
class StoredReport:
    id: str
    program_id: str | None
    report: Report
    put: float  # Unix time


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request with the very model that it was made to (name, address, weights)."""

    id: str
    identity: str
    request: Request


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with all that is needed to make it again. `samples` are `seq` in the order looked at.

    `rule` names the rule with its version ("certify/1"), `checks_ids` whose outcomes counted.
    """

    id: str
    rule: str
    question: str
    verdict: str
    alpha: float | None
    target: float | None
    reference_rate: float | None
    horizon: int | None
    stop_reason: str | None
    program_id: str | None
    case_id: str | None
    checks_ids: tuple[str, ...]
    samples: Seqs
    evidence: JSON
    made: float  # Unix time


@dataclass(frozen=True, slots=True)
class Spend:
    """Totals. A sum is None if any of its parts is not known; `seconds` leaves out our own waits.

    A call that brings several completions is one call and as many samples.
    """

    calls: int
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    usd: float | None
    seconds: float
    cached_tokens: int | None
    samples: int


@dataclass(frozen=True, slots=True)
class Rates:
    """How many samples a check judged, and how many of them failed or could not be judged."""

    n: int
    failures: int
    invalid: int


def to_us(seconds: float) -> int:
    return round(seconds * 1e6)


READABLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dict).encode  # made once, it is slow


def to_json(value: Any) -> str:
    """JSON text that any database can hold, key order kept; readable unless it holds half characters.

    >>> to_json({"b": "é", "a": chr(0xD83D)})
    '{"b":"\\\\u00e9","a":"\\\\ud83d"}'
    """
    text = READABLE(value)
    return text if clean(text) == text else json.dumps(value, separators=(",", ":"), default=dict)


def clean(text: str) -> str:
    """The text if SQL can hold it, else with `?` for lone surrogates and U+FFFD for NUL."""
    if "\0" not in text:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


# -- samples -----------------------------------------------------------------------------------------------------------

SHOWN = 40  # characters of a long text that the column `text` shows
TEXTS = ("text", "finish_reason", "refusal", "error", "model", "fingerprint")


def sample_row(new: NewSample, id: str, now_us: int) -> dict[str, Any]:
    """The row of table samples, `seq` left to the database. Raises: ValueError for one that `several` should split."""
    sample, completion = new.sample, new.sample.completion
    if sample.siblings:
        raise ValueError("a sample has one slot; its siblings need theirs")
    row: dict[str, Any] = {
        "id": id,
        "request_id": new.request_id,
        "series": new.series,
        "idx": new.idx,
        "program_id": new.program_id,
        "case_id": new.case_id,
        "variant": new.variant,
        "source": new.source,
        "settled_us": now_us if new.settled is None else to_us(new.settled),
        "seconds": sum(a.seconds for a in sample.attempts) if sample.attempts else None,
        "text": completion.text if completion else None,
        "finish_reason": completion.finish_reason if completion else None,
        "tool_calls": to_json(list(completion.tool_calls)) if completion and completion.tool_calls else None,
        "refusal": completion.refusal if completion else None,
        "error": sample.error,
        "reward": sample.reward,
        "seed": sample.seed,
        "model": sample.model,
        "fingerprint": sample.fingerprint,
        "prompt_tokens": sample.usage.prompt_tokens,
        "completion_tokens": sample.usage.completion_tokens,
        "usd": sample.usage.usd,
        "exact": None,
        "long_text": None,
        "cached_tokens": sample.usage.cached_tokens,
        "choice": new.choice,
    }
    if completion is not None and len(completion.text) > LONG:
        row["text"], row["long_text"] = completion.text[:SHOWN], pack_text(completion.text)
    exact = {}
    for name in TEXTS:
        value = row[name]
        if value and (shown := clean(value)) is not value:
            exact[name], row[name] = value, shown
    if sample.seed is not None and not -(2**63) <= sample.seed < 2**63:
        exact["seed"], row["seed"] = sample.seed, None
    if exact:
        row["exact"] = json.dumps(exact)
    return row


@made_often
class Packed:
    """A `NewSample` on which no other row hangs, as the plain values of its row: small, and quick to hand over."""

    values: tuple[Any, ...]
    origin: Origin | None = None


# The names of those values, in the order of `sample_row`; an id it gets when it is stored.
PACKED = tuple(sample_row(NewSample(Sample(reward=0.0), "", "", 0, "", ""), "", 0))[1:]


def packed(new: NewSample) -> Packed | None:
    """The same sample in short; None where it has attempts, tokens or a raw body, which are rows of their own."""
    sample = new.sample
    if sample.attempts or sample.raw is not None or (sample.completion and sample.completion.tokens):
        return None
    row = sample_row(new, "", 0)
    if new.settled is None:
        row["settled_us"] = None
    return Packed(tuple(row.values())[1:], new.origin)


def unpacked_row(short: Packed, id: str, now_us: int) -> dict[str, Any]:
    """The row that `sample_row` makes of the sample."""
    row = {"id": id, **dict(zip(PACKED, short.values, strict=True))}
    if row["settled_us"] is None:
        row["settled_us"] = now_us
    return row


def attempt_rows(seq: int, attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Rows of table attempts; `started` is kept to the microsecond."""
    return [
        {
            "seq": seq,
            "n": n,
            "started_us": to_us(a.started),
            "seconds": a.seconds,
            "waited": a.waited,
            "status": a.status,
            "error": None if a.error is None else clean(a.error),
            "server_id": None if a.request_id is None else clean(a.request_id),
        }
        for n, a in enumerate(attempts)
    ]


ATTEMPT = ("started_us", "seconds", "status", "error", "waited", "server_id")  # what `attempt_from` takes, in order


def attempt_from(
    started_us: int, seconds: float, status: int | None, error: str | None, waited: float, server_id: str | None
) -> Attempt:
    return Attempt(started_us / 1e6, seconds, status, error, waited, server_id)


def text_of(row: Row) -> str | None:
    """The whole text of a row of samples, as it came; None without a completion."""
    if row["long_text"] is not None:
        return unpack_text(row["long_text"])
    text: str | None = json.loads(row["exact"]).get("text", row["text"]) if row["exact"] else row["text"]
    return text


def from_row(
    row: Row, attempts: Sequence[Attempt], tokens: tuple[Token, ...] = (), raw: bytes | None = None
) -> StoredSample:
    """The stored sample of a row of samples with its attempts; tokens and packed body where wanted."""
    true = {**row, **json.loads(row["exact"])} if row["exact"] else row
    completion, text = None, text_of(row)
    if text is not None:
        completion = Completion(
            text=text,
            finish_reason=true["finish_reason"],
            tool_calls=tuple(json.loads(true["tool_calls"])) if true["tool_calls"] else (),
            tokens=tokens,
            refusal=true["refusal"],
        )
    sample = Sample(
        completion=completion,
        error=true["error"],
        attempts=tuple(attempts),
        usage=Usage(true["prompt_tokens"], true["completion_tokens"], true["usd"], true["cached_tokens"]),
        seed=true["seed"],
        model=true["model"],
        fingerprint=true["fingerprint"],
        reward=true["reward"],
        raw=unpack_text(raw) if raw else None,
    )
    return StoredSample(
        row["id"],
        row["seq"],
        row["request_id"],
        row["series"],
        row["idx"],
        row["program_id"],
        row["case_id"],
        row["variant"],
        row["source"],
        row["settled_us"] / 1e6,
        sample,
        row["choice"] or 0,
    )


# -- sets of seq -------------------------------------------------------------------------------------------------------


def ranges(seqs: Iterable[int]) -> list[list[int]]:
    """Sorted numbers as [first, last] runs.

    >>> ranges([3, 1, 2, 7])
    [[1, 3], [7, 7]]
    """
    found = np.sort(np.asarray(seqs) if isinstance(seqs, array | memoryview) else np.fromiter(seqs, dtype=np.int64))
    if not len(found):
        return []
    ends = np.flatnonzero(np.diff(found) > 1)
    runs: list[list[int]] = np.stack([found[np.r_[0, ends + 1]], found[np.r_[ends, -1]]], axis=1).tolist()
    return runs


class Seqs(Sequence[int]):
    """The numbers of [first, last] runs, in order; as many as they are, they take no more than their runs.

    >>> Seqs([[1, 3], [7, 7]])[1:], 7 in Seqs([[1, 3], [7, 7]])
    ((2, 3, 7), True)
    """

    __slots__ = ("_ends", "_runs")

    def __init__(self, runs: Sequence[Sequence[int]]) -> None:
        self._runs = [range(first, last + 1) for first, last in runs]
        self._ends = list(accumulate(map(len, self._runs)))  # how many there are up to each run's end

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[int, ...]: ...
    def __getitem__(self, at: int | slice) -> int | tuple[int, ...]:
        found = range(len(self))[at]
        if isinstance(found, range):
            return tuple(self[k] for k in found)
        run = bisect_right(self._ends, found)
        return self._runs[run][found - self._ends[run]]

    def __iter__(self) -> Iterator[int]:
        for run in self._runs:
            yield from run

    def __contains__(self, seq: object) -> bool:
        return any(seq in run for run in self._runs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Seqs):
            return self._runs == other._runs
        return len(self) == len(other) and all(map(int.__eq__, self, other)) if isinstance(other, Sequence) else False

    def __hash__(self) -> int:
        return hash(tuple(self._runs))

    def __repr__(self) -> str:
        return f"Seqs({[[run[0], run[-1]] for run in self._runs]})"


def unranges(runs: Iterable[Sequence[int]]) -> Iterator[int]:
    for first, last in runs:
        yield from range(first, last + 1)


# -- other rows --------------------------------------------------------------------------------------------------------


def request_from_row(row: Row) -> StoredRequest:
    raw = None if row["raw"] is None else row["raw"].decode(errors="surrogatepass")
    return StoredRequest(
        row["id"], row["identity"], Request(row["model"], row["base_url"], json.loads(row["body"]), raw)
    )


def decision_from_row(row: Row) -> Decision:
    plain = {name: row[name] for name in Decision.__dataclass_fields__ if name in row}
    return Decision(
        **{
            **plain,
            "checks_ids": tuple(json.loads(row["checks_ids"])),
            "samples": Seqs(json.loads(row["samples"])),
            "evidence": json.loads(row["evidence"]),
            "made": row["made_us"] / 1e6,
        }
    )
