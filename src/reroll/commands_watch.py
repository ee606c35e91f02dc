"""The command `watch`: look again and again until it is ended, once, or over all that is stored."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from reroll.arguments import Common
from reroll.checking import Checker, no_judge
from reroll.errors import UsageError
from reroll.numbers import counts, percent
from reroll.opening import on_stop, project_of, store_of
from reroll.output import complain, print_json, say
from reroll.project import Project
from reroll.settings import setting
from reroll.store import Store
from reroll.watch_file import read_watch
from reroll.watch_overview import Overview, lines, overview, overview_of
from reroll.watch_rounds import Said
from reroll.watch_rounds import replay as replayed
from reroll.watch_words import moment_words
from reroll.web import jobs
from reroll.web.home import Home
from reroll.web.keeping_watch import Keeper

__all__ = ["watch"]

SCHEMA = "reroll.watch/1"
JSON = Any


def watch(once: bool, replay: bool, common: Common) -> int:
    """Raises: UsageError for options that exclude each other; FileError for a watch.yaml that is wrong."""
    if once and replay:
        raise UsageError("--once keeps what it sees and --replay keeps nothing; give one of them", slug="usage")
    project = project_of(common)
    with store_of(common, project) as store:
        if replay:
            return _replay(project, store, common.json)
        home = Home(common.project, store, setting("store", common.store))
        said: list[Said] = []
        with Keeper(home, said.append if common.json else _print, complain) as keeper:
            keeper.ready()
            try:
                asyncio.run(_once(keeper) if once else _until_ended(keeper))
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None
            shown = overview(store, keeper.told, time.time())
        if shown is not None:  # ended before its first look
            _show(shown, said, common.json, once)
    return 0


async def _once(keeper: Keeper) -> None:
    _ends_at_a_stop(keeper, asyncio.current_task())
    while await asyncio.to_thread(keeper.look):
        pass
    await keeper.tell()
    for job in keeper.asked:
        jobs.start(job.id, keeper.home)  # goes on by itself


def _ends_at_a_stop(keeper: Keeper, task: asyncio.Task[None] | None) -> None:
    """Have Ctrl-C end the look that waits for a model, and then the task."""

    def stop() -> None:
        keeper.stop()
        if task is not None:
            task.cancel()

    on_stop(stop)


async def _until_ended(keeper: Keeper) -> None:
    async def work() -> None:
        async with jobs.pool(keeper.home):
            await keeper.go()

    task = asyncio.create_task(work())
    _ends_at_a_stop(keeper, task)
    name, judge = keeper.told.watch, keeper.told.judge
    if judge is not None:
        share = "every call" if judge.share == 1 else f"{percent(judge.share)} of the calls"
        say(f"A model judges {share} whose checks ask one, at most {judge.calls:,} a day.")
    print(f"Watching {name}; Ctrl-C ends it, and it goes on where it was.", file=sys.stderr, flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _replay(project: Project, store: Store, as_json: bool) -> int:
    told = read_watch(project)
    with Checker(project.path, judges=no_judge) as checker:
        said, watcher, _ = replayed(project, told, store, checker, time.time())
    shown = overview_of(watcher, watcher.account.clock or time.time())
    if not as_json:
        for one in said:
            _print(one)
        raised = sum(one.event.kind == "alarm" for one in said)
        alarms = counts("alarm", raised)
        print(f"Over {_span(shown)} it would have raised {alarms}; at most {shown.spent:.2f} false ones are expected.")
    _show(shown, said, as_json, once=True)
    return 0


def _span(shown: Overview) -> str:
    if shown.first is None or shown.clock is None:
        return "no calls"
    return f"{moment_words(shown.first)} to {moment_words(shown.clock)}"


def _show(shown: Overview, said: Sequence[Said], as_json: bool, once: bool) -> None:
    if as_json:
        print_json({"schema": SCHEMA, **shown.json(), "events": [_json(one) for one in said]})
    elif once:
        print("\n".join(lines(shown)))


def _json(one: Said) -> dict[str, JSON]:
    return {
        "kind": one.event.kind,
        "time": one.event.time,
        "stream": dict(one.named),
        "words": one.words,
        "alarm": one.alarm,
        "numbers": dict(one.event.told),
    }


def _print(one: Said) -> None:
    print(f"{moment_words(one.event.time)}  {one.words}", flush=True)
