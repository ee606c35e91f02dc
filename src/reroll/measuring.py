"""A command's sessions: models opened and closed again, the price agreed, Ctrl-C caught; one session per variant."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

from reroll.arguments import Spending
from reroll.asking import asks_on_screen, person_of, price_agreed
from reroll.case import Case
from reroll.engine import Engine, run_draws
from reroll.listening import heard
from reroll.models.model import Model
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
) -> T:
    """What `work` makes of a session per project (a variant of one program); they share what is spent.

    Args: cases: all that may be drawn; priced: those that the price is estimated by; controls: whether
        control cases may be drawn besides; names: what each project's samples are stored under; alone: draw from the
        models alone, without the steps that their programs have around them.
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
            models: dict[tuple[str, str | None], Model] = {}
            for project in projects:
                at = (project.program.model, project.program.base_url)
                if at not in models:
                    models[at] = model_of(*at, project.path)
                    open_now.push_async_callback(models[at].close)
                    can_be_capped(models[at], options)
            for project in projects:
                whole_calls(models[project.program.model, project.program.base_url], project.program, options)
            judges = open_now.enter_context(judges_of(store, projects[0], options))
            checker = open_now.enter_context(checker_of(projects[0], judges, person))
            each = [models[p.program.model, p.program.base_url] for p in projects]
            if not alone:
                each = [around(model, p.program, checker) for model, p in zip(each, projects, strict=True)]
            dearest = next((m for m in each if not m.priced), each[0])
            price_agreed(projects[each.index(dearest)], priced, dearest, options, spending, controls=controls)
            engines = await _engines(projects, each, spending, open_now)
            progress = open_now.enter_context(Progress(quiet=quiet))
            spent = judges.spent = Spent(purse=_purse(store, options, each))
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
