"""Langfuse's export of observations, JSON lines or its API's list: generations, and the scores that people gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.intake.bodies import (
    as_json,
    as_list,
    as_mapping,
    as_object,
    as_text,
    finite,
    is_request,
    messages_of,
    read_answer,
    whole_number,
)
from reroll.intake.moments import lasted, moment
from reroll.intake.taken import Evaluated, Format, Mark, Skipped, Taken, Value
from reroll.sample import Completion, Usage
from reroll.store_rows import Evaluation

__all__ = ["LANGFUSE", "taken_from_observation"]

JSON = Any
NAME = "Langfuse"
# What its SDK writes for parameters that nobody set. Each equals the API's default: leaving it out sends the same.
INVENTED: Mapping[str, tuple[JSON, ...]] = {
    "max_tokens": ("Infinity", "inf", "infinity"),
    "max_completion_tokens": ("Infinity", "inf", "infinity"),
    "temperature": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "n": (1,),
}
NOT_ALL = "Langfuse keeps only some parameters; what else was sent (such as logprobs or a schema) is not known."
ANSWERED = "Langfuse names the model as the one that answered does; the request may have used another name for it."
OF_TRACE = "is a score of a whole trace, which judges none of its calls (it is counted with those that come after it)"
# Who scored: by which way, and which person or evaluator there; and when, the last change first.
SCORER = (("source",), ("authorUserId", "author_user_id", "configId", "config_id"))
SAID = ("updatedAt", "updated_at", "timestamp", "createdAt", "created_at")
NONE = "The observation keeps no parameter that somebody set; the server's defaults would be used."


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(isinstance(v, dict) and (_is_observation(v) or _is_score(v) or _pages(v) or _is_trace(v)) for v in first)


def _get(value: Mapping[str, JSON], *names: str) -> JSON:
    return next((value[n] for n in names if value.get(n) is not None), None)


def _is_observation(value: Mapping[str, JSON]) -> bool:
    kinds = (
        "GENERATION",
        "SPAN",
        "EVENT",
        "AGENT",
        "TOOL",
        "CHAIN",
        "RETRIEVER",
        "EVALUATOR",
        "EMBEDDING",
        "GUARDRAIL",
    )
    trace = _get(value, "traceId", "trace_id")
    return trace is not None and str(value.get("type", "")).upper() in kinds


def _is_score(value: Mapping[str, JSON]) -> bool:
    named = isinstance(value.get("name"), str) and ("value" in value or "string_value" in value)
    return named and _get(value, "traceId", "trace_id") is not None and "input" not in value


def _pages(value: Mapping[str, JSON]) -> bool:
    data = value.get("data")
    return isinstance(data, list) and "meta" in value and any(isinstance(d, dict) and _is_observation(d) for d in data)


def _ahead(first: Sequence[JSON]) -> bool:
    return bool(first) and all(isinstance(v, dict) and _is_score(v) for v in first)


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped | Evaluated]:
    marks: dict[str, list[Mark]] = {}
    for one in values:
        value = one.value if isinstance(one.value, dict) else {}
        items = _items(value)
        for i, item in enumerate(items, 1):
            where = one.where if len(items) == 1 else f"{one.where}, entry {i}"
            if isinstance(item, dict) and _is_score(item):
                _keep(item, marks)
                yield _told(item, where)
                continue
            yield _taken(item if isinstance(item, dict) else {}, where, marks)
            own = item.get("scores") if isinstance(item, dict) else None
            for score in own if isinstance(own, list) else ():
                if isinstance(score, dict):
                    yield _told(
                        {**score, "traceId": _get(item, "traceId", "trace_id"), "observationId": item.get("id")}, where
                    )


def _items(value: Mapping[str, JSON]) -> list[JSON]:
    """The observations and scores of a value: a page of the API, a whole trace, or one of them itself; scores first."""
    if _pages(value):
        return list(value["data"])
    if _is_trace(value):
        trace = as_mapping(value.get("trace"))
        return [*as_list(value.get("scores") or trace.get("scores")), *as_list(value["observations"])]
    return [value]


def _is_trace(value: Mapping[str, JSON]) -> bool:
    """Whether this is a trace with its observations, as the API and the pages give it."""
    found = value.get("observations")
    return isinstance(found, list) and any(isinstance(o, dict) and _is_observation({"traceId": 1, **o}) for o in found)


def _keep(score: Mapping[str, JSON], marks: dict[str, list[Mark]]) -> None:
    """A score is kept for the calls that come after it in the files."""
    about = _get(score, "observationId", "observation_id") or _get(score, "traceId", "trace_id")
    marks.setdefault(str(about), []).append(_mark(score))


def _told(score: Mapping[str, JSON], where: str) -> Evaluated | Skipped:
    """The score of one observation, for whenever that comes; one of a whole trace judges no call of it."""
    trace, span = _get(score, "traceId", "trace_id"), _get(score, "observationId", "observation_id")
    if trace is None or span is None:
        return Skipped(NAME, where, OF_TRACE)
    number = score.get("value")
    label = _get(score, "stringValue", "string_value")
    label = number if label is None and isinstance(number, str) else label
    return Evaluated(
        Evaluation(
            str(trace),
            str(span),
            "",
            as_text(score.get("name")),
            as_text(label),
            finite(number),
            as_text(score.get("comment")),
            " ".join(filter(None, (as_text(_get(score, *names)) for names in SCORER))),
            moment(_get(score, *SAID)),
        )
    )


def _mark(score: Mapping[str, JSON]) -> Mark:
    value = _get(score, "value", "stringValue", "string_value")
    good = isinstance(value, int | float | str) and not isinstance(value, bool)
    return Mark(as_text(score.get("name")), value if good else None, as_text(score.get("comment")))


def _taken(value: Mapping[str, JSON], where: str, marks: Mapping[str, list[Mark]]) -> Taken | Skipped:
    if str(value.get("type", "")).upper() != "GENERATION":
        kind = as_text(value.get("type")).lower()
        return Skipped(NAME, where, f"is an observation of type {kind}, no generation" if kind else "is no observation")
    taken = taken_from_observation(value, where)
    if taken is None:
        return Skipped(NAME, where, "is a generation without messages (its input was not kept)")
    start = moment(_get(value, "startTime", "start_time"))
    seconds, skew = lasted(start, moment(_get(value, "endTime", "end_time")))
    names = {
        "trace": ("traceId", "trace_id"),
        "span": ("id",),
        "record": ("id",),
        "session": ("sessionId", "session_id"),
    }
    ids = {k: str(found) for k, keys in names.items() if (found := _get(value, *keys)) is not None}
    own = value.get("scores")
    scores = [_mark(s) for s in own if isinstance(s, dict)] if isinstance(own, list) else []
    scores += marks.get(ids.get("record", ""), []) + marks.get(ids.get("trace", ""), [])
    return replace(taken, started=start, seconds=seconds, ids=ids, marks=tuple(scores), guessed=(*taken.guessed, *skew))


def taken_from_observation(value: Mapping[str, JSON], where: str) -> Taken | None:
    """The call of a generation; None where its input holds no messages."""
    given = as_json(value.get("input"))
    if given is None and isinstance(value.get("input"), str) and value["input"]:
        given = [{"role": "user", "content": value["input"]}]
    asked: dict[str, JSON] = {}
    if isinstance(given, dict) and is_request(given):
        asked = {k: given[k] for k in ("tools", "response_format", "tool_choice") if given.get(k)}
        given = messages_of(given, "chat" if "messages" in given else "responses")
    messages = [dict(m) for m in given if isinstance(m, dict)] if isinstance(given, list) else []
    if not messages or not all(isinstance(m.get("role"), str) for m in messages):
        return None
    params, guessed = _params(as_object(_get(value, "modelParameters", "model_parameters")) or {})
    about = as_object(value.get("metadata")) or {}
    if shape := as_object(about.get("response_format")):
        asked["response_format"] = shape
    model = _get(value, "model", "providedModelName", "provided_model_name")
    body = {**({"model": model} if isinstance(model, str) and model else {}), "messages": messages, **params, **asked}
    completions, error = _answers(value, about)
    answered = (ANSWERED,) if completions and model else ()
    return Taken(
        format=NAME,
        where=where,
        body=body,
        fidelity="partly" if params else "messages",
        completion=completions[0] if completions else None,
        others=tuple(completions[1:]),
        error=error,
        usage=_usage(as_object(_get(value, "usageDetails", "usage_details", "usage")) or {}),
        model=model if isinstance(model, str) else None,
        guessed=(*guessed, NOT_ALL if params else NONE, *answered),
    )


def _params(given: Mapping[str, JSON]) -> tuple[dict[str, JSON], tuple[str, ...]]:
    """The parameters that somebody may have set, and a sentence on those that Langfuse made up."""
    found, invented = {}, []
    for name, value in given.items():
        number = _number(value)
        if value is None or value == "":
            continue
        if any(number == made for made in INVENTED.get(name, ())):
            invented.append(f"{name} {as_text(value)}")
        else:
            found[name] = number
    sentence = (
        f"Langfuse writes {', '.join(invented)} whether or not somebody set it; it is not sent." if invented else ""
    )
    return found, (sentence,) if sentence else ()


def _number(value: JSON) -> JSON:
    """The number that a text writes, and anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return {"true": True, "false": False}.get(value.lower(), value)
    if not abs(number) < 2**53:
        return value
    return int(number) if number.is_integer() and "." not in value else number


