"""A change that is proposed, with its reason; and all that proposals are made from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reroll.answer import CauseSection
from reroll.case import Case, surroundings_of
from reroll.check import Check, Surroundings
from reroll.evidence import Est, Evidence
from reroll.fix import Fix
from reroll.match import NotJSON, difference, fill_known, parse
from reroll.program import Program, canonical, fill
from reroll.requirement import response_validator
from reroll.sample import Sample

__all__ = ["AUTHOR", "CUT", "Material", "Other", "Suggestion", "make", "named", "text_of_sample", "wrong_fields"]

JSON = Any
RARELY = 0.2  # of the failing answers: a field that fewer get wrong is not what they are about
AUTHOR = "reroll"  # who proposed it, where nobody else did
CUT = ("length", "max_tokens")  # finish reasons of answers that stopped at the limit


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One fix worth trying. because: the reason, in a sentence a colleague understands.

    predicted: how much less often the case would fail, where what is known says so: measured with the named part made
    neutral, or computed for tries and votes. A prediction is no result: only trying is.
    """

    fix: Fix
    because: str
    predicted: Est | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Another case of the project, with runs that passed and failed. None that a final number rests on: an answer that
    becomes an example is no longer unseen."""

    case: Case
    passing: tuple[Sample, ...] = ()
    failing: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Material:
    """All that proposals are made from: the case, what was found, what was answered."""

    program: Program
    case: Case
    cause: CauseSection | None
    failing: tuple[Sample, ...]
    passing: tuple[Sample, ...]
    failing_checks: tuple[str, ...]
    others: tuple[Other, ...] = ()

    @cached_property
    def evidence(self) -> Evidence:
        """The case's runs as counted: those of the section where there are more than were handed in."""
        rate = self.cause.rate if self.cause else None
        if rate is not None and rate.n > len(self.failing) + len(self.passing):
            return Evidence(rate.failures, rate.n, rate.invalid)
        return Evidence(len(self.failing), len(self.failing) + len(self.passing))

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The checks that failed; all of the case where none is named."""
        by_name = dict(zip(self.case.check_names(), self.case.checks, strict=True))
        found = tuple(by_name[name] for name in self.failing_checks if name in by_name)
        return found or self.case.checks

    @property
    def around(self) -> Surroundings:
        return surroundings_of(self.case, self.program)

    @cached_property
    def pinned(self) -> tuple[str, ...]:
        """Fields of the answer that the failing checks found wrong, the one that most failing answers got wrong first;
        where no answer shows it, those that the checks name."""
        seen: Counter[str] = Counter()
        for sample in self.failing:
            for check in self.checks:
                seen.update(set(_wrong_fields(check, sample, self.around)))
        named = [name for check in self.checks for name in _named_fields(check)]
        fields = self.fields or dict.fromkeys([*seen, *named])
        often = [name for name, n in seen.most_common() if n >= RARELY * len(self.failing)]
        ordered = often or named
        return tuple(dict.fromkeys(name for name in ordered if name in fields))

    @property
    def fields(self) -> Mapping[str, JSON]:
        """The fields of the answer, with the schema of each; none for a program whose answers have no schema."""
        found = (self.around.response or {}).get("properties", {})
        return {name: schema for name, schema in found.items() if isinstance(schema, Mapping)}

    def values(self, samples: Sequence[Sample], field: str) -> list[JSON]:
        """What these answers have at a field, where they have it."""
        return [value[field] for value in map(_object, samples) if value is not None and field in value]

    def asked(self, other: Other) -> str | None:
        """Another case's request as the model reads it; None where it is no single message of text."""
        if self.program.raw is not None or self.program.is_product or other.case.history:
            return None
        return fill(self.program.user, other.case.input)

    @cached_property
    def unreadable(self) -> float:
        """Share of the failing answers that are no JSON of the program's shape."""
        if self.around.response is None or not self.failing:
            return 0.0
        fits = response_validator(canonical(self.around.response))
        values = [_value(sample) for sample in self.failing]
        return sum(value is None or fits(value) is not None for value in values) / len(values)


def wrong_fields(material: Material, other: Other) -> tuple[str, ...]:
    """Fields that another case's failing answers got wrong."""
    around = surroundings_of(other.case, material.program)
    found = [f for sample in other.failing for check in other.case.checks for f in _wrong_fields(check, sample, around)]
    return tuple(dict.fromkeys(found))


def make(
    name: str, kind: str, target: str | None, because: str, predicted: Est | None = None, /, **settings: JSON
) -> Suggestion:
    """A suggestion of a fix of this name."""
    fix = Fix.model_validate({"fix": named(name), "kind": kind, "target": target, "author": AUTHOR, **settings})
    return Suggestion(fix, because, predicted)


def named(words: str) -> str:
    """Words as a fix is called.

    >>> named("describe response.due_date")
    'describe-response-due-date'
    """
    return "-".join("".join(char if char.isalnum() else " " for char in words).lower().split()) or "fix"


def text_of_sample(sample: Sample) -> str | None:
    """A whole answer's text; None for an error, a refusal, a tool call or an answer that was cut off."""
    done = sample.completion
    if done is None or done.refusal or done.tool_calls or done.finish_reason in CUT or not done.text.strip():
        return None
    return done.text.strip()


def _value(sample: Sample) -> JSON:
    if sample.completion is None:
        return None
    try:
        return parse(sample.completion.text)
    except NotJSON:
        return None


def _object(sample: Sample) -> dict[str, JSON] | None:
    value = _value(sample)
    return value if isinstance(value, dict) else None


def _wrong_fields(check: Check, sample: Sample, around: Surroundings) -> Iterator[str]:
    """The first field of an answer that this check finds wrong; nothing where it looks at no field."""
    value = _object(sample)
    if check.kind in ("all", "any"):
        for part in check.value:
            yield from _wrong_fields(part, sample, around)
    elif value is None:
        return
    elif check.kind in ("json", "equals"):
        wanted = fill_known(check.value, around.known)
        if isinstance(wanted, str):
            wanted = _loaded(wanted)
        for key in wanted if isinstance(wanted, Mapping) else ():
            if difference(value, {key: wanted[key]}) is not None:
                yield str(key)
    elif check.kind == "schema":
        schema = around.response if check.value is True else fill_known(check.value, around.known)
        problem = response_validator(canonical(schema))(value) if schema is not None else None
        if problem is not None and problem.path:
            yield str(problem.path[0])


def _named_fields(check: Check) -> Iterator[str]:
    if check.kind in ("all", "any"):
        for part in check.value:
            yield from _named_fields(part)
    elif check.kind == "json" and isinstance(check.value, Mapping):
        yield from map(str, check.value)


def _loaded(text: str) -> JSON:
    try:
        return json.loads(text)
    except ValueError:
        return None
