"""What counts as right: a requirement on a completion, and the outcome of holding a sample against it.

Code that a user wrote (python) and models as judges run elsewhere, in checking.py, and come in
here as a function. Nothing in this file raises for what a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, cast

import re2
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from reroll.match import NotJSON, Span, clean, difference, excerpt, fill_known, names_used, parse, show, span_of
from reroll.program import canonical, content_id
from reroll.requirement import KINDS, Wrong, kind_schema, response_validator, verify, what_it_asks
from reroll.rubric import prompt_id
from reroll.sample import Completion, Sample, function_of, made_often

__all__ = [
    "KINDS",
    "UNSURE",
    "Check",
    "Foreign",
    "Outcome",
    "OutcomeWord",
    "Surroundings",
    "judge_sample",
    "judge_told",
    "overall",
]

OutcomeWord = Literal["pass", "fail", "invalid"]
Marks = tuple[Span, ...]
UNSURE = "the person was unsure"  # the one invalid outcome of a person that is their verdict


@made_often
class Outcome:
    """What one check says of one sample, with the reason in words.

    `marks` are spans of the completion's text (start, end in characters) that show what failed.
    `broken`: invalid because of the check, not of the sample (it crashed, took too long, said
    nonsense): once the check is mended, the same sample may have an outcome.
    """

    outcome: OutcomeWord
    reason: str
    check: str = ""
    marks: Marks = ()
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check may look at besides the sample: the program's response schema, the case's input and answer.

    `asked`: what the answer answers, as a judge is shown it; known where one is to judge.
    """

    response: Mapping[str, Any] | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    expected: Any = None
    asked: str = ""
    case_id: str = ""

    @property
    def known(self) -> dict[str, Any]:
        """The names that a check may write in braces. `expected` is known only where the case has it."""
        return {**self.input, **({} if self.expected is None else {"expected": self.expected})}


