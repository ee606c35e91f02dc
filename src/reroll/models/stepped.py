"""A model with the steps of a program around it: one draw is what the product's user would get."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.case import Case
from reroll.check import Check, Outcome
from reroll.checking import Checker
from reroll.errors import RerollError, UsageError
from reroll.models.model import Draw, Model, Wrapping
from reroll.numbers import counts
from reroll.program import Program, Request, content_id, ordered
from reroll.sample import Sample, Usage
from reroll.step_forms import functions_of, step_checks, steps_of
from reroll.step_record import Taken, record, taken
from reroll.steps import FREE, Step, Stepped, WrongStep, most_calls, run

__all__ = ["ProjectHooks", "SteppedModel", "around", "calls_at_most", "is_cut", "left_out", "steps_identity"]


class ProjectHooks:
    """Checks and patches of one project: its python in the checker's child process, within its time limit."""

    def __init__(self, checker: Checker, program: Program) -> None:
        self.checker, self.program = checker, program
        self._judges: dict[int, tuple[Check, Any]] = {}  # by the very check, which is kept so that its id stays its own

    def check(self, checks: Sequence[Check], sample: Sample) -> Sequence[Outcome]:
        """An outcome for each check; one that cannot run is an invalid outcome."""
        found: list[Outcome] = []
        for check in checks:
            known = self._judges.get(id(check))
            if known is None:
                judge = self.checker.judging(Case(id="step", checks=(check,)), self.program)
                known = self._judges[id(check)] = check, judge
            found += known[1](sample)
        return found

    def call(self, function: str, value: Mapping[str, Any]) -> Any:
        """What the function makes of the text. Raises: Broken; UsageError where it was given up."""
        return self.checker.patched(function, value)

    def ready(self, functions: Iterable[str]) -> None:
        """Raises: UsageError where one of these was given up: then no call is worth its price."""
        for function in functions:
            self.checker.not_given_up(function)


class SteppedModel(Wrapping):
    """`inner` with steps around it. A draw makes as many calls as the steps ask for, one after the other.

    Its samples are what comes out: attempts of all calls, their usage added up, and in `raw` every call with what
    it brought (`step_record.taken` reads it). The identity is that of `inner` with `#steps:` and a hash of the steps,
    so that nothing that was measured with a bare model, or with other steps, is mixed with it.

    sources: what the steps do besides by content, such as hashes of the files of python functions.
    """

    def __init__(
        self, inner: Model, steps: Sequence[Step], hooks: ProjectHooks, *, sources: Mapping[str, str] | None = None
    ) -> None:
        self.inner, self.steps, self.hooks = inner, tuple(steps), hooks
        self.name = inner.name
        self.identity = f"{inner.identity}#{steps_identity(self.steps, sources)}"
        self.concurrency = inner.concurrency
        self.most_calls = most_calls(self.steps)
        # What runs in the child process is waited for elsewhere, so that other draws go on.
        self._functions = tuple(functions_of(self.steps))

    def __repr__(self) -> str:
        return f"<{self.identity}>"

    async def draw(self, draw: Draw) -> Sample:
        """One draw through the steps. A call, check or patch that fails is a sample with an error.

        Stopped between its calls (cancelled, or no further call can work), it returns what was paid for as a sample
        that `is_cut`; before its first call has come back, it raises as the model inside does.
        """
        drawn: list[Sample] = []
        sent: list[str] = []
        self.hooks.ready(self._functions)
        try:
            came = await self._through(draw, drawn, sent)
        except (asyncio.CancelledError, RerollError):
            if not any(one.calls for one in drawn):
                raise
            error = f"stopped in the middle, after {counts('call', len(drawn))}"
            return _settled(Stepped(Sample(error=error), len(drawn)), drawn, sent, draw.seed, cut=True)
        return _settled(came, drawn, sent, draw.seed)

    async def _through(self, draw: Draw, drawn: list[Sample], sent: list[str]) -> Stepped:
        """Go through the steps, adding what each call brings to `drawn`, and what it sent to `sent`."""
        going = run(self.steps, draw.request, self.hooks)
        came: Sample | None = None
        known: tuple[Request, str] | None = None
        while True:
            wanted = await asyncio.to_thread(_on, going, came) if self._functions else _on(going, came)
            if isinstance(wanted, Stepped):
                return wanted
            if known is None or known[0] is not wanted:
                known = wanted, wanted.id("")
            came = await self.inner.draw(self._asked(draw, wanted, len(drawn)))
            drawn.append(came)
            sent.append(known[1])

    def _asked(self, draw: Draw, request: Request, again: int) -> Draw:
        """The next call of this draw, with a seed of its own from the block that no other draw shares."""
        seed = None if draw.seed is None else (draw.seed + again) % (1 << 31)
        # A recording hands out a row for each index, and never the same row twice.
        recorded = self.name.startswith("recorded:")
        index = draw.index * self.most_calls + again if recorded else draw.index
        return replace(draw, request=request, index=index, seed=seed, again=again)


