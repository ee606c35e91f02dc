"""What the values at one field of many answers have in common: their form, in words and as JSON Schema."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.program import canonical

__all__ = ["FORMS", "Form", "described", "form_of", "kind_of", "narrowed", "plain"]

JSON = Any


@dataclass(frozen=True, slots=True)
class Form:
    """A way of writing a value. words: as a description ends; format: JSON Schema's word for it, where it has one."""

    name: str
    pattern: str
    words: str
    format: str | None = None

    def fits(self, value: JSON) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


FORMS = (
    Form("date", r"\d{4}-\d{2}-\d{2}", "written YYYY-MM-DD", "date"),
    Form("time", r"([01]\d|2[0-3]):[0-5]\d", "written HH:MM on the 24-hour clock"),
    Form("moment", r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:\d{2})?", "written as in ISO 8601"),
    Form("email", r"[^@\s]+@[^@\s]+\.[^@\s]+", "as an e-mail address alone", "email"),
    Form("address", r"https?://\S+", "as a whole web address", "uri"),
    Form("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "as a UUID", "uuid"),
    Form("number", r"-?\d+(\.\d+)?", "in digits, without a unit"),
    Form("word", r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", "as one word in small letters"),
    Form("code", r"[A-Z][A-Z0-9]*([_-][A-Z0-9]+)*", "as one word in capital letters"),
)
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
CALLED = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "object": "an object"}
FEW = 12  # different values that may be a closed list
TWICE = 2  # times that values must have been seen for a list to be closed


def kind_of(value: JSON) -> str:
    """JSON Schema's word for the type of a value.

    >>> kind_of(True), kind_of(3), kind_of(3.5), kind_of(None)
    ('boolean', 'integer', 'number', 'null')
    """
    return TYPES.get(type(value), "null")


def form_of(values: Sequence[JSON]) -> Form | None:
    """The first form that every value has; None where they share none, or there are none.

    >>> form_of(["2026-11-27", "2026-12-01"]).name
    'date'
    """
    return next((form for form in FORMS if values and all(form.fits(value) for value in values)), None)


def described(name: str, values: Sequence[JSON], requests: Sequence[str], schema: Mapping[str, JSON]) -> str:
    """What a field holds, for a reader of the prompt, as far as right answers show it. No value is ever quoted.

    Args:    values: of right answers, at least one; requests: what each was an answer to.

    >>> described("due_date", ["2026-11-27"], ["by Friday"], {})
    'The due date that the request asks for, worked out from all that it says, written YYYY-MM-DD.'
    >>> described("people", [["Ana"], ["Ben", "Eva"]], ["with Ana", "Ben and Eva"], {})
    'The people of the request, as a list, one entry for each, each word for word as in the request.'
    """
    what = _as_words(name)
    kinds = {kind_of(value) for value in values}
    if kinds == {"array"}:
        inner = [(one, said) for value, said in zip(values, requests, strict=True) for one in value]
        form = form_of([one for one, _ in inner])
        how = ", each word for word as in the request" if _quoted(inner) else f", each {form.words}" if form else ""
        return f"The {what} of the request, as a list, one entry for each{how}."
    if _quoted(list(zip(values, requests, strict=True))):
        return f"The {what}, word for word as in the request."
    form = form_of(values)
    ending = f", {form.words}" if form else ""
    if not form and len(kinds) == 1 and (called := CALLED.get(next(iter(kinds)))):
        ending = f", as {called}" if called != "true or false" else f": {called}"
    closed = schema.get("enum")
    if closed:
        ending = ", as one of the values that are allowed"
    return f"The {what} that the request asks for, worked out from all that it says{ending}."


def plain(name: str) -> str:
    """A description that says no more than the field's name.

    >>> plain("dueDate")
    'The due date.'
    """
    return f"The {_as_words(name)}."


def narrowed(
    schema: Mapping[str, JSON], right: Sequence[JSON], wrong: Sequence[JSON], elsewhere: Sequence[JSON] = ()
) -> tuple[str, dict[str, JSON]] | None:
    """The kind of fix, and its settings, that every right value fits and most wrong ones do not; None: there is none.

    Args:    right, wrong: values of the field in passing and failing answers of the case; elsewhere: in right answers
             of other cases; only they may make up a closed list, so that no list is the case's own answer.

    >>> narrowed({"type": "string"}, ["2026-11-27"], ["27 Nov", "2026-11-20", "next Friday"])
    ('type.format', {'text': 'date'})
    >>> narrowed({"type": "string"}, ["2026-11-27"], ["2026-11-20"]) is None
    True
    """
    fine = [*right, *elsewhere]
    if not fine or not wrong:
        return None

    def tells(fits: Sequence[bool]) -> bool:
        return sum(fits) < len(wrong) / 2

    kinds = {kind_of(value) for value in fine}
    if len(kinds) == 1 and tells([kind_of(value) in kinds for value in wrong]):
        kind = next(iter(kinds))
        return None if schema.get("type") == kind else ("type.narrow", {"type": kind})
    form = form_of(fine)
    if form and tells([form.fits(value) for value in wrong]):
        if form.format:
            return None if schema.get("format") == form.format else ("type.format", {"text": form.format})
        pattern = f"^{form.pattern}$"
        told = {**schema, "type": "string", "pattern": pattern}
        return None if schema.get("pattern") == pattern else ("type.narrow", {"schema": told})
    if "enum" in schema or not _closed(elsewhere):
        return None
    known = list(dict.fromkeys(elsewhere))
    if all(value in known for value in right) and tells([value in known for value in wrong]):
        return "type.enum", {"values": sorted(known)}
    return None


def _as_words(name: str) -> str:
    return " ".join(re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").split()).lower()


def _closed(values: Sequence[JSON]) -> bool:
    """Whether these look like all there are: few words, each seen more than once."""
    if not all(isinstance(value, str) and 0 < len(value.split()) <= 3 for value in values):
        return False
    seen = Counter(values)
    return 2 <= len(seen) <= FEW and min(seen.values()) >= TWICE


def _quoted(pairs: Sequence[tuple[JSON, str]]) -> bool:
    """Whether each value stands in what it answers."""
    texts = [(value if isinstance(value, str) else canonical(value), said) for value, said in pairs]
    return bool(texts) and all(len(text) > 1 and text.casefold() in said.casefold() for text, said in texts)
