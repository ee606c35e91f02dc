"""What a case's checks hold of the values in its input, and such a value changed in all places at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from reroll.case import Case
from reroll.check import Check
from reroll.match import fill_known
from reroll.moments import ANY_WEEKDAY, clocks, days, parsed_time
from reroll.paraphrase import english
from reroll.program import PLACEHOLDER, Program, canonical
from reroll.requirement import response_validator

__all__ = [
    "NUMBER",
    "WORDS",
    "Leaf",
    "Pinned",
    "Scalar",
    "changed",
    "leaves",
    "pinned",
    "program_texts",
    "words_replaced",
]

Scalar = str | int | float
Rewrite = Callable[[Scalar], Scalar]
Kind = Literal["text", "number", "date", "time", "truth"]
CLEAR = frozenset({"equals", "contains", "json", "schema", "tool_call", "matches", "all", "any", "not"})
RELATIVE = re.compile(r"\b(?:today|tonight|tomorrow|day after tomorrow)\b", re.I)
COUNTED = re.compile(r"\b(?:in|after|within)\s\w+\s(?:day|week|month|year|night)s?\b|\b(?:later|from now|ago)\b", re.I)
NUMBER = re.compile(
    r"(?<![\w.,:/-])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w.,:/-]*\d)|(?<![\w.,:/-])\d+(?:\.\d+)?(?![.,:/-]?\d|\w)"
)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
IDLE_KEYS = ("role", "type", "id", "name", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value that a check expects. path: where; turned: inside a `not`; pattern: a regular expression."""

    path: tuple[str | int, ...]
    value: Any
    turned: bool = False
    pattern: bool = False

    @property
    def kind(self) -> Kind:
        if isinstance(self.value, bool):
            return "truth"
        if isinstance(self.value, int | float):
            return "number"
        text = str(self.value).strip()
        if parsed_time(text) is not None and "-" not in text:
            return "time"
        found = days(text)
        if len(found) == 1 and len(found[0].text) + (9 if "T" in text else 0) >= len(text):
            return "date"
        return "number" if NUMBER.fullmatch(text) else "text"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A case as changes see it. texts: all that the model reads of it; leaves: what its checks expect.

    unsaid: kinds of expected values that stand nowhere in the texts, so that they may follow from others there.
    """

    case: Case
    program: Program
    seen: frozenset[str]
    texts: tuple[str, ...]
    numbers: tuple[Scalar, ...]
    leaves: tuple[Leaf, ...]
    unsaid: frozenset[Kind]
    around: tuple[str, ...] = field(default=())

    @property
    def clear(self) -> bool:
        """Whether every check can be read here: what code, a person or a model looks at cannot be."""
        return bool(self.case.checks) and all(c.kind in CLEAR for check in self.case.checks for c in check.walk())

    def reads_english(self, value: str) -> bool:
        """Whether each text with this value in it is English, or nothing but the value."""
        return all(english(text) or text.strip() == value for text in self.texts if value in text)


def pinned(case: Case, program: Program) -> Pinned:
    """What there is to change in a case, and what its checks say of it."""
    seen = frozenset(case.input) if program.is_product else frozenset(_names(program)) & frozenset(case.input)
    texts: list[str] = []
    numbers: list[Scalar] = []
    for value in [*(case.input[k] for k in case.input if k in seen), *map(_said, case.history)]:
        for one in _scalars(value):
            texts.append(one) if isinstance(one, str) else numbers.append(one)
    found = tuple(leaves(case))
    unsaid = frozenset(
        leaf.kind for leaf in found if not leaf.turned and not leaf.pattern and not _is_said(leaf, texts, numbers)
    )
    return Pinned(case, program, seen, tuple(texts), tuple(numbers), found, unsaid, tuple(program_texts(program)))


def program_texts(program: Program) -> list[str]:
    """All that the program itself says to the model, its examples apart."""
    said = [program.system_text(), PLACEHOLDER.sub(" ", program.user), *map(canonical, program.tools)]
    said += [text for turn in program.history for text in _scalars(_said(turn)) if isinstance(text, str)]
    return [*said, canonical(program.response)] if program.response else said


def _names(program: Program) -> set[str]:
    return {match[1] for match in PLACEHOLDER.finditer(program.user) if match[1]}


def _said(message: Mapping[str, Any]) -> Any:
    return {key: value for key, value in message.items() if key not in IDLE_KEYS}


def _scalars(value: Any) -> Iterator[Scalar]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _scalars(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _scalars(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


# -- what checks expect ------------------------------------------------------------------------------------------------


def leaves(case: Case) -> Iterator[Leaf]:
    """Every value that the checks of a case expect, with the case's own values in place of {names}."""
    known = {**case.input, **({} if case.expected is None else {"expected": case.expected})}
    for check in case.checks:
        yield from _of_check(check, known, False)


