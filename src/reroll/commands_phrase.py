"""The command that holds wordings of one request against each other: for now at one token of its answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from reroll.arguments import Common, Pictures, Spending
from reroll.errors import UsageError
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.phrased import Phrased, PhrasePrice
from reroll.phrasing import Asked, ask_phrase
from reroll.pictures import can_be_drawn, present
from reroll.session import Session
from reroll.wording import wordings_of

__all__ = ["phrase"]

BROKE_OFF = 4
GATES = {"better": 0, "worse": 1, "undecided": 3, None: 3}  # a screen shows nothing: a gate stays shut


def phrase(
    case: str, tokens: Sequence[str], asked: Asked, common: Common, spending: Spending, pictures: Pictures
) -> int:
    from reroll.render.phrased import show_phrased

    if not tokens:
        raise UsageError(
            "`phrase` compares wordings at one token of the answer: name them with --tokens, such as "
            f'`reroll phrase {case} --tokens baseline "the other words"`',
            slug="no-wording",
        )
    if not 0 < asked.width <= 1:
        raise UsageError(f"--width is in points of success, above 0 and at most 1, got {asked.width:g}", slug="phrase")
    if spending.horizon is not None:
        raise UsageError("what `phrase` says holds however often one looks; leave --horizon out", slug="horizon")
    can_be_drawn(pictures)
    project = project_of(common)
    chosen = project.case(case)
    if not chosen.checks:
        raise UsageError(f"case `{case}` has no checks, so nothing says what a right answer is", slug="no-check")
    wordings = wordings_of(project, chosen, tokens)
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Phrased:
            return await ask_phrase(sessions, chosen, wordings, asked, spending.seed, _told)

        projects = [replace(project, program=one.program) for one in wordings]
        names = [one.name for one in wordings]
        found = with_sessions(projects, store, spending, (chosen,), (chosen,), work, names=names)
    present(f"reroll phrase {case}", found.as_json, lambda page: show_phrased(found, page), common, pictures)
    if not found.finished:
        return BROKE_OFF
    return GATES[found.verdict] if spending.gate else 0


def _told(price: PhrasePrice) -> None:
    """What it will take, before the first run."""
    finding = f"finding a failing answer takes at most {counts('run', price.finding)}, " if price.finding else ""
    print(
        f"{finding}reading the wordings at most {counts('call', price.scoring)} of one token, then about "
        f"{counts('run', price.runs)} from one token on say what it is worth; at the very most "
        f"{counts('call', price.most)} in all; Ctrl-C stops it, --budget limits it",
        file=sys.stderr,
    )
