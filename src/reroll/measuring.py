"""A command's sessions: models opened and closed again, the price agreed, Ctrl-C caught; one session per variant."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

from reroll.arguments import Spending
from reroll.asking import asks_on_screen, person_of, price_agreed
from reroll.case import Case
from reroll.checking import Checker
from reroll.engine import Engine, run_draws
from reroll.listening import heard
from reroll.models.model import Model
from reroll.models.prices import FREE
from reroll.models.stepped import around, calls_at_most
from reroll.opening import checker_of, judges_of, model_of, run, stopping_cleanly
from reroll.options import can_be_capped, can_be_measured, on_cluster, options_of, whole_calls
from reroll.project import Project
from reroll.purse import Purse
from reroll.runs import Room
from reroll.session import Options, Session, Spent
from reroll.store import Store

__all__ = ["with_sessions"]

T = TypeVar("T")


def with_sessions(
    projects: Sequence[Project],
    store: Store,
    spending: Spending,
    cases: Sequence[Case],
    priced: Sequence[Case],
    work: Callable[[Sequence[Session]], Coroutine[Any, Any, T]],
    controls: bool = False,
    names: Sequence[str] = ("baseline",),
    alone: bool = False,
    anew: int = 0,
    own_runs: bool = False,
) -> T:
    """What `work` makes of a session per project (a variant of one program); they share what is spent.

    Args: cases: all that may be drawn; priced: those that the price is estimated by; controls: whether
        control cases may be drawn besides; names: what each project's samples are stored under; alone: draw from the
        models alone, without the steps that their programs have around them; anew: how often at most a judge is asked
        about the same answers again; own_runs: nothing that is stored of the cases is judged.
    Raises: UsageError before anything is called, where it could not work or nobody agrees to the price.
    """
    from reroll.render.live import Progress

    options, person = options_of(spending), person_of(spending)
    quiet = spending.quiet or any(asks_on_screen(spending, case) for case in cases)
    for project in projects:
        can_be_measured(project.program, project.path)
        for case in cases:
            project.program.render(case.input, case.history)  # a missing input is known before anything is called

    async def opened() -> T:
        async with AsyncExitStack() as open_now:
            models = _models(projects, options, open_now)
            judges = open_now.enter_context(judges_of(store, projects[0], options))
            checker = open_now.enter_context(checker_of(projects[0], judges, person))
            each = models if alone else [around(m, p.program, checker) for m, p in zip(models, projects, strict=True)]
            dearest = next((m for m in each if not m.priced), each[0])
            stored = 0 if own_runs else sum(_stored(store, checker, projects, names, case) for case in cases)
            whose = projects[each.index(dearest)]
            price_agreed(whose, priced, dearest, options, spending, controls=controls, stored=stored, anew=anew)
            engines = await _engines(projects, each, spending, open_now)
            progress = open_now.enter_context(Progress(quiet=quiet))
            here = all(p.program.model.partition(":")[0] in FREE for p in projects)
            free = here and not any(case.asks_a_model for case in cases)
            spent = judges.spent = Spent(purse=_purse(store, options, each), free=free)
            room = Room()
            sessions = [
                Session(
                    p,
                    store,
                    m,
                    checker,
                    replace(options, concurrency=options.concurrency or m.concurrency * width),
                    heard(progress.update),
                    spent,
                    fresh=spending.fresh,
                    variant=name,
                    yardstick=projects[0].program,
                    engine=engine,
                    room=room,
                )
                for p, m, name, (engine, width) in zip(projects, each, names, engines, strict=True)
            ]
            with stopping_cleanly(*sessions):
                return await work(sessions)

    return run(opened())


def _models(projects: Sequence[Project], options: Options, open_now: AsyncExitStack) -> list[Model]:
    """The model of each project, opened once for all that have the same. Raises: UsageError where it cannot be held
    to what the options say."""
    models: dict[tuple[str, str | None], Model] = {}
    for project in projects:
        at = (project.program.model, project.program.base_url)
        if at not in models:
            models[at] = model_of(*at, project.path)
            open_now.push_async_callback(models[at].close)
            can_be_capped(models[at], options)
        whole_calls(models[at], project.program, options)
    return [models[p.program.model, p.program.base_url] for p in projects]


def _stored(store: Store, checker: Checker, projects: Sequence[Project], names: Sequence[str], case: Case) -> int:
    """How many stored runs of the case its judges have not judged yet: a rubric that changed judges them anew."""
    if not case.asks_a_model:
        return 0
    ids = checker.ids(case, projects[0].program)
    judging = [id for id, check in zip(ids, case.checks, strict=True) if any(c.kind == "judge" for c in check.walk())]
    programs = {project.program.id for project in projects}
    return store.count_unjudged(judging, case_id=case.id, source="draw", variant=set(names), program_id=programs)


def _purse(store: Store, options: Options, models: Sequence[Model]) -> Purse | None:
    if options.max_usd is None:
        return None
    return Purse(store, options.max_usd, most_calls=max(map(calls_at_most, models)))


async def _engines(
    projects: Sequence[Project], models: Sequence[Model], spending: Spending, open_now: AsyncExitStack
) -> list[tuple[Engine, int]]:
    """What draws for each project, and how many times as wide as its model likes; every model can be reached."""
    where = on_cluster(spending)
    if where is None:
        for model in dict.fromkeys(models):
            await model.check()
        return [(run_draws, 1)] * len(projects)
    from reroll.engine_ray import crew

    actors = await open_now.enter_async_context(crew(*where))
    return [(await actors.engine(p.program, p.path, m), actors.size) for p, m in zip(projects, models, strict=True)]
