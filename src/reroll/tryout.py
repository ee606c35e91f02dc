"""Fixes tried from the first word to the stored verdict: their cases, their sessions, the trial, what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from reroll.case import Case
from reroll.engine import run_draws
from reroll.errors import ModelError, RerollError, UsageError
from reroll.evidence import Est
from reroll.fix import Fix
from reroll.gathering import Gathered
from reroll.halves import halves
from reroll.ideas_file import keep_fix
from reroll.levers import fitting
from reroll.match import excerpt
from reroll.models.model import bare
from reroll.models.registry import open_model
from reroll.models.stepped import around, calls_at_most
from reroll.numbers import counts
from reroll.piling import earlier_fixes, worths
from reroll.project import Project
from reroll.retry_outlook import from_store, from_trial
from reroll.reworded import Dropped
from reroll.scorecard import Rules, verdict_of
from reroll.scored import Tried, TryPrice, Worth, foretold_words
from reroll.session import Session
from reroll.settings import setting
from reroll.trial import only_adds_steps
from reroll.tried import concluded, remember_fixes
from reroll.trying import Asked, Course, Sets, may_go_on, price_of, try_fixes
from reroll.words import points

__all__ = ["Candidate", "candidates_of", "price_words", "sets_of", "try_out"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fix with the session of its program. because, predicted: of one that was suggested; `new`: it is in no file."""

    fix: Fix
    session: Session
    because: str = ""
    predicted: Est | None = None
    new: bool = False


def sets_of(project: Project, case: Case) -> Sets:
    """The four sets of a case, its neighbours in two halves. Raises: UsageError where a fix could not be judged."""
    if not case.checks:
        raise UsageError(f"case `{case.id}` has no checks, so nothing says what a right answer is", slug="no-check")
    of = [c for c in project.cases if c.of == case.id and c.checks]
    neighbours = [c for c in of if c.set == "neighbour"]
    if len(neighbours) < 2:
        have = "no neighbours" if not neighbours else "one neighbour only"
        raise UsageError(
            f"case `{case.id}` has {have}, so nothing tells a fix from a special case; "
            f"`reroll neighbours {case.id}` makes some, or write cases with `set: neighbour` and `of: {case.id}`",
            slug="no-neighbours",
        )
    choosing, sealed = halves(neighbours)
    lookalikes = tuple(c for c in of if c.set == "lookalike")
    control = tuple(c for c in project.cases if c.set == "control" and c.checks and c.id != case.id)
    if not control:  # then the project's other cases, whatever they were reported for
        control = tuple(c for c in project.cases if c.set == "case" and c.checks and c.id != case.id)
    idle = tuple(c for c in project.cases if not c.checks and (c.of == case.id or c.set == "control"))
    return Sets((case,), tuple(choosing), tuple(sealed), lookalikes, control, idle)


def price_words(price: TryPrice, rules: Rules) -> str:
    """What trying will take, before the first run."""
    harm = points(rules.margin, signed=False)
    return (
        "where the case fails half of the time, rejecting a special case takes up to about "
        f"{counts('call', price.reject)}, accepting a good fix about "
        f"{price.accept:,} (most of them to rule out a harm of {harm} on ordinary requests; --margin), "
        f"at the very most {price.most:,}; Ctrl-C stops it, --budget limits it"
    )


# ---------------------------------------------------------------- suggested ones, with sessions of their own


async def candidates_of(
    session: Session, gathered: Gathered, named: Sequence[Candidate], opened: AsyncExitStack
) -> tuple[list[Candidate], Gathered]:
    """Those that were named, and what was suggested besides, each with a session; and what is then said of the rest.

    A suggestion that was named, or stands in a file, keeps that name. One whose model cannot be asked is dropped.

    Args:    session: the program's as it is; opened: where further models are closed again.
    """
    out = list(named)
    dropped = list(gathered.dropped)
    taken = {one.fix.fix for one in named}
    for one in gathered.suggestions:
        place = next((k for k, there in enumerate(named) if there.fix.id == one.fix.id), None)
        if place is not None:
            out[place] = replace(out[place], because=one.because, predicted=one.predicted)
            continue
        there = next((fix for fix in session.project.fixes if fix.id == one.fix.id), None)
        fix = there or one.fix.model_copy(update={"fix": _free(one.fix.fix, taken, session.project)})
        try:
            beside = await _beside(session, fix, opened)
        except (ModelError, UsageError) as problem:
            dropped.append(Dropped("", f"{fix.fix} ({fix.kind})", str(problem)))
            continue
        taken.add(fix.fix)
        out.append(Candidate(fix, beside, one.because, one.predicted, new=there is None))
    return out, replace(gathered, dropped=tuple(dropped))


def _free(name: str, taken: set[str], project: Project) -> str:
    """The name, or the first like it that neither another fix nor a file has."""
    used = taken | {fix.fix for fix in project.fixes}
    k, free = 2, name
    while free in used or (project.path / "fixes" / f"{free}.yaml").exists():
        free, k = f"{name}-{k}", k + 1
    return free


