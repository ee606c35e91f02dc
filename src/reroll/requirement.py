"""How a check is written: which kinds exist, what each may be given, and what is said when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from reroll.match import dotted, nearest, show

__all__ = [
    "FUNCTION",
    "KINDS",
    "Problem",
    "Wrong",
    "bad_pattern",
    "bad_schema",
    "kind_schema",
    "response_validator",
    "verify",
    "what_it_asks",
]

KINDS = (
    "equals",
    "contains",
    "matches",
    "json",
    "schema",
    "tool_call",
    "python",
    "judge",
    "person",
    "reward",
    "all",
    "any",
    "not",
)
FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*:[A-Za-z_][A-Za-z0-9_]*")
WHOLE_HOLE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
JUDGE_KEYS = ("model", "rubric", "base_url", "params", "structured")
# Of JSON Schema: what tells readers about a value and never decides whether it fits; and where keys are names.
DESCRIBES = frozenset(
    {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}
)
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
Path = tuple[str | int, ...]


class Wrong(ValueError):
    """A check says something that it cannot mean; `path` leads from the check to the place."""

    def __init__(self, problem: str, path: Path = ()) -> None:
        super().__init__(problem)
        self.path = path


def verify(form: Any) -> tuple[str, Any, str | None]:
    """Kind, value and name of a check in the form that a file writes.

    Raises: Wrong with one sentence; nested checks are left to the caller.
    """
    if not isinstance(form, Mapping):
        raise Wrong(f'a check is written as `kind: value`, for example {{contains: "noon"}}; got {show(form)}')
    name = form.get("name")
    if "name" in form and (not isinstance(name, str) or not name.strip()):
        raise Wrong(f"a check's name is text; got {show(name)}", ("name",))
    found = [k for k in form if k != "name"]
    for key in found:
        if key not in KINDS:
            hint = nearest(str(key), KINDS) or f"; the kinds are {', '.join(KINDS)}"
            raise Wrong(f"`{key}` is no kind of check{hint}", (str(key),))
    if not found:
        raise Wrong(f"a check needs one kind: {', '.join(KINDS)}")
    if len(found) > 1:
        both = ", ".join(f"`{k}`" for k in found)
        raise Wrong(f"a check has one kind, this one has {both}; write a check for each, or combine them in `all`")
    kind = found[0]
    return kind, _VERIFY[kind](form[kind]), name


def _text(kind: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            hint = "" if isinstance(value, Mapping | list) or value is None else f'; quote it: "{show(value)}"'
            raise Wrong(f"`{kind}` takes text, got {show(value)}{hint}", (kind,))
        return value

    return check


def _contains(value: Any) -> Any:
    if isinstance(value, list) and value:
        for i, item in enumerate(value):
            if not isinstance(item, str) or not item:
                hint = f'; quote it: "{show(item)}"' if isinstance(item, int | float) else ""
                raise Wrong(f"`contains` takes text or a list of texts, got {show(item)}{hint}", ("contains", i))
        return value
    if _text("contains")(value) == "":
        raise Wrong("`contains` is empty, and every answer contains nothing; say what", ("contains",))
    return value


def _matches(value: Any) -> Any:
    problem = bad_pattern(_text("matches")(value))
    if problem:
        raise Wrong(problem, ("matches",))
    return value


def bad_pattern(pattern: str) -> str | None:
    """What is wrong with a regular expression, as RE2 sees it, or None."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        around = re.search(r"\(\?<?[=!]|\\[1-9]", said)
        extra = "; RE2 has no look-around and no back-references, so that no answer can stall it" if around else ""
        return f"not a regular expression that RE2 takes: {said}{extra}"
    except UnicodeEncodeError:
        return "not a regular expression: half of a character"
    return None


def _json(value: Any) -> Any:
    if isinstance(value, Mapping | list) or (isinstance(value, str) and WHOLE_HOLE.fullmatch(value)):
        return value
    raise Wrong(f'`json` takes keys and values, for example {{date: "2026-11-27"}}; got {show(value)}', ("json",))


def _schema(value: Any) -> Any:
    if value is True:
        return value
    if not isinstance(value, Mapping):
        raise Wrong(f"`schema` takes true (the program's `response`) or a JSON Schema; got {show(value)}", ("schema",))
    found = bad_schema(value)
    if found:
        raise Wrong(found.words, ("schema", *found.path))
    return value


def _tool_call(value: Any) -> Any:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise Wrong(f"`tool_call` takes {{name: ..., arguments: {{...}}}}; got {show(value)}", ("tool_call",))
    for key in value:
        if key not in ("name", "arguments"):
            hint = nearest(str(key), ["name", "arguments"]) or "; the keys are name, arguments"
            raise Wrong(f"unknown key `{key}`{hint}", ("tool_call", str(key)))
    if not isinstance(value.get("arguments", {}), Mapping):
        got = show(value["arguments"])
        raise Wrong(f"`arguments` takes keys with their values; got {got}", ("tool_call", "arguments"))
    return value


def _python(value: Any) -> Any:
    if not isinstance(value, str) or not FUNCTION.fullmatch(value):
        raise Wrong(f"`python` takes file:function, for example checks:is_polite; got {show(value)}", ("python",))
    return value


def _judge(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise Wrong(f"`judge` takes {{model: ..., rubric: ...}}; got {show(value)}", ("judge",))
    for key in value:
        if key not in JUDGE_KEYS:
            hint = nearest(str(key), JUDGE_KEYS) or f"; the keys are {', '.join(JUDGE_KEYS)}"
            raise Wrong(f"`judge` has no key `{key}`{hint}", ("judge", str(key)))
    for key, what in (("model", "the model that judges"), ("rubric", "what a right answer is, in words")):
        if not isinstance(value.get(key), str) or not value[key].strip():
            got = f"; got {show(value[key])}" if key in value else ""
            raise Wrong(f"`judge` needs `{key}`, {what}{got}", ("judge", key) if key in value else ("judge",))
    wanted: tuple[tuple[str, type, str], ...] = (
        ("base_url", str, "an address, as a text"),
        ("params", Mapping, "parameters with their values, for example {max_tokens: 400}"),
        ("structured", bool, "true or false"),
    )
    for key, kind, words in wanted:
        if key in value and not isinstance(value[key], kind):
            raise Wrong(f"`{key}` of `judge` is {words}; got {show(value[key])}", ("judge", key))
    if taken := sorted(set(value.get("params", ())) & {"messages", "response_format", "n", "stream", "tools"}):
        raise Wrong(f"`{taken[0]}` of a judge's calls is set by reroll; take it out of `params`", ("judge", "params"))
    return value


def _person(value: Any) -> Any:
    if value is True or (isinstance(value, str) and value.strip()):
        return value
    raise Wrong(f"`person` takes true, or the question to ask; got {show(value)}", ("person",))


def _reward(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Wrong(f"`reward` takes a number from 0 to 1; got {show(value)}", ("reward",))
    return value


def _several(kind: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value:
            raise Wrong(f"`{kind}` takes a list of checks; got {show(value)}", (kind,))
        return value

    return check


_VERIFY: dict[str, Callable[[Any], Any]] = {
    "equals": _text("equals"),
    "contains": _contains,
    "matches": _matches,
    "json": _json,
    "schema": _schema,
    "tool_call": _tool_call,
    "python": _python,
    "judge": _judge,
    "person": _person,
    "reward": _reward,
    "all": _several("all"),
    "any": _several("any"),
    "not": lambda value: value,
}


# -- JSON Schema


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a value (or with a schema), and where in it."""

    words: str
    path: Path


@lru_cache(maxsize=1)
def _engine() -> tuple[Any, Any]:
    """The validator class and the registry: JSON Schema 2020-12, patterns by RE2, references never fetched."""
    from jsonschema import Draft202012Validator, ValidationError, validators
    from referencing import Registry

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not _search(wanted, instance):
            yield ValidationError(f"{show(instance)} does not match {wanted}")

    def pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any) -> Iterator[Any]:
        for wanted, inner in patterns.items() if isinstance(instance, Mapping) else ():
            for key in [k for k in instance if _search(wanted, k)]:
                yield from validator.descend(instance[key], inner, path=key, schema_path=wanted)

    rules = {"pattern": pattern, "patternProperties": pattern_properties}
    # jsonschema's own `pattern` backtracks, and its default registry fetches remote references.
    return validators.extend(Draft202012Validator, rules), Registry()  # type: ignore[no-untyped-call]


def _search(pattern: str, text: str) -> bool:
    from reroll.match import clean

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options).search(clean(text)) is not None


def bad_schema(schema: Mapping[str, Any]) -> Problem | None:
    """What is wrong with a JSON Schema, or None."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    if error is not None:
        path = tuple(error.absolute_path)
        types = ("array", "boolean", "integer", "null", "number", "object", "string")
        if path and path[-1] == "type" and isinstance(error.instance, str):
            hint = nearest(error.instance, types) or f"; the types are {', '.join(types)}"
            return Problem(f"not a JSON Schema: {show(error.instance)} is no type{hint}", path)
        return Problem(f"not a JSON Schema: {_in_words(error, 'it')}", path)
    return next(_unusable(schema, ()), None)


def _unusable(schema: Any, path: Path) -> Iterator[Problem]:
    """Patterns that RE2 does not take and references that lead out of the file."""
    if isinstance(schema, list):
        for i, item in enumerate(schema):
            yield from _unusable(item, (*path, i))
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        here = (*path, key)
        if key == "pattern" and isinstance(value, str) and (bad := bad_pattern(value)):
            yield Problem(bad, here)
        elif key == "patternProperties" and isinstance(value, Mapping):
            yield from (Problem(b, (*here, p)) for p in value if (b := bad_pattern(p)))
        elif key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            yield Problem(f"a schema must be whole in the file; {show(value)} leads out of it", here)
        if key not in ("const", "enum", "default", "examples"):
            yield from _unusable(value, here)


def what_it_asks(schema: Any) -> Any:
    """The schema without what only describes (titles, descriptions, examples, defaults): the same values fit both."""
    if isinstance(schema, Mapping):
        return {
            key: {name: what_it_asks(part) for name, part in value.items()}
            if key in NAMED and isinstance(value, Mapping)
            else value
            if key in ("enum", "const")
            else what_it_asks(value)
            for key, value in schema.items()
            if key not in DESCRIBES
        }
    if isinstance(schema, list | tuple):
        return [what_it_asks(part) for part in schema]
    return schema


@lru_cache(maxsize=64)
def response_validator(schema_text: str) -> Callable[[Any], Problem | None]:
    """A function from a JSON value to what is wrong with it under the schema (given as canonical JSON)."""
    import json

    from jsonschema.exceptions import best_match

    validator_class, registry = _engine()
    schema = json.loads(schema_text)
    validator = validator_class(schema, registry=registry, format_checker=validator_class.FORMAT_CHECKER)

    def check(value: Any) -> Problem | None:
        error = best_match(validator.iter_errors(value))
        if error is None:
            return None
        path = tuple(error.absolute_path)
        return Problem(_in_words(error, dotted(path) or "the answer"), path)

    return check


def _in_words(error: Any, what: str) -> str:
    """One violation as a person would say it; the library's own message may hold the whole answer."""
    got, wanted = show(error.instance), error.validator_value
    if error.validator == "type":
        return f"{what} is {got}, expected {' or '.join([wanted] if isinstance(wanted, str) else wanted)}"
    if error.validator == "required":
        missing = next((k for k in wanted if k not in error.instance), "?")
        return f"{what} lacks {missing}"
    if error.validator == "enum":
        return f"{what} is {got}, expected one of {show(wanted)}"
    if error.validator == "const":
        return f"{what} is {got}, expected {show(wanted)}"
    if error.validator == "format":
        return f"{what} is {got}, which is no {wanted}"
    if error.validator == "pattern":
        return f"{what} is {got}, which does not match {wanted}"
    if error.validator == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        extra = next((k for k in error.instance if k not in known), "?")
        return f"{what} has {extra}, which the schema does not know"
    return f"{what} is {got}, which breaks {error.validator}: {show(wanted, 40)}"


def _value_schemas(reference: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Per kind, the JSON Schema of its value and what it means."""
    text: dict[str, Any] = {"type": "string"}
    several = {"type": "array", "items": dict(reference), "minItems": 1}
    return {
        "equals": (text, "The text, white space around it apart, is exactly this."),
        "contains": (
            {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": text, "minItems": 1}]},
            "The text contains this, or all of these.",
        ),
        "matches": (text, "This RE2 regular expression is found in the text."),
        "json": (
            {"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "string", "pattern": r"^\{\w+\}$"}]},
            "The text is JSON that holds at least these keys with these values.",
        ),
        "schema": (
            {"anyOf": [{"const": True}, {"type": "object"}]},
            "The text is JSON of this JSON Schema; true: the program's `response`.",
        ),
        "tool_call": (
            {
                "type": "object",
                "properties": {"name": text, "arguments": {"type": "object"}},
                "required": ["name"],
                "additionalProperties": False,
            },
            "A tool of this name is called, with at least these arguments.",
        ),
        "python": (
            {"type": "string", "pattern": f"^{FUNCTION.pattern}$"},
            "file:function in the project's folder, for example checks:is_polite.",
        ),
        "judge": (
            {
                "type": "object",
                "properties": {
                    "model": {**text, "minLength": 1, "description": "The model that judges, as a program names one."},
                    "rubric": {**text, "minLength": 1, "description": "What a right answer is, in words."},
                    "base_url": {**text, "description": "Where it is, if not at the vendor's."},
                    "params": {"type": "object", "description": "Sent in place of temperature 0, max_tokens 1000."},
                    "structured": {"type": "boolean", "description": "false: it is not sent a JSON Schema."},
                },
                "required": ["model", "rubric"],
                "additionalProperties": False,
            },
            "A model judges by this rubric.",
        ),
        "person": (
            {"anyOf": [{"const": True}, {"type": "string", "minLength": 1}]},
            "A person says pass, fail or unsure; a text is the question that they are asked.",
        ),
        "reward": ({"type": "number", "minimum": 0, "maximum": 1}, "The recorded reward is at least this."),
        "all": (several, "All of these hold."),
        "any": (several, "At least one of these holds."),
        "not": (dict(reference), "This does not hold."),
    }


def kind_schema(reference: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a check, for editors; `reference` is how nested checks are pointed at."""
    values = _value_schemas(reference)
    name = {"type": "string", "minLength": 1, "description": "Shown in answers; default: its kind and position."}
    return {
        "title": "Check",
        "description": "One requirement on a completion: exactly one kind, and a name if you like.",
        "type": "object",
        "properties": {"name": name, **{k: {**v, "description": about} for k, (v, about) in values.items()}},
        "additionalProperties": False,
        "oneOf": [{"required": [k]} for k in KINDS],
    }
