"""A case's request with some of its factors made neutral: taken out, said blandly, put in another order, or set."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reroll.draft import Draft, draft_of
from reroll.factor import Factor, Level, Place
from reroll.fillers import filler, plainer
from reroll.program import Program, Request

__all__ = ["loosened", "neutral_request", "sent_at", "text_at"]

JSON = Any
FROM, TO = "\ue000", "\ue001"  # of the private use area: no request means anything by them
NARROWING = (
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)


def neutral_request(
    program: Program,
    inputs: Mapping[str, JSON],
    history: tuple[Mapping[str, JSON], ...],
    chosen: Sequence[tuple[Factor, int]],
) -> Request:
    """The case's request with each of these factors at the level of this number (modulo how many it has).

    A factor that this case does not have (a sentence of another case's request) changes nothing. Nothing chosen: the
    request exactly as reported.
    """
    if not chosen:
        return program.render(inputs, history)
    draft = draft_of(program, inputs, history)
    flat = [(one, level) for factor, level in chosen for one in (factor.members or (factor,))]
    for place, group in itertools.groupby(sorted(flat, key=_by_place), key=lambda c: c[0].place):
        _change(draft, place, list(group))
    if draft.chat and not draft.program.is_product and draft.user.texts and not str(draft.user).strip():
        draft.user.put(0, filler("request", 0, 0))  # a message must say something
    return draft.request()


def loosened(schema: Mapping[str, JSON], draft: Draft) -> dict[str, JSON]:
    """What narrows a type and may go: of a type that the model only reads about, the type itself, too."""
    keys = [*NARROWING, "type", "items"] if draft.program.structured == "describe" and draft.body is None else NARROWING
    return {k: schema[k] for k in keys if k in schema}


def _by_place(chosen: tuple[Factor, int]) -> tuple[str, str, tuple[int, int]]:
    factor = chosen[0]
    return str(factor.place[0]), str(factor.place[1:]), factor.span or (0, 0)


def text_at(draft: Draft, place: Place) -> str | None:
    """What stands there in full; None where this draft has no such place, or no text there."""
    kind, *rest = place
    try:
        match kind:
            case "system":
                return draft.system[str(rest[0])]
            case "sentence":
                return draft.sentences.texts[int(rest[0])] if draft.sentences else None
            case "document":
                return draft.documents[str(rest[0])]
            case "user":
                return draft.user.texts[int(rest[0])]
            case "template":
                return str(rest[0]) if rest[0] in draft.user.texts else None
            case "input":
                return draft.said[str(rest[0])].texts[int(rest[1])]
            case "history":
                return str(draft.history[int(rest[0])].get("content") or "")
            case "tool":
                tool = draft.tools[int(rest[0])]
                return str(tool.get("function", tool).get("description") or "")
            case "field":
                return str((draft.schema or {})["properties"][str(rest[0])].get("description") or "")
    except (KeyError, IndexError):
        return None
    return None


def sent_at(
    program: Program,
    inputs: Mapping[str, JSON],
    history: tuple[Mapping[str, JSON], ...],
    factor: Factor,
    words: str = "",
) -> tuple[tuple[int, int, int], ...]:
    """Where a factor stands in the messages as they are sent: which message, from which character to which.

    words: only where these stand in it. Empty where it is no text in a message.
    """
    found: list[tuple[int, int, int]] = []
    for one in factor.members or (factor,):
        text = text_at(draft_of(program, inputs, history), one.place) or ""
        start, end = one.span or (0, len(text))
        pieces = [m.span() for m in re.finditer(re.escape(words), text) if start <= m.start() and m.end() <= end]
        for a, b in pieces if words else [(start, end)]:
            draft = draft_of(program, inputs, history)
            if a < b <= len(text) and not {FROM, TO} & set(text):
                _put(draft, one.place, f"{text[:a]}{FROM}{text[a:b]}{TO}{text[b:]}")
                found += _between(draft.request().body.get("messages"))
    return tuple(found)


def _between(messages: JSON) -> Iterator[tuple[int, int, int]]:
    for k, message in enumerate(messages if isinstance(messages, list) else ()):
        said = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(said, str) and FROM in said and TO in said:
            yield k, said.index(FROM), said.index(TO) - 1


def _put(draft: Draft, place: Place, text: str | None) -> None:
    """Something else stands there; None: nothing does."""
    kind, *rest = place
    match kind:
        case "system":
            draft.system[str(rest[0])] = text
        case "sentence":
            assert draft.sentences is not None
            draft.sentences.put(int(rest[0]), text)
        case "document":
            draft.documents[str(rest[0])] = text
        case "user":
            draft.user.put(int(rest[0]), text)
        case "template":
            draft.user.put(draft.user.texts.index(str(rest[0])), text)
        case "input":
            draft.said[str(rest[0])].put(int(rest[1]), text)
        case "history":
            draft.history[int(rest[0])] = {**draft.history[int(rest[0])], "content": text or ""}
        case "tool":
            tool = draft.tools[int(rest[0])]
            _say(tool.get("function", tool), text)
        case "field":
            _say((draft.schema or {})["properties"][str(rest[0])], text)


def _say(holder: dict[str, JSON], text: str | None) -> None:
    if text is None:
        holder.pop("description", None)
    else:
        holder["description"] = text


def _change(draft: Draft, place: Place, group: Sequence[tuple[Factor, int]]) -> None:
    """Put what stands at one place to its level, or those phrases of it that were chosen."""
    factor, number = group[0]
    level = factor.levels[number % len(factor.levels)]
    text = text_at(draft, place)
    if factor.span is not None:
        spans = [f.span for f, _ in group if f.span]
        if text is not None and spans[-1][1] <= len(text):
            edges = [0, *(edge for span in spans for edge in span), len(text)]
            left = "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
            _put(draft, place, _tidy(left) or None)
    elif place[0] == "wording":
        said = draft.said[str(place[2])] if place[1] == "input" else draft.user
        for k, piece in enumerate(said.texts):
            said.put(k, plainer(piece) or None if piece else None)
    elif level.how == "out" and place[0] == "example":
        draft.examples = [e for e in draft.examples if e.name != place[1]]
    elif level.how in ("out", "text") and place[0] == "name":
        _rename(draft, str(place[1]), str(level.value))
    elif level.how in ("out", "text"):
        if text is not None:
            _put(draft, place, level.value)
    else:
        _set(draft, place, level)


def _tidy(text: str) -> str:
    """What is left of a sentence when phrases were cut out: no doubled spaces, no mark after a gap."""
    words = " ".join(text.split())
    for mark in (",", ";", ":"):
        words = words.replace(f" {mark}", mark)
    return words.strip(" ,;:")


def _set(draft: Draft, place: Place, level: Level) -> None:
    """Another order, value, model or type."""
    match place[0]:
        case "examples":
            known = {e.name: e for e in draft.examples}
            draft.examples = [known[name] for name in level.value if name in known]
        case "documents":
            draft.documents = {name: draft.documents[name] for name in level.value if name in draft.documents}
        case "fields":
            assert draft.schema is not None
            fields = draft.schema["properties"]
            # Fields may have been renamed by now: those go where they stood.
            draft.schema["properties"] = {n: fields[n] for n in level.value if n in fields} | fields
        case "type":
            schema = (draft.schema or {})["properties"].get(str(place[1]))
            for key in loosened(schema, draft) if schema else ():
                del schema[key]
        case "param":
            if level.value is None:
                draft.params.pop(str(place[1]), None)
            else:
                draft.params[str(place[1])] = level.value
        case "model":
            draft.model = str(level.value)


def _rename(draft: Draft, name: str, other: str) -> None:
    schema = draft.schema or {}
    fields = schema.get("properties", {})
    if name in fields:
        schema["properties"] = {other if k == name else k: v for k, v in fields.items()}
        if isinstance(required := schema.get("required"), list):
            schema["required"] = [other if k == name else k for k in required]