def _of_check(check: Check, known: Mapping[str, Any], turned: bool) -> Iterator[Leaf]:
    if check.kind in ("all", "any", "not"):
        inner = [check.value] if check.kind == "not" else check.value
        for one in inner:
            yield from _of_check(one, known, turned != (check.kind == "not"))
    elif check.kind in ("equals", "contains"):
        for value in _listed(fill_known(check.value, known)):
            yield Leaf((check.kind,), value, turned)
    elif check.kind == "matches":
        yield Leaf(("matches",), fill_known(check.value, known), turned, pattern=True)
    elif check.kind == "json":
        yield from _of_value(fill_known(check.value, known), ("json",), turned)
    elif check.kind == "tool_call":
        yield from _of_value(fill_known(check.value.get("arguments", {}), known), ("tool_call",), turned)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _of_value(value: Any, path: tuple[str | int, ...], turned: bool) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _of_value(inner, (*path, str(key)), turned)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _of_value(inner, (*path, i), turned)
    elif value is not None:
        yield Leaf(path, value, turned)


def _is_said(leaf: Leaf, texts: Sequence[str], numbers: Sequence[Scalar]) -> bool:
    """Whether this value stands in the texts as it is, or as an English text says it."""
    text = str(leaf.value).strip()
    if leaf.kind == "truth":
        return False
    if leaf.kind == "number":
        value = _number(text)
        word = WORDS[int(value)] if value in range(2, len(WORDS)) else None
        if value in numbers or (word and any(re.search(rf"\b{word}\b", one) for one in texts)):
            return True
        return any(_number(m.group()) == value for one in texts for m in NUMBER.finditer(one))
    if leaf.kind == "time":
        minutes = parsed_time(text)
        return any(minutes in clock.readings for one in texts for clock in clocks(one))
    if leaf.kind == "date":
        said = any(
            (day.month, day.day) == (wanted.month, wanted.day)
            for wanted in days(text)
            for one in texts
            for day in days(one)
        )
        relative = any(ANY_WEEKDAY.search(one) or RELATIVE.search(one) for one in texts)
        return said or (relative and not any(COUNTED.search(one) for one in texts))
    return any(text.casefold() in one.casefold() for one in texts)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


# -- changing ----------------------------------------------------------------------------------------------------------


def words_replaced(pairs: Mapping[str, str]) -> Callable[[Scalar], Scalar]:
    """Each of these words by the other, all at once, wherever it stands as a word of its own.

    >>> words_replaced({"Ana": "Ben", "Ben": "Ana"})("Ana, Ben's Banana")
    "Ben, Ana's Banana"
    """
    words = "|".join(re.escape(w) for w in sorted(pairs, key=len, reverse=True))
    pattern = re.compile(rf"(?:(?<!\w)|(?<=\\b))(?:{words})(?!\w)")

    def one(value: Scalar) -> Scalar:
        return pattern.sub(lambda match: pairs[match.group()], value) if isinstance(value, str) else value

    return one


def changed(of: Pinned, said: Rewrite, wanted: Rewrite, gone: Sequence[str] = ()) -> Case | None:
    """The case with `said` done to what the model reads and `wanted` to what its checks expect.

    None where that is no change of both, where a value that the checks take from the input would not follow, where
    the answer could not have the program's shape any more, or where one of `gone` is still to be read.
    """
    case = of.case
    try:
        new = case.model_copy(
            update={
                "input": {k: _mapped(v, said if k in of.seen else wanted) for k, v in case.input.items()},
                "history": tuple(
                    {k: v if k in IDLE_KEYS else _mapped(v, said) for k, v in m.items()} for m in case.history
                ),
                "expected": _mapped(case.expected, wanted),
                "checks": tuple(_check_mapped(check, wanted) for check in case.checks),
            }
        )
    except (ValidationError, ValueError):
        return None
    after = tuple(leaves(new))
    follows = tuple(Leaf(x.path, wanted(x.value), x.turned, x.pattern) for x in of.leaves)
    if after == of.leaves or after != follows or new.content_id == case.content_id:
        return None
    if not _fits(of.program, case, new) or _left(new, gone):
        return None
    return new


def _mapped(value: Any, rewrite: Rewrite) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped(inner, rewrite) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(inner, rewrite) for inner in value]
    return rewrite(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _check_mapped(check: Check, rewrite: Rewrite) -> Check:
    if check.kind in ("all", "any"):
        return Check.of(check.kind, [_check_mapped(c, rewrite).form() for c in check.value], check.name)
    if check.kind == "not":
        return Check.of("not", _check_mapped(check.value, rewrite).form(), check.name)
    if check.kind == "tool_call":
        arguments = _mapped(check.value.get("arguments", {}), rewrite)
        return Check.of("tool_call", {**check.value, "arguments": arguments}, check.name)
    return check if check.kind == "schema" else Check.of(check.kind, _mapped(check.value, rewrite), check.name)


def _left(case: Case, gone: Sequence[str]) -> bool:
    """Whether one of these words is still anywhere in the case, however it is written."""
    whole = canonical([case.input, list(case.history), case.expected, [check.form() for check in case.checks]])
    return any(re.search(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", whole, re.I) for word in gone)


def _fits(program: Program, before: Case, after: Case) -> bool:
    """Whether what is expected now fits the program's response schema, if what was expected before does."""
    if not program.response:
        return True
    fits = response_validator(canonical(_without_required(program.response)))
    for old, new in zip(before.checks, after.checks, strict=True):
        both = old.kind == "json" and isinstance(old.value, Mapping) and isinstance(new.value, Mapping)
        if both and fits(old.value) is None and fits(new.value) is not None:
            return False
    return True


def _without_required(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {k: _without_required(v) for k, v in schema.items() if k != "required" or not isinstance(v, list)}
    return [_without_required(one) for one in schema] if isinstance(schema, list) else schema
