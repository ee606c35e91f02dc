"""What a setting of a fix can be: one rule for each form, in words where it is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from reroll.check import Check
from reroll.match import nearest, show
from reroll.requirement import FUNCTION, bad_pattern, bad_schema

__all__ = ["VALUES"]

PATTERNS = ("input", "not_input", "completion", "not_completion")
TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        hint = f'; quote it: "{show(value)}"' if isinstance(value, int | float) else ""
        return f"needs text; got {show(value)}{hint}"
    return "" if value.strip() else "is empty"


def _names(value: Any) -> str:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
        return f"needs a list of names; got {show(value)}"
    twice = next((v for v in value if list(value).count(v) > 1), None)
    return f"`{twice}` stands twice; keep one" if twice is not None else ""


def _keep(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        if all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in value):
            return "" if len(set(value)) == len(value) else "a number stands twice; keep one"
        if all(isinstance(v, str) and v.strip() for v in value):
            return ""
    return f"needs a list of sentence numbers counted from 1, or a list of phrases; got {show(value)}"


def _whole(least: int, most: int) -> Callable[[Any], str]:
    def rule(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"needs a whole number; got {show(value)}"
        return "" if least <= value <= most else f"must be between {least} and {most}, and this is {value}"

    return rule


def _place(value: Any) -> str:
    if value in ("first", "last"):
        return ""
    if isinstance(value, Mapping) and len(value) == 1:
        [(key, name)] = value.items()
        if key in ("before", "after"):
            return "" if isinstance(name, str) else f"needs a name after `{key}:`; got {show(name)}"
    hint = nearest(value, ["first", "last"]) if isinstance(value, str) else ""
    return f"{show(value)} is none of first, last, {{before: NAME}}, {{after: NAME}}{hint}"


def _pointer(value: Any) -> str:
    if value is None or (isinstance(value, str) and (value == "" or value.startswith("/"))):
        return ""
    return f"needs a JSON pointer such as /label, or null for the whole answer; got {show(value)}"


def _schema(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"needs a JSON Schema; got {show(value)}"
    problem = bad_schema(value)
    return problem.words if problem else ""


def _type(value: Any) -> str:
    for word in value if isinstance(value, list | tuple) and value else [value]:
        if word not in TYPES:
            hint = nearest(word, TYPES) if isinstance(word, str) else ""
            return f"{show(word)} is none of {', '.join(TYPES)}{hint}"
    return ""


def _values(value: Any) -> str:
    return "" if isinstance(value, list | tuple) and value else f"needs a list of values; got {show(value)}"


def _mapping(value: Any) -> str:
    fine = isinstance(value, Mapping) and value and all(isinstance(k, str) for k in value)
    return "" if fine else f"needs keys with values; got {show(value)}"


def _rename(value: Any) -> str:
    if words := _mapping(value):
        return words
    wrong = next((v for v in value.values() if not isinstance(v, str) or not v), None)
    return f"needs names after the colons; got {show(wrong)}" if wrong is not None else ""


def _replace(value: Any) -> str:
    if not isinstance(value, list | tuple) or not value:
        return f"needs a list of pairs, such as [[PATTERN, TEXT]]; got {show(value)}"
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            return f"needs pairs of a pattern and the new text; got {show(pair)}"
        if words := bad_pattern(pair[0]):
            return words
    return ""


def _checks(value: Any) -> str:
    if not isinstance(value, list | tuple) or not value:
        return f"needs a list of checks, such as [{{contains: noon}}]; got {show(value)}"
    for one in value:
        try:
            Check.model_validate(one)
        except ValidationError as error:
            first = error.errors()[0]
            return str(first["msg"])
    return ""


def _when(value: Any) -> str:
    if not isinstance(value, Mapping) or not value:
        return f"needs where it acts, such as {{input: PATTERN}}; got {show(value)}"
    for key, said in value.items():
        if key == "checks":
            words = _checks(said)
        elif key in PATTERNS:
            words = _text(said) or bad_pattern(said) or ""
            words = f"`{key}`: {words}" if words else ""
        else:
            known = (*PATTERNS, "checks")
            hint = nearest(str(key), known) or f"; there are {', '.join(known)}"
            words = f"`{key}` is nothing that can be looked at{hint}"
        if words:
            return words
    return ""


def _function(value: Any) -> str:
    fine = isinstance(value, str) and FUNCTION.fullmatch(value)
    return "" if fine else f"needs file:function, such as patches:tidy; got {show(value)}"


# By the name of the form: what is wrong with a value, in words; empty where nothing is.
VALUES: Mapping[str, Callable[[Any], str]] = {
    "text": _text,
    "names": _names,
    "keep": _keep,
    "several": _whole(2, 20),
    "times": _whole(1, 20),
    "place": _place,
    "pointer": _pointer,
    "schema": _schema,
    "type": _type,
    "values": _values,
    "mapping": _mapping,
    "rename": _rename,
    "replace": _replace,
    "checks": _checks,
    "when": _when,
    "function": _function,
    "true": lambda value: "" if value is True else f"can only be true; leave it out otherwise; got {show(value)}",
    "value": lambda value: "",
}
