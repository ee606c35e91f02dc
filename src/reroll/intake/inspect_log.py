"""Inspect's logs, `.eval` and JSON: samples with the raw calls of the model, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.intake.bodies import as_list, as_mapping, as_object, as_text, call, is_request, tokens_of, whole_number
from reroll.intake.moments import moment
from reroll.intake.pairs import taken_from
from reroll.intake.taken import Format, Mark, Skipped, Taken, Value
from reroll.sample import Completion, Usage

__all__ = ["INSPECT"]

JSON = Any
NAME = "Inspect"
NO_CALL = "The raw call was not kept in the log: the parameters are those of the evaluation's configuration."
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
ENDS = {"max_tokens": "length", "model_length": "length"}
PARAMS = ("temperature", "top_p", "top_k", "seed", "max_tokens", "stop_seqs", "frequency_penalty", "presence_penalty",
          "logprobs", "top_logprobs", "reasoning_effort")  # fmt: skip


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(_is_header(v) or _is_sample(v) for v in first)


def _is_header(value: JSON) -> bool:
    one = as_mapping(value)
    return isinstance(one.get("eval"), dict) and "status" in one


def _is_sample(value: JSON) -> bool:
    one = as_mapping(value)
    return "epoch" in one and "id" in one and ("messages" in one or "output" in one)


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    header: Mapping[str, JSON] = {}
    for one in values:
        if _is_header(one.value):
            header = one.value
            for i, sample in enumerate(as_list(header.get("samples")), 1):
                yield _taken(as_mapping(sample), f"{one.where}, sample {i}", header)
        elif _is_sample(one.value):
            yield _taken(one.value, one.where, header)
        else:
            yield Skipped(NAME, one.where, "is no sample of a log")


def _taken(sample: Mapping[str, JSON], where: str, header: Mapping[str, JSON]) -> Taken | Skipped:
    attached = as_mapping(sample.get("attachments"))
    sample = {k: _whole(v, attached, 0) for k, v in sample.items() if k not in ("attachments", "store", "timelines")}
    given = [_message(m) for m in as_list(sample.get("messages")) if isinstance(m, dict)]
    answers = [i for i, m in enumerate(given) if m["role"] == "assistant"]
    output = as_mapping(sample.get("output"))
    if len(answers) == 1:
        taken = _exact(sample, output, where) or _rebuilt(given[: answers[0]], sample, output, where, header)
    else:
        taken = (None if answers else _failed(sample, where)) or _rebuilt(given, sample, output, where, header)
        taken = replace(taken, completion=None, whole=True) if answers else taken
    if not taken.body.get("messages") and taken.api == "chat":
        return Skipped(NAME, where, "is a sample without messages")
    marks = tuple(_marks(sample))
    rewards = [m.value for m in marks if isinstance(m.value, float) and 0 <= m.value <= 1]
    reward = rewards[0] if len(rewards) == 1 else None
    several = ("The sample has several scores, and none of them is taken for its outcome.",) if len(rewards) > 1 else ()
    # What the sample says of a failed call names an object in memory, another one each time.
    error = taken.error or as_text(as_mapping(sample.get("error")).get("message")) or None
    if taken.completion is None and reward is None:
        error = error or "the sample has no output"
    target = sample.get("target")
    return replace(
        taken,
        error=error if taken.completion is None else None,
        reward=reward,
        expected=target if isinstance(target, str) and target else None,
        marks=marks,
        started=moment(sample.get("started_at")) or moment(as_mapping(header.get("eval")).get("created")),
        ids={"case": as_text(sample.get("id")), "run": as_text(sample.get("epoch")), **_uuid(sample)},
        guessed=(*taken.guessed, *several),
    )


def _uuid(sample: Mapping[str, JSON]) -> dict[str, str]:
    return {"record": sample["uuid"]} if isinstance(sample.get("uuid"), str) and sample["uuid"] else {}


def _whole(value: JSON, attached: Mapping[str, JSON], depth: int) -> JSON:
    """The value with what the log keeps apart, as `attachment://…`, put back where it belongs."""
    if isinstance(value, str):
        return attached.get(value[13:], value) if value.startswith("attachment://") else value
    if depth > 40 or not attached:
        return value
    if isinstance(value, dict):
        return {k: _whole(v, attached, depth + 1) for k, v in value.items()}
    return [_whole(v, attached, depth + 1) for v in value] if isinstance(value, list) else value


def _exact(sample: Mapping[str, JSON], output: Mapping[str, JSON], where: str) -> Taken | None:
    """The raw call whose output is the sample's; None where no call was kept."""
    for event in as_list(sample.get("events")):
        one = as_mapping(event)
        request = _request(as_mapping(one.get("call")), as_mapping(sample.get("events_data")))
        same = as_mapping(one.get("output")).get("choices") == output.get("choices")
        if one.get("event") == "model" and same and request and is_request(request):
            taken = taken_from(NAME, where, request, None, as_mapping(one["call"]).get("response"), True)
            said = _completion(output)
            best = taken.completion if taken.completion is not None else said
            return replace(taken, completion=best, usage=_usage(output))
    return None


