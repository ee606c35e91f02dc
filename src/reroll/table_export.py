"""Stored samples as a table for spreadsheets: a row each, and no text that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from reroll.check import Outcome
from reroll.errors import UsageError
from reroll.looking import judged_samples, shown
from reroll.project import Project
from reroll.store import Store
from reroll.store_rows import Origin, Source, StoredSample, clean, to_json

__all__ = ["COLUMNS", "cell", "write_table"]

COLUMNS = (
    "sample", "case", "variant", "source", "settled", "model", "outcome", "reason", "checks", "request", "answer",
    "finish_reason", "tool_calls", "refusal", "error", "reward", "seed", "prompt_tokens", "completion_tokens",
    "cached_tokens", "usd", "trace", "span",
)  # fmt: skip
RUN = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a text begins that a spreadsheet may take for a formula
NOWHERE = Origin()


def write_table(
    project: Project, store: Store, case_id: str | None, source: Sequence[Source], stream: TextIO
) -> Iterator[int]:
    """Write the table, comma-separated with a head line; how many rows were written, page by page."""
    rows = csv.DictWriter(stream, COLUMNS)
    rows.writeheader()
    asked: dict[str, str] = {}
    for page in judged_samples(project, store, case_id, source):
        origins = store.origins([stored.id for stored, _ in page])
        for stored, outcomes in page:
            if stored.request_id not in asked:
                asked[stored.request_id] = _request(store, stored.request_id)
            row = _row(stored, outcomes, origins.get(stored.id, NOWHERE), asked[stored.request_id])
            rows.writerow({name: cell(value) for name, value in row.items()})
        yield len(page)


def cell(value: Any) -> Any:
    """A value as it stands in a cell: with ' before a text that would be a formula; numbers as they are.

    >>> cell('=HYPERLINK("http://x")'), cell("-1"), cell(-1), cell("a = b"), cell(None)
    ('\\'=HYPERLINK("http://x")', "'-1", -1, 'a = b', '')
    """
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.startswith(RUN) else text


def _row(stored: StoredSample, outcomes: Sequence[Outcome], origin: Origin, request: str) -> Mapping[str, Any]:
    sample, said, judged = stored.sample, stored.sample.completion, shown(stored, outcomes)
    return {
        "sample": stored.id,
        "case": stored.case_id,
        "variant": stored.variant,
        "source": stored.source,
        "settled": datetime.fromtimestamp(stored.settled, UTC).isoformat(timespec="milliseconds"),
        "model": sample.model,
        "outcome": judged.outcome,
        "reason": judged.reason,
        "checks": "; ".join(f"{one.check}: {one.outcome}" for one in outcomes),
        "request": request,
        "answer": said.text if said else None,
        "finish_reason": said.finish_reason if said else None,
        "tool_calls": to_json([dict(c) for c in said.tool_calls]) if said and said.tool_calls else None,
        "refusal": said.refusal if said else None,
        "error": sample.error,
        "reward": sample.reward,
        "seed": sample.seed,
        "prompt_tokens": sample.usage.prompt_tokens,
        "completion_tokens": sample.usage.completion_tokens,
        "cached_tokens": sample.usage.cached_tokens,
        "usd": sample.usage.usd,
        "trace": origin.trace,
        "span": origin.span,
    }


def _request(store: Store, id: str) -> str:
    """The last message of the user; nothing where the request has none."""
    try:
        messages = store.get_request(id).request.body.get("messages")
    except UsageError:  # a sample without its request, from a store that was put together by hand
        return ""
    said = [m.get("content") for m in messages or () if isinstance(m, Mapping) and m.get("role") == "user"]
    return said[-1] if said and isinstance(said[-1], str) else ""
