"""Levers on the form of the answer, tools, parameters and versions, and the steps that fixes append."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.lever_kinds import KINDS
from reroll.lever_steps import step_of
from reroll.levers_text import nowhere, permuted
from reroll.match import nearest
from reroll.params import bad_param, misspelt
from reroll.program import Program, canonical, same_kind
from reroll.requirement import bad_schema

__all__ = ["FORM_LEVERS"]

JSON = Any
Change = dict[str, JSON]
REASON = "Why, in one sentence, before the answer."
# What says which values a field can have; the rest of a field's schema is annotation.
ANNOTATIONS = ("description", "title", "examples", "default")


def _fields(program: Program) -> dict[str, dict[str, JSON]]:
    """The fields of the answer by name, in their order. Raises: UsageError where no form is stated."""
    fields = (program.response or {}).get("properties") or {}
    if not fields:
        raise UsageError("the program states no fields of its answer (`response`)", slug="fix")
    return {name: dict(schema) if isinstance(schema, Mapping) else {} for name, schema in fields.items()}


def _field_of(fix: Fix) -> str:
    return str(fix.target).partition(".")[2].rpartition(".")[0]


def _field(program: Program, fix: Fix) -> tuple[dict[str, dict[str, JSON]], str]:
    """All fields, and the name of the one that it is about."""
    fields, name = _fields(program), _field_of(fix)
    if name not in fields:
        tail = str(fix.target).rpartition(".")[2]
        target = [f"response.{one}.{tail}" for one in fields]
        hint = nearest(str(fix.target), target) or f"; there are {', '.join(target)}"
        raise UsageError(f"the program has no `{fix.target}`{hint}", slug="fix")
    return fields, name


def _response(program: Program, fields: Mapping[str, JSON], required: list[str] | None = None) -> Change:
    """The answer's form with these fields, if it is one. Raises: UsageError."""
    response = {**(program.response or {}), "properties": dict(fields)}
    if required is not None:
        response["required"] = required
    if problem := bad_schema(response):
        raise UsageError(f"the answer's form cannot be that: {problem.words}", slug="fix")
    return {"response": response}


def _steps(program: Program, step: Mapping[str, JSON]) -> Change:
    """The steps with this one at their end; one that is there already is not said twice."""
    known = {canonical(one) for one in program.steps}
    return {} if canonical(step) in known else {"steps": (*program.steps, dict(step))}


# -- the whole form ----------------------------------------------------------------------------------------------------


def _response_on(program: Program, fix: Fix) -> Change:
    schema = fix.settings.get("schema")
    if schema is None and program.response is None:
        raise UsageError("`response.on` needs `schema`: the program states no form of its answer", slug="fix")
    given = {} if schema is None else {"response": schema}
    return {**given, "structured": fix.settings.get("structured", "enforce")}


def _response_off(program: Program, fix: Fix) -> Change:
    if program.response is None:
        raise UsageError(
            "the program states no form of its answer (`response`), so there is none to leave out", slug="fix"
        )
    return {"structured": "off"}


def _response_reorder(program: Program, fix: Fix) -> Change:
    fields = _fields(program)
    return _response(
        program, {name: fields[name] for name in permuted(list(fields), fix.settings["order"], "response")}
    )


def _reason_first(program: Program, fix: Fix) -> Change:
    fields = _fields(program)
    name, schema = str(fix.settings.get("name", "reason")), {"type": "string", "description": fix.text or REASON}
    if name in fields and (fields[name] != schema or next(iter(fields)) != name):
        raise UsageError(
            f"the answer has a field `{name}` already; say another `name`, or put it first with `response.reorder`",
            slug="fix",
        )
    response = program.response or {}
    required = response.get("required")
    if isinstance(required, list):
        required = [name, *(one for one in required if one != name)] if name not in required else required
    changed = _response(program, {name: schema, **{k: v for k, v in fields.items() if k != name}}, required)
    closed = response.get("additionalProperties") is False
    return changed | (_steps(program, {"step": "rewrite", "on": "completion", "drop": [name]}) if closed else {})


# -- fields ------------------------------------------------------------------------------------------------------------


def _field_describe(program: Program, fix: Fix) -> Change:
    fields, name = _field(program, fix)
    fields[name] = {**fields[name], "description": str(fix.text)}
    return _response(program, fields)


def _field_rename(program: Program, fix: Fix) -> Change:
    fields, old, new = _fields(program), _field_of(fix), str(fix.text)
    back = {"step": "rewrite", "on": "completion", "rename": {new: old}}
    if old not in fields and new in fields and canonical(back) in {canonical(one) for one in program.steps}:
        return {}
    fields, old = _field(program, fix)
    if new == old:
        raise UsageError(f"`{old}` is the name that the field has already", slug="fix-nothing")
    if new in fields:
        raise UsageError(f"the answer has a field `{new}` already; choose another name", slug="fix")
    required = (program.response or {}).get("required")
    if isinstance(required, list):
        required = [new if one == old else one for one in required]
    renamed = {new if k == old else k: v for k, v in fields.items()}
    return _response(program, renamed, required) | _steps(program, back)


