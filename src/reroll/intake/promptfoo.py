"""What promptfoo writes with `-o out.json` (version 3): prompts, outputs and what its assertions said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reroll.intake.bodies import as_json, as_list, as_mapping, as_text, whole_number
from reroll.intake.moments import moment
from reroll.intake.taken import API, Format, Mark, Skipped, Taken, Value
from reroll.sample import Completion, Usage

__all__ = ["PROMPTFOO"]

JSON = Any
NAME = "promptfoo"
NOT_ALL = (
    "promptfoo keeps the parameters of its configuration, not those that it adds by itself "
    "(such as max_tokens 1024 and temperature 0 for OpenAI's models of chat)."
)
NONE = (
    "promptfoo's configuration sets no parameter; what promptfoo adds by itself is not known "
    "(such as max_tokens 1024 and temperature 0 for OpenAI's models of chat)."
)
# Keys of a provider's configuration that say how promptfoo calls it, and are no parameters of the model.
NO_PARAMS = {
    "apiKey", "apiHost", "apiBaseUrl", "apiKeyEnvar", "organization", "headers", "cost", "passthrough", "prefix",
    "suffix", "functionToolCallbacks", "maxRetries", "transformResponse", "showThinking", "basePath",
}  # fmt: skip


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(_rows(v) is not None for v in first)


def _rows(value: JSON) -> list[JSON] | None:
    """The results of an output; None where this is none."""
    results = as_mapping(as_mapping(value).get("results"))
    rows = results.get("results")
    return rows if isinstance(rows, list) and ("version" in results or "stats" in results) else None


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for one in values:
        rows = _rows(one.value)
        if rows is None:
            yield Skipped(NAME, one.where, "is no output of promptfoo")
            continue
        settings = _providers(as_mapping(one.value.get("config")).get("providers"))
        when = moment(as_mapping(one.value["results"]).get("timestamp"))
        for i, row in enumerate(rows, 1):
            yield _taken(as_mapping(row), f"{one.where}, result {i}", settings, when)


def _providers(value: JSON) -> dict[str, Mapping[str, JSON]]:
    """The configuration of each provider, by its id and by its label."""
    found = {}
    for one in as_list(value):
        provider = as_mapping(one)
        for name in (provider.get("id"), provider.get("label")):
            if isinstance(name, str):
                found[name] = as_mapping(provider.get("config"))
    return found


def _taken(
    row: Mapping[str, JSON], where: str, settings: Mapping[str, Mapping[str, JSON]], when: float | None
) -> Taken | Skipped:
    raw = as_mapping(row.get("prompt")).get("raw")
    messages = [dict(m) for m in as_list(raw) if isinstance(m, dict) and isinstance(m.get("role"), str)]
    if not messages and (not isinstance(raw, str) or not raw or as_json(raw) is not None):
        return Skipped(NAME, where, "has no prompt that is text or messages")
    response = as_mapping(row.get("response"))
    if response.get("cached") is True:
        return Skipped(NAME, where, "was answered from promptfoo's cache, which is no new run")
    provider = as_mapping(row.get("provider"))
    id = as_text(provider.get("id"))
    api, model = _model(id)
    given = {**settings.get(id, {}), **settings.get(as_text(provider.get("label")), {})}
    # What passes through is sent as it stands, over the other parameters.
    said = {**given, **as_mapping(given.get("passthrough"))}
    params = {k: v for k, v in said.items() if k not in NO_PARAMS and v is not None}
    completion, error = _answer(row, response)
    usage = as_mapping(row.get("tokenUsage") or response.get("tokenUsage"))
    base = given.get("apiBaseUrl")
    return Taken(
        format=NAME,
        where=where,
        body={"model": model, "messages": messages or [{"role": "user", "content": raw}], **params},
        fidelity="partly" if params else "messages",
        url=base if isinstance(base, str) else None,
        provider="anthropic" if api == "messages" else None,
        completion=completion,
        error=error,
        reward=_reward(row),
        started=when,
        ids={k: v for k, v in (("case", _name(row)), ("record", as_text(row.get("id")))) if v},
        marks=tuple(_marks(row)),
        usage=_usage(usage),
        guessed=(NOT_ALL if params else NONE,),
    )


def _model(id: str) -> tuple[API, str]:
    """`openai:chat:gpt-4o` and `openai:gpt-4o` are one model."""
    kind, _, name = id.partition(":")
    for word in ("chat:", "completion:", "responses:", "messages:"):
        name = name.removeprefix(word)
    return "messages" if kind == "anthropic" else "chat", name or kind or "unknown"


def _answer(row: Mapping[str, JSON], response: Mapping[str, JSON]) -> tuple[Completion | None, str | None]:
    output = response.get("output")
    if output is None:
        return None, as_text(response.get("error") or row.get("error")) or "the answer was not recorded"
    reason = response.get("finishReason")
    calls = [c for c in as_list(output) if isinstance(c, dict) and isinstance(c.get("function"), dict)]
    if calls and len(calls) == len(as_list(output)):
        return Completion("", "tool_calls", tuple(dict(c) for c in calls)), None
    return Completion(as_text(output), reason if isinstance(reason, str) else "unknown"), None


def _usage(given: Mapping[str, JSON]) -> Usage:
    cached = whole_number(as_mapping(given.get("completionDetails")).get("cacheReadInputTokens"))
    return Usage(whole_number(given.get("prompt")), whole_number(given.get("completion")), None, cached)


def _reward(row: Mapping[str, JSON]) -> float | None:
    success = row.get("success")
    return float(success) if isinstance(success, bool) else None


def _name(row: Mapping[str, JSON]) -> str:
    description = as_mapping(row.get("testCase")).get("description") or row.get("description")
    if isinstance(description, str) and description.strip():
        return description.strip()
    number = whole_number(row.get("testIdx"))
    return "" if number is None else f"test-{number}"


def _marks(row: Mapping[str, JSON]) -> Iterator[Mark]:
    grading = as_mapping(row.get("gradingResult"))
    for part in as_list(grading.get("componentResults")):
        one = as_mapping(part)
        score = one.get("score")
        kind = as_text(as_mapping(one.get("assertion")).get("type")) or "assertion"
        number = score if isinstance(score, int | float) and not isinstance(score, bool) else None
        yield Mark(kind, number, as_text(one.get("reason")))


PROMPTFOO = Format(NAME, _looks_like, _read)
