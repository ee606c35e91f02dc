"""`{request, response}` records and bare request bodies: what a proxy or one's own log keeps of a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.intake.bodies import api_of, as_object, is_request, read_answer
from reroll.intake.moments import moment
from reroll.intake.taken import Format, Skipped, Taken, Value
from reroll.sample import Usage

__all__ = ["BARE", "PAIRS", "taken_from"]

JSON = Any
NAME = "request and response"


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(isinstance(v, dict) and _request(v) is not None for v in first)


def _request(value: Mapping[str, JSON]) -> tuple[dict[str, JSON], str | None] | None:
    """The body of the request and where it was sent; None where there is none."""
    given = value.get("request")
    request = given if type(given) is dict else as_object(given)
    if request is None:
        return None
    address = request.get("url") or value.get("url")
    url = address if isinstance(address, str) else None
    if is_request(request):
        return request, url
    for key in ("body", "json", "content"):
        if (body := as_object(request.get(key))) and is_request(body):
            return body, url
    return None


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for one in values:
        value = one.value if isinstance(one.value, dict) else {}
        found = _request(value)
        if found is None:
            yield Skipped(NAME, one.where, "has no `request` with the body of a request to a model")
            continue
        body, url = found
        answer = value.get("response")
        if not answer and value.get("error"):
            answer = {"error": value["error"]}
        answered = answer is not None or "response" in value
        yield taken_from(NAME, one.where, body, url, answer, answered, _when(value), _ids(value))


def taken_from(
    format: str,
    where: str,
    body: dict[str, JSON],
    url: str | None,
    answer: JSON,
    answered: bool,
    started: float | None = None,
    ids: Mapping[str, str] | None = None,
) -> Taken:
    """The call of an exactly known request; `answer`: the body of its response, or {status, body}."""
    api = api_of(body, url)
    guessed = []
    if body.get("stream"):
        body = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
        guessed.append("`stream` was taken out of the request: it changes how an answer travels, not what it says.")
    status: JSON = None
    if isinstance(answer, dict) and "body" in answer:
        status = answer.get("status_code", answer.get("status"))
        answer = answer["body"]
    said = read_answer(answer, status) if answered else None
    return Taken(
        format=format,
        where=where,
        body=body,
        fidelity="exact",
        api=api,
        url=url,
        completion=said.completion if said else None,
        others=said.others if said else (),
        error=said.error if said else None,
        usage=said.usage if said else Usage(),
        model=said.model if said else None,
        fingerprint=said.fingerprint if said else None,
        started=started,
        ids={**({"record": said.id} if said and said.id else {}), **(ids or {})},
        guessed=tuple(guessed),
    )


def _when(value: Mapping[str, JSON]) -> float | None:
    for key in ("timestamp", "time", "at", "created_at", "started", "start_time", "startTime"):
        if key in value and (found := moment(value[key])) is not None:
            return found
    response = value.get("response")
    return moment(response.get("created")) if isinstance(response, dict) else None


# Not `id`: it may be the number of a row, which another file has, too.
IDS = {"trace_id": "trace", "span_id": "span", "session_id": "session", "case_id": "case", "case": "case"}  # fmt: skip


def _ids(value: Mapping[str, JSON]) -> dict[str, str]:
    if IDS.keys().isdisjoint(value):
        return {}
    return {name: value[key] for key, name in IDS.items() if isinstance(value.get(key), str) and value[key]}


def _bare(first: Sequence[JSON]) -> bool:
    """Requests without answers; a row of reroll's own, or a whole conversation, says more than a request."""
    kept = [v for v in first if isinstance(v, dict) and is_request(v)]
    return bool(kept) and not any(v.keys() & {"completion", "reward", "case_id", "run", "resourceSpans"} for v in kept)


def _read_bare(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for one in values:
        if isinstance(one.value, dict) and is_request(one.value):
            taken = taken_from("request", one.where, dict(one.value), None, None, False)
            # A body that stands alone in its file is the very text that was sent.
            yield replace(taken, raw=one.text.strip()) if one.text and not taken.guessed else taken
        else:
            yield Skipped("request", one.where, "is not the body of a request to a model")


PAIRS = Format(NAME, _looks_like, _read)
BARE = Format("request", _bare, _read_bare)
