"""The commands that look at tokens: which one led a sample astray, what could be said, how surprising it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reroll.arguments import Common, Pictures, Spending
from reroll.associated import Associated
from reroll.association import LAST_LOOK
from reroll.errors import UsageError
from reroll.fallen import failed_as_most
from reroll.foreseen import Foreseen, ask_futures
from reroll.forked import By, Forked, ask_forks
from reroll.measuring import with_sessions
from reroll.opening import project_of, store_of
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.sample import Token
from reroll.session import Session
from reroll.strict_yaml import read_text
from reroll.surprised import Surprised, ask_surprise
from reroll.tree import path_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["forks", "futures", "surprise"]

BROKE_OFF = 4


def forks(sample: str, by: By | None, draws: int, common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.associated import show_associated
    from reroll.render.forked import show_forked

    if not 1 <= draws <= LAST_LOOK:
        raise UsageError(f"--draws is a number of runs from 1 to {LAST_LOOK:,}, got {draws}", slug="futures")
    can_be_drawn(pictures)
    project = project_of(common)
    known = project.has(sample)
    with store_of(common, project, create=known) as store:
        named = None if known else store.sample(sample)
        case = project.case(sample if named is None else named.case_id)

        async def work(sessions: Sequence[Session]) -> Forked | Associated:
            stored = named or failed_as_most(sessions[0], case)
            seed = spending.seed if spending.seed is not None else stored.seq
            return await ask_forks(sessions[0], case, stored, seed, say, by, draws)

        found = with_sessions([project], store, spending, (case,), (case,), work)

    def show(page: Console) -> None:
        if isinstance(found, Associated):
            show_associated(found, page)
        else:
            show_forked(found, page)

    present(f"reroll forks {sample}", found.as_json, show, common, pictures)
    return 0 if found.finished else BROKE_OFF


def futures(
    case: str, width: float, down_to: float, draws: int, common: Common, spending: Spending, pictures: Pictures
) -> int:
    from reroll.render.foreseen import show_foreseen

    for name, value in (("--width", width), ("--down-to", down_to)):
        if not 0 < value <= 1:
            raise UsageError(f"{name} is a probability above 0 and at most 1, got {value:g}", slug="futures")
    if draws < 0:
        raise UsageError(f"--draws is a number of runs, 0 or more, got {draws}", slug="futures")
    can_be_drawn(pictures)
    project = project_of(common)
    with store_of(common, project) as store:
        chosen = project.case(case)
        if not chosen.checks:
            raise UsageError(f"case `{case}` has no checks, so nothing says what a right answer is", slug="no-check")

        async def work(sessions: Sequence[Session]) -> Foreseen:
            return await ask_futures(sessions[0], chosen, width, down_to, draws)

        found = with_sessions([project], store, spending, (chosen,), (chosen,), work, alone=True)
    present(f"reroll futures {case}", found.as_json, lambda page: show_foreseen(found, page), common, pictures)
    return 0 if found.explored.finished else BROKE_OFF


def surprise(
    what: str,
    saw: Path | None,
    draws: int,
    per_day: float | None,
    common: Common,
    spending: Spending,
    pictures: Pictures,
) -> int:
    from reroll.render.surprised import show_surprised

    if draws < 1:
        raise UsageError(f"--draws is a number of fresh runs, 1 or more, got {draws}", slug="futures")
    if per_day is not None and not (math.isfinite(per_day) and per_day > 0):
        raise UsageError(f"--per-day is a number of calls, more than 0, got {per_day:g}", slug="futures")
    can_be_drawn(pictures)
    project = project_of(common)
    with store_of(common, project) as store:
        ended: Literal["end", "cut"] = "end"
        tokens: tuple[Token, ...] = ()
        if saw is not None:
            case, text = project.case(what), read_text(saw)
        elif project.has(what):
            raise UsageError(
                f"`{what}` is a case: give what was seen with --saw FILE, or the id of one of its stored samples "
                f"(`reroll samples {what}` lists them)",
                slug="unknown-sample",
            )
        else:
            stored = store.sample(what)
            case = project.case(stored.case_id)
            completion = stored.sample.completion
            if completion is None:
                raise UsageError(
                    f"{stored.id} has no completion, so nothing can be said of its tokens", slug="no-completion"
                )
            text = completion.text
            if all(t.id is not None for t in completion.tokens):
                tokens = completion.tokens
            ended = "cut" if path_of(completion)[1] in ("cut", "stop") else "end"

        async def work(sessions: Sequence[Session]) -> Surprised:
            return await ask_surprise(sessions[0], case, text, tokens, ended, draws, per_day)

        found = with_sessions([project], store, spending, (case,), (case,), work, alone=True)
    present(f"reroll surprise {what}", found.as_json, lambda page: show_surprised(found, page), common, pictures)
    return 0