def _answers(value: Mapping[str, JSON], about: Mapping[str, JSON]) -> tuple[list[Completion], str | None]:
    """The completions of a generation, or why there is none; several where several were asked for."""
    failed = str(value.get("level", "")).upper() == "ERROR"
    output = value.get("output")
    if failed or output in (None, ""):
        return [], as_text(_get(value, "statusMessage", "status_message")) or "the answer was not kept"
    reason = as_text(about.get("finish_reason")).strip('"') or "unknown"
    several = [m for m in as_list(output) if isinstance(m, dict) and m.get("role") == "assistant"]
    if several and len(several) == len(as_list(output)):
        whole: dict[str, JSON] | None = {"choices": [{"message": m} for m in several]}
    else:
        whole = as_object(output)
    if whole is not None and whole.keys() & {"choices", "content", "tool_calls", "output"}:
        message = whole if "choices" in whole or "output" in whole else {"choices": [{"message": whole}]}
        said = read_answer(message)
        kept = [c for c in (said.completion, *said.others) if isinstance(c, Completion)]
        return [replace(c, finish_reason=reason) if c.finish_reason == "unknown" else c for c in kept], said.error
    return [Completion(as_text(output), reason)], None


def _usage(given: Mapping[str, JSON]) -> Usage:
    """The tokens; in the export under Langfuse's names, in a span under those of the API."""
    details = as_mapping(given.get("prompt_tokens_details"))
    return Usage(
        whole_number(_get(given, "input", "promptTokens", "prompt_tokens")),
        whole_number(_get(given, "output", "completionTokens", "completion_tokens")),
        None,
        whole_number(_get({**details, **given}, "input_cached_tokens", "cache_read_input_tokens", "cached_tokens")),
    )


LANGFUSE = Format(NAME, _looks_like, _read, _ahead)