async def _beside(session: Session, fix: Fix, opened: AsyncExitStack) -> Session:
    """A session of the fixed program that spends what the first one does; where another model answers, that is opened.

    Raises:  ModelError, UsageError: where it cannot be asked.
    """
    here = session.project.program
    program = fitting(fix, here)
    model = bare(session.model)
    if (program.model, program.base_url) != (here.model, here.base_url):
        model = open_model(
            program.model,
            base_url=program.base_url,
            project=session.project.path,
            timeout=setting("timeout"),
            tries=setting("tries"),
        )
        opened.push_async_callback(model.close)
        await model.check()
        if session.options.max_usd is not None and not model.priced:
            raise UsageError(f"nobody knows the price of {program.model}, so --max-usd could not stop it", slug="price")
    model = around(model, program, session.checker)
    if session.spent.purse is not None:
        session.spent.purse.most_calls = max(session.spent.purse.most_calls, calls_at_most(model))
    project = replace(session.project, program=program)
    # Actors of a cluster were set up for the programs that were known before.
    return session.like(project=project, model=model, variant=fix.fix, yardstick=session.judging, engine=run_draws)


# ---------------------------------------------------------------- the trial


async def try_out(
    first: Session,
    sets: Sets,
    rules: Rules,
    candidates: Sequence[Candidate],
    told: Callable[[str], None],
    gathered: Gathered | None = None,
    named: Callable[[Tried], Tried] = lambda found: found,
) -> Tried:
    """The scorecards of these fixes as far as the budget goes, kept in the store; the accepted one that is in no file
    is written into one.

    Args:    first: the session of the program as it is; told: is given price and forecasts before the first run;
             gathered: where suggestions came from; named: what an answer becomes before it is kept.
    Raises:  ModelError, UsageError: as `try_fixes`.
    """
    rules = replace(rules, held_out=len(sets.neighbour))
    asked = Asked(sets, rules, first, [(one.fix.fix, one.fix, one.session) for one in candidates])
    _can_be_run(first, candidates)
    for session in (first, *(one.session for one in candidates)):
        first.store.put_program(session.project.program)
    for case in sets.all:
        first.store.put_case(case)
    before = first.project.program
    programs = {one.fix.fix: one.session.project.program for one in candidates}
    shared = all(only_adds_steps(before, after) for after in programs.values())
    reject, accept = price_of(sets, rules, len(candidates), shared=shared)
    price = TryPrice(reject, accept, first.options.budget)
    told(price_words(price, rules))
    near = (("neighbour", (*sets.choosing, *sets.neighbour)), ("case", sets.case))
    forecasts = {name: from_store(first, after, near) for name, after in programs.items()}
    for name, forecast in forecasts.items():
        if forecast is not None:
            told(f"`{name}` is {foretold_words(forecast)}")
    course = await try_fixes(asked)
    found = concluded(asked, course, price, await _piled_up(asked, course))
    cards = []
    for card, one in zip(found.fixes, candidates, strict=True):
        half = "choosing" if card.phase == "choosing" else "neighbour"
        forecast = from_trial(course.fixes[card.fix].trial, card.fix, (half, "case")) or forecasts[card.fix]
        cards.append(replace(card, because=one.because, predicted=one.predicted, forecast=forecast))
    dropped = () if gathered is None else gathered.dropped
    said = () if gathered is None else gathered.said
    caveats = (*found.caveats, *said, *_dropped_words(dropped))
    found = named(replace(found, fixes=tuple(cards), caveats=caveats, dropped=dropped))
    remember_fixes(asked, found, course.trials)
    return _written(first, found, candidates)


def _can_be_run(first: Session, candidates: Sequence[Candidate]) -> None:
    """Raises: UsageError for a fix that a recording cannot answer: it has none but its own completions."""
    if not bare(first.model).name.startswith("recorded:"):
        return
    for one in candidates:
        around_it = only_adds_steps(first.project.program, one.session.project.program)
        if not around_it or calls_at_most(one.session.model) > calls_at_most(first.model):
            raise UsageError(
                f"the model is a recording, which answers no request that `{one.fix.fix}` changes, and none twice; "
                "only patches that act on an answer can be tried on it",
                slug="fix",
            )


def _dropped_words(dropped: Sequence[Dropped]) -> list[str]:
    """What was proposed and is no use, in one sentence."""
    if not dropped:
        return []
    why = "; ".join(f"{excerpt(one.said, 40)} {one.why}".strip() for one in dropped[:3])
    more = f"; and {len(dropped) - 3} more" if len(dropped) > 3 else ""
    return [f"{counts('proposed change', len(dropped))} cannot be used: {why}{more}"]


def _written(session: Session, found: Tried, candidates: Sequence[Candidate]) -> Tried:
    """The accepted fix in a file of the project, so that `reroll apply` finds it; never over one that is there."""
    if found.best is None or found.verdict != "accept":
        return found
    one = next(one for one in candidates if one.fix.fix == found.best)
    if not one.new:
        return found
    try:
        path = keep_fix(session.project, one.fix, f"Suggested for case {found.case}, tried and accepted.")
    except (RerollError, OSError) as problem:
        return replace(found, caveats=(*found.caveats, f"`{found.best}` could not be written into a file: {problem}"))
    cards = tuple(
        replace(card, written=path.relative_to(session.project.path).as_posix()) if card.fix == found.best else card
        for card in found.fixes
    )
    return replace(found, fixes=cards)


async def _piled_up(asked: Asked, course: Course) -> dict[str, tuple[Worth, ...]]:
    """What earlier fixes still earn beside the one that is accepted."""
    best = course.best
    if best is None or not course.finished or verdict_of(course.fixes[best].states) != "accept":
        return {}
    session = next(s for name, _, s in asked.fixed if name == best)
    earlier = earlier_fixes(session, session.project.program, asked.sets.case[0])
    if not earlier:
        return {}
    stopped = course.stopped
    found = await worths(session, earlier, asked.rules.alpha, lambda calls: may_go_on(asked, course, calls))
    course.stopped = stopped or course.stopped
    return {best: found}
