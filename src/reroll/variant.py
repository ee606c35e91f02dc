"""A program with one part changed: the variant that a comparison or a fix is about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from reroll.errors import UsageError
from reroll.match import listed, nearest
from reroll.params import bad_param, misspelt
from reroll.program import Program
from reroll.requirement import bad_schema

__all__ = ["added_by", "added_part", "changed_part", "with_part"]

PLAIN = ("model", "base_url", "user", "structured")


def with_part(program: Program, part: str, value: Any) -> Program:
    """The program with this part saying `value`; an empty text takes the part out.

    Parts: `system.NAME`, `documents.NAME`, `examples.NAME` (only taken out), `params.NAME`,
    `response.FIELD.description` or `.type`, and `model`, `base_url`, `user`, `structured`. A clause,
    document or parameter that the program does not have yet is added at the end.

    Raises:  UsageError: no such part, or a value that the part cannot have.

    >>> with_part(Program(program="p", system={"role": "Be brief."}), "system.role", "").system
    {}
    """
    root, _, name = part.partition(".")
    if part in PLAIN:
        return _checked(program, {root: value}, part)
    change = CHANGES.get(root)
    if change is None or not name:
        known = [p.id for p in program.parts() if p.id.split(".")[0] in CHANGES] + list(PLAIN)
        raise _no_part(part, known)
    if program.raw is not None:
        raise UsageError(f"the program is a stored request, sent as it is; `{part}` cannot be changed", slug="no-part")
    return _checked(program, change(program, name, value), part)


def changed_part(text: str) -> tuple[str, Any] | None:
    """`PART=VALUE` as a part and its value; None where the text is not of that form. Parameters are read as JSON.

    >>> changed_part("params.temperature=0"), changed_part("system.role="), changed_part("baseline")
    (('params.temperature', 0), ('system.role', ''), None)
    """
    part, equals, value = text.partition("=")
    if not equals or "/" in part or not part:
        return None
    if part.startswith("params."):
        try:
            return part, json.loads(value)
        except ValueError:
            return part, value
    return part, value


def added_part(program: Program, part: str, value: Any) -> str:
    """That this part is not there yet and is added, in words; empty where it is there, or cannot be added.

    >>> added_part(Program(program="p", system={"role": "Be brief."}), "system.rol", "Be kind.")
    '`system.rol` is a new clause beside `system.role`, which stays as it is'
    """
    root = part.partition(".")[0]
    what = {"system": "clause", "documents": "document"}.get(root)
    there = [p.id for p in program.parts() if p.id.startswith(f"{root}.")]
    if what is None or part in there or value in ("", None):
        return ""
    if like := get_close_matches(part, there, 1, 0.9):
        return f"`{part}` is a new {what} beside `{like[0]}`, which stays as it is"
    return f"`{part}` is a new {what}, added at the end; so far there are {listed(there)}"


def added_by(program: Program, names: Iterable[str]) -> list[str]:
    """What these variants add that the program does not have yet, a sentence each."""
    changes = [change for name in names if (change := changed_part(name)) is not None]
    return [said for part, value in changes if (said := added_part(program, part, value))]


def _no_part(part: str, known: Sequence[str]) -> UsageError:
    hint = nearest(part, list(known)) or f"; there are {', '.join(known) or 'none'}"
    return UsageError(f"no part `{part}` that can be changed{hint}", slug="no-part")


def _checked(program: Program, change: Mapping[str, Any], part: str) -> Program:
    try:
        found = Program.model_validate({**program.model_dump(), **change})
    except ValidationError as error:
        words = error.errors()[0]["msg"]
        raise UsageError(f"`{part}` cannot be that: {words[:1].lower()}{words[1:]}", slug="no-part") from None
    for name, value in found.params.items():
        if problem := bad_param(found.model, name, value) or misspelt(found.model, name):
            which = "" if part == f"params.{name}" else f"`params.{name}` "
            raise UsageError(f"`{part}` cannot be that: {which}{problem}", slug="no-part")
    return found


def _is_there(part: str, value: Any, known: Sequence[str]) -> None:
    """Raises: UsageError where something is to be taken out that is not there."""
    if value == "" and part not in known:
        raise _no_part(part, known)


def _clause(program: Program, name: str, value: Any) -> dict[str, Any]:
    _is_there(f"system.{name}", value, [f"system.{n}" for n in program.clauses()])
    return {"system": _with(program.clauses(), name, value)}


def _document(program: Program, name: str, value: Any) -> dict[str, Any]:
    _is_there(f"documents.{name}", value, [f"documents.{n}" for n in program.documents])
    return {"documents": _with(program.documents, name, value)}


def _param(program: Program, name: str, value: Any) -> dict[str, Any]:
    params = dict(program.params)
    params[name] = value
    return {"params": {k: v for k, v in params.items() if v is not None and v != ""}}


def _example(program: Program, name: str, value: Any) -> dict[str, Any]:
    names = [e.name for e in program.examples]
    if name not in names:
        raise _no_part(f"examples.{name}", [f"examples.{n}" for n in names])
    if value:
        raise UsageError(f"`examples.{name}` can only be taken out (examples.{name}=)", slug="no-part")
    return {"examples": tuple(e for e in program.examples if e.name != name)}


def _field(program: Program, name: str, value: Any) -> dict[str, Any]:
    field, _, what = name.rpartition(".")
    fields = (program.response or {}).get("properties", {})
    if field not in fields or what not in ("description", "type"):
        known = [f"response.{f}.{w}" for f in fields for w in ("description", "type")]
        raise _no_part(f"response.{name}", known)
    properties = {k: dict(v) for k, v in fields.items()}
    properties[field] = _with(properties[field], what, value)
    response = {**(program.response or {}), "properties": properties}
    if problem := bad_schema(response):
        raise UsageError(f"`response.{name}` cannot be that: {problem.words}", slug="no-part")
    return {"response": response}


def _with(parts: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The parts with this one set, in their order; without it where the value is empty."""
    changed = {**parts, name: value}
    return {k: v for k, v in changed.items() if k != name or v not in ("", None)}


CHANGES: dict[str, Callable[[Program, str, Any], dict[str, Any]]] = {
    "system": _clause,
    "documents": _document,
    "params": _param,
    "examples": _example,
    "response": _field,
}
