"""What checks said of stored samples as OpenTelemetry's evaluation events: dashboards put them beside the call."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from reroll import __version__
from reroll.check import Outcome
from reroll.looking import judged_samples
from reroll.project import Project
from reroll.store import Store
from reroll.store_rows import Origin, Source, StoredSample, clean

__all__ = ["EVENT", "evaluation_exports", "events_in"]

JSON = dict[str, Any]
EVENT = "gen_ai.evaluation.result"
SCORES = {"pass": 1.0, "fail": 0.0}
LONGEST = 8000  # characters of an explanation: collectors refuse large records
RESOURCE = {"service.name": "reroll", "service.version": __version__}
TRACE, SPAN = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
NOWHERE = Origin()


def evaluation_exports(
    project: Project, store: Store, case_id: str | None, source: Sequence[Source]
) -> Iterator[tuple[int, JSON]]:
    """How many samples are in it, and an OTLP export of logs; each a few hundred samples, in the order of storing.

    Every check of a sample gives an event; a sample that no check judges one of its reward, or none.
    """
    for page in judged_samples(project, store, case_id, source, payload=True):
        origins = store.origins([stored.id for stored, _ in page])
        judged = [(stored, said) for stored, outcomes in page if (said := outcomes or _of_reward(stored))]
        records = [_record(stored, one, origins.get(stored.id, NOWHERE)) for stored, said in judged for one in said]
        if records:
            scope = {"scope": {"name": "reroll", "version": __version__}, "logRecords": records}
            resource = {"attributes": _attributes(RESOURCE)}
            yield len(judged), {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}


def events_in(export: JSON) -> int:
    """How many events an export of `evaluation_exports` holds."""
    return len(export["resourceLogs"][0]["scopeLogs"][0]["logRecords"])


def _of_reward(stored: StoredSample) -> list[Outcome]:
    """What a recorded reward says where no check does; one between right and wrong says neither."""
    reward = stored.sample.reward
    return [] if reward not in (0.0, 1.0) else [Outcome("pass" if reward else "fail", "", "reward")]


def _record(stored: StoredSample, one: Outcome, origin: Origin) -> JSON:
    """An event in the words of the conventions; `reroll.*` is what they have no word for."""
    about: dict[str, str | float | None] = {
        "reroll.sample.id": stored.id,
        "reroll.case.id": stored.case_id,
        "reroll.variant": stored.variant,
        "reroll.sample.source": stored.source,
        "gen_ai.evaluation.name": one.check or "check",
        "gen_ai.evaluation.score.value": SCORES.get(one.outcome),
        "gen_ai.evaluation.score.label": one.outcome,
        "gen_ai.evaluation.explanation": one.reason[:LONGEST] or None,
        "gen_ai.response.id": origin.response or _response_id(stored),
        "error.type": "_OTHER" if one.outcome == "invalid" else None,
    }
    record: JSON = {
        "timeUnixNano": str(round(stored.settled * 1e6) * 1000),
        "observedTimeUnixNano": str(time.time_ns()),
        "eventName": EVENT,
        "attributes": _attributes(about),
    }
    if TRACE.fullmatch(origin.trace) and SPAN.fullmatch(origin.span):
        record |= {"traceId": origin.trace, "spanId": origin.span}
    return record


def _response_id(stored: StoredSample) -> str | None:
    """The server's own name for an answer that was drawn here."""
    try:
        body = json.loads(stored.sample.raw or "null")
    except (ValueError, RecursionError):
        return None
    id = body.get("id") if isinstance(body, dict) else None
    return id if isinstance(id, str) and id else None


def _attributes(given: Any) -> list[JSON]:
    return [
        {"key": key, "value": {"doubleValue": value} if isinstance(value, float) else {"stringValue": clean(value)}}
        for key, value in given.items()
        if value is not None
    ]