def _failed(sample: Mapping[str, JSON], where: str) -> Taken | None:
    """The raw call at which a sample without an answer ended; None where it ended otherwise, or none was kept."""
    if not as_mapping(sample.get("error")):
        return None
    called = [as_mapping(e) for e in as_list(sample.get("events")) if as_mapping(e).get("event") == "model"]
    last = called[-1] if called else {}
    request = _request(as_mapping(last.get("call")), as_mapping(sample.get("events_data")))
    if not last.get("error") or not request or not is_request(request):
        return None
    taken = taken_from(NAME, where, request, None, None, False)
    return replace(taken, error=as_text(last["error"])[:2000])


def _request(called: Mapping[str, JSON], pool: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """The request of a raw call, its messages put back: the log keeps those of all calls once, in a pool.

    A null in it stands for what was not given, so it was not sent.
    """
    request = as_object(called.get("request"))
    if request is None:
        return None
    key, kept = called.get("call_key"), as_list(pool.get("calls"))
    if isinstance(key, str) and called.get("call_refs"):
        runs = [run for run in as_list(called["call_refs"]) if isinstance(run, list) and len(run) == 2]
        numbers = [(whole_number(first), whole_number(end)) for first, end in runs]
        request[key] = [m for first, end in numbers if first is not None and end is not None for m in kept[first:end]]
    return {k: v for k, v in request.items() if v is not None and k not in ("extra_headers", "timeout")}


def _rebuilt(
    messages: Sequence[Mapping[str, JSON]],
    sample: Mapping[str, JSON],
    output: Mapping[str, JSON],
    where: str,
    header: Mapping[str, JSON],
) -> Taken:
    about = as_mapping(header.get("eval"))
    config = {
        **as_mapping(as_mapping(header.get("plan")).get("config")),
        **as_mapping(about.get("model_generate_config")),
    }
    params = {{"stop_seqs": "stop"}.get(k, k): config[k] for k in PARAMS if config.get(k) is not None}
    provider, _, name = as_text(about.get("model") or output.get("model")).rpartition("/")
    turns = [dict(m) for m in messages]
    if not turns and isinstance(sample.get("input"), str):
        turns = [{"role": "user", "content": sample["input"]}]
    return Taken(
        format=NAME,
        where=where,
        body={**({"model": name} if name else {}), "messages": turns, **params},
        fidelity="partly" if params else "messages",
        provider=provider or None,
        completion=_completion(output),
        usage=_usage(output),
        model=as_text(output.get("model")) or None,
        guessed=(NO_CALL,),
    )


def _message(message: Mapping[str, JSON]) -> dict[str, JSON]:
    role = as_text(message.get("role")) or "user"
    content = message.get("content")
    found: dict[str, JSON] = {"role": role, "content": content if isinstance(content, str | list) else ""}
    if calls := _calls(message):
        found["tool_calls"] = calls
    if role == "tool" and message.get("tool_call_id"):
        found["tool_call_id"] = as_text(message["tool_call_id"])
    return found


def _calls(message: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    given = [as_mapping(c) for c in as_list(message.get("tool_calls"))]
    return [call(c.get("id"), c.get("function"), c.get("arguments")) for c in given]


def _completion(output: Mapping[str, JSON]) -> Completion | None:
    choice = as_mapping(next(iter(as_list(output.get("choices"))), None))
    message = as_mapping(choice.get("message"))
    if not message:
        return None
    content = message.get("content")
    parts = [as_mapping(p) for p in content] if isinstance(content, list) else []
    text = content if isinstance(content, str) else "".join(as_text(p.get("text")) for p in parts)
    reason = as_text(choice.get("stop_reason")) or "unknown"
    tokens = tokens_of(as_mapping(choice.get("logprobs")).get("content"))
    return Completion(text, ENDS.get(reason, reason), tuple(_calls(message)), tokens)


def _usage(output: Mapping[str, JSON]) -> Usage:
    usage = as_mapping(output.get("usage"))
    return Usage(
        whole_number(usage.get("input_tokens")),
        whole_number(usage.get("output_tokens")),
        None,
        whole_number(usage.get("input_tokens_cache_read")),
    )


def _marks(sample: Mapping[str, JSON]) -> Iterator[Mark]:
    scores = as_mapping(sample.get("scores"))
    for name, score in scores.items():
        value = as_mapping(score).get("value")
        number = GRADES.get(value) if isinstance(value, str) else None
        if isinstance(value, int | float):
            number = float(value)
        word = value if isinstance(value, str) else None
        yield Mark(
            str(name), number if number is not None else word, as_text(as_mapping(score).get("explanation"))[:500]
        )


INSPECT = Format(NAME, _looks_like, _read)