class Check(BaseModel):
    """One requirement on a completion. In a file: `{name?: ..., <kind>: <value>}`, with exactly one kind.

    >>> Check.of("json", {"date": "2026-11-27"}, name="right-date").model_dump()
    {'name': 'right-date', 'json': {'date': '2026-11-27'}}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    kind: str
    value: Any

    @classmethod
    def of(cls, kind: str, value: Any, name: str | None = None) -> Check:
        """The check that a file would write as `{name: ..., kind: value}`. Raises: pydantic.ValidationError."""
        return cls.model_validate({kind: value} if name is None else {"name": name, kind: value})

    @model_validator(mode="before")
    @classmethod
    def _from_form(cls, form: Any) -> Any:
        try:
            return _read(form, cls)
        except Wrong as wrong:
            error = InitErrorDetails(
                type=PydanticCustomError("check", "{problem}", {"problem": str(wrong)}), loc=wrong.path, input=form
            )
            raise ValidationError.from_exception_data("Check", [error]) from None

    @model_serializer(mode="plain")
    def form(self) -> dict[str, Any]:
        """The check as a file writes it."""
        named = {} if self.name is None else {"name": self.name}
        return {**named, self.kind: _plain(self.value)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        schema.clear()
        # Not a plain $ref: pydantic resolves those while the schema is still being made.
        schema.update({"$dynamicAnchor": "check", **kind_schema({"$dynamicRef": "#check"})})
        return schema

    @property
    def id(self) -> str:
        """Content id of kind and value; the name is not part of it, nor is the source of a python check."""
        return self.identity()

    def identity(self, surroundings: Surroundings | None = None, sources: Mapping[str, str] | None = None) -> str:
        """Content id of all that decides this check's outcomes on a sample.

        Covers the value with its placeholders filled, for `schema: true` what the program's response asks (a field that
        is described better is judged as before), for python checks the content hash of the file (`sources` maps its
        name, `checks`, to it), and for a judge all that it is sent besides the answer.
        """
        return content_id("k1", _content(self, surroundings, sources or {}))

    def walk(self) -> Iterable[Check]:
        """This check and all that it is made of."""
        yield self
        for part in _parts(self.value):
            yield from part.walk()

    def names_used(self) -> set[str]:
        """The {names} that its values mention, nested checks included."""
        return {c for check in self.walk() if check.kind not in ("python", *COMBINE) for c in names_used(check.value)}


COMBINE = ("all", "any", "not")


def _parts(value: Any) -> tuple[Check, ...]:
    if isinstance(value, Check):
        return (value,)
    return value if isinstance(value, tuple) else ()


def _plain(value: Any) -> Any:
    if isinstance(value, Check):
        return value.form()
    return [c.form() for c in value] if isinstance(value, tuple) else value


def _read(form: Any, cls: type[Check]) -> dict[str, Any] | Check:
    """The fields of a check from the form that a file writes. Raises: Wrong, with the path inside the form."""
    if isinstance(form, Check):
        return form
    if isinstance(form, Mapping) and set(form) - {"name"} == {"kind", "value"}:
        form = {**({"name": form["name"]} if "name" in form else {}), form["kind"]: form["value"]}  # from Python
    kind, value, name = verify(form)
    if kind not in COMBINE:
        return {"name": name, "kind": kind, "value": value}
    parts = []
    for i, inner in enumerate([value] if kind == "not" else value):
        where: tuple[str | int, ...] = (kind,) if kind == "not" else (kind, i)
        try:
            parts.append(inner if isinstance(inner, Check) else cls.model_validate(inner))
        except ValidationError as error:
            first = error.errors()[0]
            raise Wrong(str(first.get("ctx", {}).get("problem", first["msg"])), (*where, *first["loc"])) from None
    return {"name": name, "kind": kind, "value": parts[0] if kind == "not" else tuple(parts)}


def _content(check: Check, around: Surroundings | None, sources: Mapping[str, str]) -> list[Any]:
    if check.kind in COMBINE:
        return [check.kind, [_content(c, around, sources) for c in _parts(check.value)]]
    if check.kind == "python":
        return [check.kind, check.value, sources.get(check.value.partition(":")[0])]
    if around is None:
        return [check.kind, check.value]
    if check.kind == "judge":  # another question to it, or other words of ours around it, is another check
        return [check.kind, judge_told(check, around), sources.get(check.value["model"]), prompt_id(), around.asked]
    if check.kind == "schema" and check.value is True:
        return [check.kind, what_it_asks(around.response) if around.response is not None else None]
    return [check.kind, fill_known(check.value, around.known)]


def judge_told(check: Check, around: Surroundings) -> dict[str, Any]:
    """What a judge check says, with the {names} of its rubric filled."""
    return {**check.value, "rubric": _text(fill_known(check.value["rubric"], around.known))}


# -- judging

Foreign = Callable[[Check, Sample, Surroundings], Outcome]
"""Runs a python or judge check on one sample; its outcome is invalid where it crashed."""


def judge_sample(
    check: Check,
    sample: Sample,
    surroundings: Surroundings,
    foreign: Foreign | None = None,
    name: str | None = None,
) -> Outcome:
    """What this check says of this sample. Never raises: a check that crashes is invalid, with its name.

    Args: foreign: runs python and judge checks (checking.Checker has one); name: stands in the
        outcome instead of the check's own.
    """
    name = name or check.name or check.kind
    if sample.error is not None:
        return Outcome("invalid", sample.error, name)
    try:
        found = _judge(check, sample, surroundings, foreign)
    except Exception as error:
        found = Outcome("invalid", f"check {name} crashed: {show_error(error)}", broken=True)
    marks = found.marks if found.outcome == "fail" else ()
    return Outcome(found.outcome, clean(found.reason), name, marks, found.broken)


def show_error(error: BaseException) -> str:
    """An exception as `KeyError('id')`, cut to a line."""
    return clean(" ".join(f"{type(error).__name__}({', '.join(map(repr, error.args))})".split()))[:300]


def overall(outcomes: Iterable[Outcome]) -> Outcome:
    """One outcome from several: any fail is a fail, else any invalid is invalid, else a pass.

    Of several invalid ones a broken one, since mending it may change the whole.
    """
    found = sorted(outcomes, key=lambda o: not o.broken)
    for word in ("fail", "invalid"):
        for outcome in found:
            if outcome.outcome == word:
                return outcome
    if not found:
        return Outcome("invalid", "this case has no checks")
    return Outcome("pass", "passed " + ", ".join(o.check for o in found) if len(found) > 1 else found[0].reason)


def _judge(
    check: Check, sample: Sample, around: Surroundings, foreign: Foreign | None, turned: bool = False
) -> Outcome:
    """The outcome of a check, or, where `turned`, of a part of a `not`: its pass then counts against the sample."""
    if check.kind in COMBINE:
        turn = turned or check.kind == "not"
        inner = [_judge_part(c, sample, around, foreign, turn) for c in _parts(check.value)]
        found = _combine(check.kind, inner)
    else:
        found = _judge_one(check, sample, around, foreign)
    if turned or found.outcome != "pass" or sample.completion is None:
        return found
    unfit = _unfit(check, sample.completion, around)
    return found if unfit is None else Outcome("fail", unfit)


def _judge_one(check: Check, sample: Sample, around: Surroundings, foreign: Foreign | None) -> Outcome:
    kind = check.kind
    if kind == "reward":
        return _reward(check.value, sample)
    if sample.completion is None:
        return Outcome("invalid", f"only a reward was recorded, no completion, so `{kind}` has nothing to look at")
    if kind in ("python", "judge", "person"):
        if foreign is None:
            return Outcome("invalid", f"`{kind}` checks cannot run here", broken=True)
        return foreign(check, sample, around)
    found = _JUDGES[kind](check.value, sample.completion, around)
    return _with_ending(found, sample.completion)


def _judge_part(check: Check, sample: Sample, around: Surroundings, foreign: Foreign | None, turned: bool) -> Outcome:
    """Like judge_sample, but with the marks of a pass, which `not` turns into the marks of a fail."""
    try:
        return replace(_judge(check, sample, around, foreign, turned), check=check.name or check.kind)
    except Exception as error:
        return Outcome("invalid", f"check {check.name or check.kind} crashed: {show_error(error)}", broken=True)


# -- answers that did not come to an end

CUT = ("length", "max_tokens")  # finish reasons of servers that stopped at the limit
SEE_ALL = ("python", "judge", "person", "reward")  # they are given the whole sample, so what they say holds
SEE_PART = ("contains", "matches", "tool_call")  # what they found in the beginning stays found


def _endings(completion: Completion) -> Iterator[tuple[str, str]]:
    """Each way in which this is no whole answer, with the words for it."""
    if completion.finish_reason == "content_filter":
        yield "filtered", "stopped by the content filter"
    if completion.refusal or completion.finish_reason == "refusal":
        yield "refused", f"refused: {excerpt(completion.refusal or completion.text)}"
    if completion.finish_reason in CUT:
        yield "cut", "cut off by max_tokens"
    if not completion.text.strip() and not completion.tool_calls:
        yield "empty", "empty answer"


def _unfit(check: Check, completion: Completion, around: Surroundings) -> str | None:
    """Why this answer cannot pass this check, whatever its text says; None if it can.

    An answer that never says no is not right for having refused. `all` and `any` have nothing of
    their own here: their parts were asked.
    """
    endings = list(_endings(completion))
    if not endings or check.kind in ("all", "any") or all(c.kind in (*SEE_ALL, *COMBINE) for c in check.walk()):
        return None
    asked_empty = check.kind == "equals" and not _text(fill_known(check.value, around.known)).strip()
    for ending, words in endings:
        if not (ending == "cut" and check.kind in SEE_PART) and not (ending == "empty" and asked_empty):
            return words
    return None


def _with_ending(found: Outcome, completion: Completion) -> Outcome:
    """A failure says so when the answer did not end by itself."""
    if found.outcome != "fail":
        return found
    if completion.finish_reason in CUT:
        return replace(found, reason=f"{found.reason} (the answer was cut off at max_tokens)")
    if completion.finish_reason == "content_filter":
        return replace(found, reason=f"{found.reason} (stopped by the content filter)")
    if completion.refusal:
        return replace(found, reason=f"{found.reason} (the model refused: {excerpt(completion.refusal)})")
    return found


def _combine(kind: str, inner: list[Outcome]) -> Outcome:
    if kind == "not":
        (one,) = inner
        if one.outcome == "invalid":
            return one
        if one.outcome == "fail":
            return Outcome("pass", f"as it should not: {one.reason}")
        return Outcome("fail", f"should not hold, but does: {one.reason}", marks=one.marks)
    inner = sorted(inner, key=lambda o: not o.broken)  # mending a broken part may change the whole
    by_word = {word: [o for o in inner if o.outcome == word] for word in ("pass", "fail", "invalid")}
    first, last = ("fail", "pass") if kind == "all" else ("pass", "fail")
    for word in (first, "invalid"):
        if by_word[word]:
            return by_word[word][0]
    marks = tuple(dict.fromkeys(m for o in inner for m in o.marks))
    reasons = (" and " if last == "pass" else "; ").join(dict.fromkeys(o.reason for o in inner))
    return Outcome(cast(OutcomeWord, last), reasons if last == "pass" else f"none of these: {reasons}", marks=marks)


def _reward(value: float, sample: Sample) -> Outcome:
    if sample.reward is None:
        return Outcome("invalid", "no reward was recorded")
    if sample.reward >= value:
        return Outcome("pass", f"the recorded reward is {sample.reward:g}")
    return Outcome("fail", f"the recorded reward is {sample.reward:g}, below {value:g}")


def _whole(text: str) -> Marks:
    body = text.strip()
    return ((text.find(body), text.find(body) + len(body)),) if body else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _equals(value: str, completion: Completion, around: Surroundings) -> Outcome:
    wanted, text = _text(fill_known(value, around.known)).strip(), completion.text
    if text.strip() == wanted:
        return Outcome("pass", f"is {excerpt(wanted)}", marks=_whole(text))
    return Outcome("fail", f"is {excerpt(text.strip())}, expected {excerpt(wanted)}", marks=_whole(text))


def _contains(value: str | list[str], completion: Completion, around: Surroundings) -> Outcome:
    wanted = [_text(w) for w in fill_known([value] if isinstance(value, str) else value, around.known)]
    text = completion.text
    if missing := next((w for w in wanted if w not in text), None):
        return Outcome("fail", f"does not contain {excerpt(missing)}")
    marks = tuple((text.find(w), text.find(w) + len(w)) for w in wanted)
    return Outcome("pass", "contains " + " and ".join(excerpt(w) for w in wanted), marks=marks)


# `\p{Greek}` and `\x{e9}` are not placeholders, whatever the inputs are called.
ESCAPED = re.compile(r"(\\[pPx]\{[^}]*\})")


def _pattern(value: str, around: Surroundings) -> str:
    known = around.known
    pieces = ESCAPED.split(value)
    return "".join(p if i % 2 else fill_known(p, known, _quoted) for i, p in enumerate(pieces))


def _quoted(text: str) -> str:
    return f"(?:{re2.escape(clean(text))})"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _matches(value: str, completion: Completion, around: Surroundings) -> Outcome:
    pattern = _pattern(value, around)
    found = _compiled(pattern).search(clean(completion.text))
    if found is None:
        return Outcome("fail", f"nothing matches {excerpt(pattern)}")
    return Outcome("pass", f"{excerpt(found.group(0))} matches {excerpt(pattern)}", marks=(found.span(),))


def _json(value: Any, completion: Completion, around: Surroundings) -> Outcome:
    wanted = fill_known(value, around.known)
    try:
        actual = parse(completion.text)
    except NotJSON as error:
        return Outcome("fail", str(error), marks=error.marks)
    differs = difference(actual, wanted)
    if differs is None:
        held = span_of(completion.text, ())
        return Outcome("pass", f"has {show(wanted)}", marks=(held,) if held else ())
    path, words = differs
    where = span_of(completion.text, path) if path or not isinstance(actual, dict) else None
    return Outcome("fail", words, marks=(where,) if where else ())


def _schema(value: Any, completion: Completion, around: Surroundings) -> Outcome:
    schema = around.response if value is True else fill_known(value, around.known)
    if schema is None:
        return Outcome("invalid", "`schema: true` needs a `response` in program.yaml, and there is none", broken=True)
    try:
        actual = parse(completion.text)
    except NotJSON as error:
        return Outcome("fail", str(error), marks=error.marks)
    problem = response_validator(canonical(schema))(actual)
    if problem is None:
        return Outcome("pass", "has the right shape", marks=_whole(completion.text))
    where = span_of(completion.text, problem.path) if problem.path else None
    return Outcome("fail", problem.words, marks=(where,) if where else ())


def _tool_call(value: Mapping[str, Any], completion: Completion, around: Surroundings) -> Outcome:
    wanted, problem = fill_known(value, around.known), ""
    for call in completion.tool_calls:
        function = function_of(call)
        if function.get("name") != wanted["name"]:
            continue
        given = function.get("arguments") or {}
        try:
            given = parse(given) if isinstance(given, str) else given
        except NotJSON as error:
            problem = problem or f"arguments of {wanted['name']} are {error}"
            continue
        differs = difference(given, wanted.get("arguments", {}), ("arguments",))
        if differs is None:
            return Outcome("pass", f"calls {wanted['name']}")
        problem = problem or f"calls {wanted['name']}, but {differs[1]}"
    called = ", ".join(str(function_of(c).get("name")) for c in completion.tool_calls) or "nothing"
    return Outcome("fail", problem or f"does not call {wanted['name']} (calls {called})")


_JUDGES: dict[str, Callable[[Any, Completion, Surroundings], Outcome]] = {
    "equals": _equals,
    "contains": _contains,
    "matches": _matches,
    "json": _json,
    "schema": _schema,
    "tool_call": _tool_call,
}
