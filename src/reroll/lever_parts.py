"""What a program says, in pieces: the text of each part by its id, and the names of each list in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reroll.program import Program, canonical

__all__ = ["ORDER", "pieces"]

JSON = Any
ORDER = ".order"


def pieces(program: Program) -> dict[str, str | tuple[str, ...]]:
    """All that can change an answer, by part.

    Under `system.order` and the like stand the names in their order. The type of a field is all of its schema but the
    description, its name says whether it is required, and `response` is what the form says beside its fields.

    >>> found = pieces(Program(program="p", system={"a": "One.", "b": "Two."}, params={"top_p": 1}))
    >>> found["system.b"], found["system.order"], found["params.top_p"]
    ('Two.', ('a', 'b'), '1')
    """
    out: dict[str, str | tuple[str, ...]] = {}
    clauses = program.clauses()
    _named(out, "system", clauses)
    if isinstance(program.system, str):
        out["system"] = "in one text"
    _named(out, "documents", program.documents)
    _form(out, program.response)
    if program.response is not None:
        out["structured"] = program.structured
    _named(out, "examples", {e.name: f"{e.user}\n{e.assistant}" for e in program.examples})
    for tool in program.tools:
        said = tool.get("function", tool)
        rest = {k: v for k, v in said.items() if k != "description"}
        out[f"tools.{said.get('name')}"] = canonical({**tool, "function": rest} if "function" in tool else rest)
        if said.get("description") is not None:
            out[f"tools.{said.get('name')}.description"] = str(said["description"])
    for i, message in enumerate(program.history, 1):
        out[f"history.{i}"] = canonical(message)
    out["user"] = program.user
    if program.raw is not None:
        _stored(out, json.loads(program.raw))
    for name, value in program.params.items():
        out[f"params.{name}"] = canonical(value)
    out["model"] = program.model
    for key in ("base_url", "http"):
        if (value := getattr(program, key)) is not None:
            out[key] = value if isinstance(value, str) else canonical(value.model_dump())
    for i, step in enumerate(program.steps, 1):
        out[f"steps.{i}"] = canonical(step)
    return out


def _named(out: dict[str, str | tuple[str, ...]], root: str, texts: Mapping[str, str]) -> None:
    out.update((f"{root}.{name}", text) for name, text in texts.items())
    if texts:
        out[root + ORDER] = tuple(texts)


def _form(out: dict[str, str | tuple[str, ...]], response: Mapping[str, JSON] | None) -> None:
    if response is None:
        return
    fields = response.get("properties")
    fields = fields if isinstance(fields, Mapping) else {}
    listed = response.get("required")
    required = listed if isinstance(listed, list) else []
    beside = {k: v for k, v in response.items() if k not in ("properties", "required")}
    if strangers := [name for name in required if name not in fields]:
        beside["required"] = strangers
    out["response"] = _in_order(beside)
    for name, schema in fields.items():
        rest = {k: v for k, v in schema.items() if k != "description"} if isinstance(schema, Mapping) else schema
        out[f"response.{name}.name"] = f"{name} (required)" if name in required else name
        if rest:
            out[f"response.{name}.type"] = _in_order(rest)
        if isinstance(schema, Mapping) and schema.get("description") is not None:
            out[f"response.{name}.description"] = str(schema["description"])
    if fields:
        out["response" + ORDER] = tuple(fields)


def _in_order(value: JSON) -> str:
    """As JSON with its keys as they stand: their order reaches the model."""
    return json.dumps(value, ensure_ascii=False)


def _stored(out: dict[str, str | tuple[str, ...]], body: Mapping[str, JSON]) -> None:
    for key, value in body.items():
        if key in ("messages", "tools", "system", "response_format"):
            out[f"raw.{key}"] = canonical(value)
        else:
            out[f"params.{key}"] = canonical(value)
