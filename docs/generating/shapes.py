"""What JSON Schemas of printed values are made of: a type's own schema, more keys, a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

__all__ = [
    "ANYTHING",
    "JSON",
    "NUMBER",
    "TEXT",
    "TEXTS",
    "TRUTH",
    "WHOLE",
    "listed",
    "named",
    "or_null",
    "plain",
    "trimmed",
    "with_more",
]

JSON = dict[str, Any]
TEXT, NUMBER, WHOLE, TRUTH, ANYTHING = ({"type": t} for t in ("string", "number", "integer", "boolean", "object"))
TEXTS: JSON = {"type": "array", "items": TEXT}


def listed(part: JSON) -> JSON:
    return {"type": "array", "items": part}


def or_null(part: JSON) -> JSON:
    return {"anyOf": [part, {"type": "null"}]}


def trimmed(schema: JSON) -> JSON:
    """The schema with those definitions only that it refers to."""
    known: Mapping[str, JSON] = schema.get("$defs", {})
    used: dict[str, JSON] = {}

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in used:
                used[name] = known[name]
                walk(known[name])
            part = [inner for key, inner in part.items() if key != "$defs"]
        if isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(schema)
    return {**schema, "$defs": {name: known[name] for name in known if name in used}}


def plain(adapter: TypeAdapter[Any]) -> JSON:
    """The schema of a value as it is printed: every key is there."""
    schema = adapter.json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
            part.pop("description", None)
            for one in part["properties"].values():
                one.pop("default", None)
                one.pop("title", None)
        part.pop("title", None)
    return schema


def with_more(schema: JSON, properties: JSON) -> JSON:
    """The schema of an object with further keys, all of them required."""
    whole: JSON = {"type": "object", **schema, "properties": dict(schema.get("properties", {}))}
    for name, part in properties.items():
        whole["properties"][name] = plain(part) if isinstance(part, TypeAdapter) else part
    return {**whole, "required": list(whole["properties"])}


def named(name: str, schema: JSON) -> JSON:
    """The schema with its `schema` key first, and what it is the schema of."""
    properties = {"schema": {"const": f"reroll.{name}/1"}, **schema["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"reroll.{name}/1",
        **schema,
        "properties": properties,
        "required": ["schema", *schema.get("required", schema["properties"])],
    }
