"""The tables of docs/schemas.md: every file that a user writes and every form of JSON, from their JSON Schemas."""

from __future__ import annotations

from typing import Any

from reroll.project import schemas as of_files

__all__ = ["blocks"]

JSON = dict[str, Any]
TITLES = {
    "program": "`program.yaml`",
    "cases": "`cases.yaml`",
    "fix": "`fixes/*.yaml`",
    "ideas-file": "`ideas.yaml`",
    "label": "a line of `labels.jsonl`",
}


def blocks(printed: dict[str, JSON]) -> dict[str, str]:
    """One block of tables for the files, one table for what `--json` prints."""
    files = [file_tables(name, schema) for name, schema in of_files().items()]
    lines = ["| form | keys |", "|---|---|"]
    lines += [f"| [{name}.json](schemas/{name}.json) | {keys_of(schema)} |" for name, schema in printed.items()]
    return {"files": "\n".join(files), "printed": "\n".join(lines) + "\n"}


def keys_of(schema: JSON) -> str:
    return ", ".join(f"`{key}`" for key in schema["properties"] if key != "schema")


def file_tables(name: str, schema: JSON) -> str:
    """The keys of a file, then those of what stands in it."""
    parts = [f"### {TITLES[name]}\n\n[{name}.json](schemas/{name}.json)\n\n{table(schema)}"]
    for inner, of in schema.get("$defs", {}).items():
        if "properties" in of:
            parts.append(f"`{inner}`:\n\n{table(of)}")
    return "\n".join(parts)


def table(schema: JSON) -> str:
    needed = schema.get("required", [])
    lines = ["| key | what it holds | default | meaning |", "|---|---|---|---|"]
    for key, part in schema["properties"].items():
        default = "needed" if key in needed else f"`{shown(part['default'])}`" if "default" in part else "–"
        # Without a description this fails: every key that a user writes is explained.
        meaning = " ".join(part["description"].split()).replace("|", "\\|")
        lines.append(f"| `{key}` | {holds(part)} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A default as YAML has it."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return repr(value).replace("'", '"') if value != "" else '""'


def holds(part: JSON) -> str:
    """What may stand there, in words. A schema without a type takes anything."""
    if "$ref" in part:
        return f"`{part['$ref'].rpartition('/')[2]}`"
    if "enum" in part:
        return ", ".join(f"`{shown(one)}`" for one in part["enum"])
    if "const" in part:
        return f"`{shown(part['const'])}`"
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(holds(one) for one in part["anyOf"]))
    if part.get("type") == "array":
        return f"list of {holds(part['items'])}" if part.get("items") else "list"
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"names with {holds(part['additionalProperties'])}"
    words = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true or false",
        "object": "object",
        "null": "null",
    }
    return words.get(part.get("type", "anything"), part.get("type", "anything"))