def _on(going: Generator[Request, Sample, Stepped], sent: Sample | None) -> Request | Stepped:
    """The next request, or what it all came to."""
    try:
        return next(going) if sent is None else going.send(sent)
    except StopIteration as done:
        end: Stepped = done.value
        return end


def _settled(
    came: Stepped, drawn: Sequence[Sample], sent: Sequence[str], seed: int | None, cut: bool = False
) -> Sample:
    withheld = came.replaced.completion.text if came.replaced and came.replaced.completion else None
    took = Taken(tuple(drawn), came.fired, came.stopped, withheld, cut, tuple(sent))
    return replace(
        came.sample,
        attempts=tuple(attempt for one in drawn for attempt in one.attempts),
        usage=_together(drawn),
        seed=seed if any(one.seed is not None for one in drawn) else None,
        raw=record(took),
        siblings=(),
        calls=took.calls,
    )


def _together(drawn: Sequence[Sample]) -> Usage:
    """The usage of all calls; None where one that brought something back does not tell."""
    if not drawn:
        return FREE

    def total(name: str) -> Any:
        known = [(getattr(one.usage, name), one.completion is not None) for one in drawn]
        told = [value for value, _ in known if value is not None]
        return sum(told) if told and not any(value is None and came for value, came in known) else None

    return Usage(*(total(name) for name in ("prompt_tokens", "completion_tokens", "usd", "cached_tokens")))


def steps_identity(steps: Sequence[Step], sources: Mapping[str, str] | None = None) -> str:
    """`steps:` and a hash of all that these steps do."""
    forms = [step.model_dump(mode="json", exclude_defaults=True) for step in steps]
    return content_id("steps", [ordered(forms), dict(sources or {})])


def around(model: Model, program: Program, checker: Checker) -> Model:
    """The model with the program's steps around it; itself where the program has none.

    Raises: UsageError for steps that make no sense; FileError where a function of theirs is missing.
    """
    try:
        steps = steps_of(program)
    except WrongStep as wrong:
        raise UsageError(f"program `{program.program}`: {wrong}", slug="steps") from None
    if not steps:
        return model
    sources = checker.source_hashes(functions_of(steps))
    checks = [inner for step in steps for check in step_checks(step) for inner in check.walk()]
    if any(inner.kind == "schema" and inner.value is True for inner in checks):
        sources["response"] = content_id("response", ordered(program.response))
    return SteppedModel(model, steps, ProjectHooks(checker, program), sources=sources)


def calls_at_most(model: Model) -> int:
    """How many calls one draw of this model may take: one, unless steps around it ask for more."""
    return model.most_calls if isinstance(model, SteppedModel) else 1


def left_out(model: Model, program: Program) -> tuple[str, ...]:
    """The caveat that a program's steps do not stand around this model; empty where there are none, or they do."""
    if not program.steps or isinstance(model, SteppedModel):
        return ()
    return (
        "the program's steps are left out here: this looks at what the model alone says; `rerun` measures the whole",
    )


def is_cut(sample: Sample) -> bool:
    """Whether this draw was stopped between its calls: kept since it was paid for, but no evidence."""
    return sample.error is not None and (took := taken(sample)) is not None and took.cut
