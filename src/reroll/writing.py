"""Wordings that the case's own model writes: asked for by ordinary draws, stored and paid for like any other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.case import Case
from reroll.errors import UsageError
from reroll.paraphrase import cleaned, unusable
from reroll.program import Program
from reroll.project import Project
from reroll.reworded import Dropped
from reroll.runner import draw_at
from reroll.session import Session, judged, slots

__all__ = ["asks_for_wordings", "writer", "written_wordings"]

STYLES = (
    "in other words",
    "more formally",
    "more briefly",
    "in a chatty way",
    "as a polite question",
    "with its parts in another order",
    "as an instruction",
    "in plain and simple words",
)
INSTRUCTION = (
    "Rewrite the request below {style}. Keep its meaning exactly: every name, number, date, time, quotation and link "
    "as it stands. Do not answer it. Reply with the rewritten request only.\n\nRequest:\n{request}"
)
KEPT = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "thinking")
CUT = ("length", "max_tokens")
SPARE = 64  # tokens
SERIES = "phrase-write"


def writer(project: Project, case: Case, text: str) -> tuple[Project, tuple[Case, ...]]:
    """The project whose program asks the same model for other words, and a case for each style of asking.

    Raises: UsageError where the model answers nothing but the case itself.
    """
    program = project.program
    if program.model.startswith("recorded:") or program.is_product or program.raw is not None:
        what = "a recording" if program.model.startswith("recorded:") else "the product itself"
        what = "a stored request" if program.raw is not None else what
        raise UsageError(
            f"the program is {what}, which cannot be asked for other words; leave --write out, and name wordings with "
            "--wordings",
            slug="no-wording",
        )
    bare = Program(
        program=f"{program.program} (wordings)",
        model=program.model,
        base_url=program.base_url,
        params=_params(program.params, text),
        effects=program.effects,
        user=INSTRUCTION,
    )
    cases = tuple(Case(id=f"{case.id} ({s})", input={"style": s, "request": text}) for s in STYLES)
    return replace(project, program=bare, cases=(), fixes=()), cases


def asks_for_wordings(write: int) -> None:
    """Raises: UsageError for a number of wordings that makes no sense."""
    if not 0 <= write <= 64:
        raise UsageError(f"--write is a number of wordings, from 1 to 64, got {write}", slug="phrase")


def _params(params: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The program's, where they are about sampling; hot enough for replies to differ, and long enough for one."""
    found = {name: params[name] for name in KEPT if params.get(name) is not None}
    if not found.get("temperature", 1):
        found["temperature"] = 1
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(found.get(name), int):
            found[name] = max(found[name], len(text) // 2 + SPARE)
    return found


async def written_wordings(
    session: Session, cases: Sequence[Case], text: str, write: int, others: Sequence[str]
) -> tuple[list[str], list[Dropped]]:
    """Other words of the text out of so many replies, and what was wrong with the rest; none is in neither.

    What an earlier command got is used again. Fewer replies where the budget or the time ends.
    """
    each = [math.ceil((write - k) / len(cases)) for k in range(len(cases))]
    places = [slots(session, case, series=SERIES) for case in cases]
    session.store.put_program(session.project.program)
    for case in cases[:write]:
        session.store.put_case(case)
    have = [judged(session, at) for at in places]
    session.spent.reused += sum(min(len(runs), n) for runs, n in zip(have, each, strict=True))
    wanted, left = [], session.left
    for at, runs, n in zip(places, have, each, strict=True):
        lacking = min(n - len(runs), left)
        if lacking > 0:
            wanted.append((at, lacking))
            left -= lacking
    if wanted:
        await draw_at(session, wanted)
        have = [judged(session, at, runs) for at, runs in zip(places, have, strict=True)]
    usable: list[str] = []
    dropped: list[Dropped] = []
    for runs, n in zip(have, each, strict=True):
        for one in runs.first(n):
            completion = one.stored.sample.completion
            said = cleaned(completion.text, text) if completion is not None else ""
            if completion is None:
                why: str | None = f"brought nothing back: {one.stored.sample.error}"
            elif completion.refusal:
                why = "was refused"
            else:
                why = unusable(said, text, [*others, *usable], cut=completion.finish_reason in CUT)
            if why is None:
                usable.append(said)
            else:
                dropped.append(Dropped(one.stored.id, said[:200], why))
    return usable, dropped