def _said(field: Mapping[str, JSON], key: str, value: JSON) -> dict[str, JSON]:
    """The field with this in its type: what describes the field stays behind what types it, whichever came first."""
    if key in field:
        return {**field, key: value}
    typed = [k for k in field if k not in ANNOTATIONS]
    at = list(field).index(typed[-1]) + 1 if typed else 0
    items = list(field.items())
    return dict([*items[:at], (key, value), *items[at:]])


def _type_narrow(program: Program, fix: Fix) -> Change:
    fields, name = _field(program, fix)
    schema = fix.settings.get("schema")
    if schema is None:
        fields[name] = _said(fields[name], "type", fix.settings["type"])
    else:
        annotations = {k: v for k, v in fields[name].items() if k in ANNOTATIONS}
        fields[name] = {**schema, **{k: v for k, v in annotations.items() if k not in schema}}
    return _response(program, fields)


def _type_enum(program: Program, fix: Fix) -> Change:
    fields, name = _field(program, fix)
    fields[name] = _said(fields[name], "enum", fix.settings["values"])
    return _response(program, fields)


def _type_format(program: Program, fix: Fix) -> Change:
    fields, name = _field(program, fix)
    fields[name] = _said(fields[name], "format", fix.text)
    return _response(program, fields)


def _tool_describe(program: Program, fix: Fix) -> Change:
    name = _field_of(fix)
    names = [str(tool.get("function", tool).get("name")) for tool in program.tools]
    if name not in names:
        raise nowhere("tools", f"{name}.description", [f"{one}.description" for one in names])
    tools = []
    for tool in program.tools:
        said = tool.get("function", tool)
        if said.get("name") == name:
            said = {**said, "description": str(fix.text)}
            tool = {**tool, "function": said} if "function" in tool else said
        tools.append(tool)
    return {"tools": tuple(tools)}


# -- parameters and versions -------------------------------------------------------------------------------------------


def _params_set(program: Program, fix: Fix) -> Change:
    name, value = str(fix.target).partition(".")[2], fix.settings["value"]
    if problem := bad_param(program.model, name, value) or misspelt(program.model, name):
        raise UsageError(f"`{fix.target}` cannot be that: {problem}", slug="fix")
    if program.raw is not None:
        return _stored(program, name, value)
    if program.model.startswith("http"):
        raise UsageError("an http: product has no `params`; what it is sent stands in `http.body`", slug="fix")
    params = {k: v for k, v in {**program.params, name: value}.items() if v is not None or k != name}
    return {"params": params}


def _stored(program: Program, key: str, value: JSON) -> Change:
    """A stored request with another value of one key that is no message."""
    body = json.loads(str(program.raw))
    if key in ("messages", "tools", "system", "response_format"):
        raise UsageError(f"`{key}` of a stored request is no parameter; edit the file of the request", slug="fix")
    if (key in body and body[key] == value and value is not None) or (value is None and key not in body):
        return {}
    if key in body or value is None:
        changed = {k: v for k, v in {**body, key: value}.items() if v is not None or k != key}
    else:  # before the first key that is greater: wherever two new ones go, the order of adding them changes nothing
        items = list(body.items())
        at = next((i for i, name in enumerate(body) if name > key), len(items))
        changed = dict([*items[:at], (key, value), *items[at:]])
    return {"raw": json.dumps(changed, ensure_ascii=False)}


def _model_pin(program: Program, fix: Fix) -> Change:
    model = same_kind(program, str(fix.text))
    pinned = program.model_copy(update={"model": model})
    if pinned.is_product != program.is_product:
        raise UsageError(
            f"`{model}` is no version of `{program.model}`: the one is a product, the other a model", slug="fix"
        )
    for name, value in program.params.items():
        if problem := bad_param(model, name, value):
            raise UsageError(f"`{model}` cannot take `params.{name}`: {problem}", slug="fix")
    stored = program.raw is not None and "model" in json.loads(str(program.raw))
    return {"model": model} | (_stored(program, "model", model.partition(":")[2]) if stored else {})


def _serving_pin(program: Program, fix: Fix) -> Change:
    return {"base_url": str(fix.text)}


# -- steps -------------------------------------------------------------------------------------------------------------


def _append(program: Program, fix: Fix) -> Change:
    return _steps(program, step_of(fix))


FORM_LEVERS: Mapping[str, Callable[[Program, Fix], Change]] = {
    "response.on": _response_on,
    "response.off": _response_off,
    "response.reorder": _response_reorder,
    "reason.first": _reason_first,
    "field.describe": _field_describe,
    "field.rename": _field_rename,
    "type.narrow": _type_narrow,
    "type.enum": _type_enum,
    "type.format": _type_format,
    "tool.describe": _tool_describe,
    "params.set": _params_set,
    "model.pin": _model_pin,
    "serving.pin": _serving_pin,
    **dict.fromkeys([name for name, kind in KINDS.items() if kind.step], _append),
}
