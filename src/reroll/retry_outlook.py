"""What a fix that adds one retry step is to deliver: foretold from runs without it, of the store or of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reroll.case import Case
from reroll.check import overall
from reroll.models.stepped import ProjectHooks
from reroll.program import Program, Request
from reroll.retry_forecast import Flags, foretell_retry
from reroll.sample import Sample
from reroll.scored import Forecast
from reroll.session import Session, outcomes_of, slots
from reroll.step_forms import Retry, most_calls, steps_of
from reroll.steps import Broken, asks_again
from reroll.trial import Trial, only_adds_steps

__all__ = ["from_store", "from_trial", "retry_of"]

MOST = 100  # runs of an input that are looked at, the newest
FEWEST = 8  # runs, with fewer nothing is foretold


def retry_of(before: Program, after: Program) -> Retry | None:
    """The retry step that the second program has more than the first, and that alone; None where it is anything else,
    or where other steps draw again, too, so that a call is not a run.

    >>> plain = Program(program="p")
    >>> retry_of(plain, plain.model_copy(update={"steps": ({"step": "retry", "when": {"completion": "x"}},)})).times
    1
    """
    if not only_adds_steps(before, after) or len(after.steps) != len(before.steps) + 1:
        return None
    *others, last = steps_of(after)
    return last if isinstance(last, Retry) and most_calls(others) == 1 else None


def from_store(session: Session, after: Program, sets: Sequence[tuple[str, Sequence[Case]]]) -> Forecast | None:
    """Foretold from runs of the program as it is, whichever question they were made for: of the first of these sets
    that has enough; None where the fix is no retry, or there are too few."""
    step = retry_of(session.project.program, after)
    if step is None:
        return None
    for of, cases in sets:
        runs = []
        for case in cases:
            at = slots(session, case)
            stored = session.store.samples(request_id=at.request_id, source="draw", newest=True, limit=MOST)
            said = outcomes_of(session, at, {one.id: one.sample for one in stored})
            runs.append((case, [(one.sample, overall(said[one.id]).outcome) for one in stored]))
        if (found := _foretold(session, step, of, runs)) is not None:
            return found
    return None


def from_trial(trial: Trial, name: str, sets: Sequence[str]) -> Forecast | None:
    """Foretold from the baseline's runs in a trial, as `from_store`."""
    session = trial.baseline.session
    step = retry_of(trial.baseline.program, trial.variant(name).program)
    if step is None:
        return None
    for of in sets:
        cases = trial.sets.get(of, ())
        judged = [list(runs.first(MOST)) for runs in trial.baseline.runs.get(of, ())]
        runs = [
            (case, [(one.stored.sample, one.outcome.outcome) for one in these])
            for case, these in zip(cases, judged, strict=True)
        ]
        if (found := _foretold(session, step, of, runs)) is not None:
            return found
    return None


def _foretold(
    session: Session, step: Retry, of: str, runs: Iterable[tuple[Case, Sequence[tuple[Sample, str]]]]
) -> Forecast | None:
    """By input: whether each run was wrong, and whether the step would have asked again."""
    program = session.project.program
    hooks = ProjectHooks(session.checker, program)
    inputs = []
    for case, these in runs:
        request = program.render(case.input, case.history)
        judged = [(sample, word) for sample, word in these if word != "invalid"]
        try:
            inputs.append(Flags.of((word == "fail", _again(step, request, sample, hooks)) for sample, word in judged))
        except Broken:  # a check of the step cannot run, which the trial itself will say
            return None
    known = [one for one in inputs if one.n]
    if sum(one.n for one in known) < FEWEST:
        return None
    found = foretell_retry(known, step.times, session.options.alpha)
    return Forecast(of, len(known), found.after, found.calls, found.spread)


def _again(step: Retry, request: Request, sample: Sample, hooks: ProjectHooks) -> bool:
    """What a guard before it withheld is asked for again, whatever the step looks at."""
    if sample.completion is not None and sample.completion.finish_reason == "blocked":
        return sample.calls > 0
    return asks_again(step, request, sample, hooks)
