"""What pydantic says of a user's file, as one sentence with its file, line and key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reroll.errors import FileError
from reroll.match import nearest, show
from reroll.strict_yaml import Document

__all__ = ["complain", "model_at", "problem_words"]

# What a type error means to somebody who writes YAML.
NEEDS = {
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "mapping_type": "keys with values",
    "tuple_type": "a list",
    "list_type": "a list",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
}
LIMITS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
LIMIT_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def complain(error: ValidationError, document: Document, root: type[BaseModel]) -> FileError:
    """The first problem, by line, of those that pydantic found in this file."""
    errors = error.errors()
    found = [(document.walk(e["loc"]), e) for e in errors if not _is_misspelt(e, errors)]
    paths = [walked[0] for walked, _ in found]
    # A union complains once per arm; the arm that got furthest is the one that was meant.
    kept = [
        (walked, e)
        for walked, e in found
        if not any(len(p) > len(walked[0]) and p[: len(walked[0])] == walked[0] for p in paths)
        or e["type"] in ("missing", "extra_forbidden")
    ]
    (path, _, _), first = min(kept, key=lambda pair: pair[0][2] or 0)
    same = [e for (p, _, _), e in kept if p == path]
    return document.error(problem_words(first, same, root, document.plain(path)), path)


def _is_misspelt(missing: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether this key is missing only because it is written wrongly, which another error says better."""
    return missing["type"] == "missing" and any(
        e["type"] == "extra_forbidden"
        and e["loc"][:-1] == missing["loc"][:-1]
        and nearest(str(e["loc"][-1]), [str(missing["loc"][-1])])
        for e in errors
    )


def problem_words(
    first: ErrorDetails, same: Sequence[ErrorDetails], root: type[BaseModel], plain: str | None = None
) -> str:
    """One of pydantic's errors in words of a user.

    Args: same: all errors of this place; plain: the scalar as it is written, where it has no quotes.
    """
    kind, got = first["type"], first["input"]
    if kind == "missing":
        return f"`{first['loc'][-1]}` is missing"
    if kind == "extra_forbidden":
        key, known = str(first["loc"][-1]), list(model_at(root, first["loc"]).model_fields)
        return f"unknown key{nearest(key, known) or '; the keys are ' + ', '.join(known)}"
    needs = list(dict.fromkeys(NEEDS[e["type"]] for e in same if e["type"] in NEEDS))
    if needs:
        return _needs(needs, got, plain)
    if kind == "literal_error":
        options = [w.strip("'") for w in first["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        hint = nearest(got, options) if isinstance(got, str) else ""
        return f"{show(got)} is none of {', '.join(options)}{hint}"
    if kind in LIMITS:
        return f"must be {LIMIT_WORDS[LIMITS[kind]]} {first['ctx'][LIMITS[kind]]:g}, and this is {show(got)}"
    if kind == "string_pattern_mismatch":
        return f"{show(got)} does not have the form {first['ctx']['pattern']}"
    if kind == "check" and plain:  # the check saw 1.1 where the file says 1.10
        return re.sub(r'got \S+; quote it: "\S+"$', lambda _: f'got {plain}; quote it: "{plain}"', first["msg"])
    if kind == "string_too_short":
        return "is empty"
    return first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _needs(needs: list[str], got: Any, plain: str | None) -> str:
    if needs == ["text"] and plain and isinstance(got, bool | int | float):
        what = "true or false" if isinstance(got, bool) else "a number"
        return f'needs text, and {plain} without quotes is {what}; write "{plain}"'
    if got is None:
        return f"needs {' or '.join(needs)}, and here is nothing"
    return f"needs {' or '.join(needs)}; got {show(got)}"


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def model_at(root: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel]:
    """The model whose keys are allowed at this place."""
    model = root
    for step in loc:
        fields: Mapping[str, Any] = model.model_fields
        if isinstance(step, str) and step in fields:
            model = next(iter(_models(fields[step].annotation)), model)
    return model
