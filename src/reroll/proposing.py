"""Changes that a model proposes: asked for by ordinary draws, stored and paid for like any other."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from reroll.case import Case
from reroll.engine import run_draws
from reroll.errors import UsageError
from reroll.models.registry import open_model
from reroll.program import Program, same_kind
from reroll.project import Project
from reroll.proposals import Unusable, asks_for_changes, asks_for_idea, complaints, read_changes
from reroll.reworded import Dropped
from reroll.runner import draw_at
from reroll.sample import Sample
from reroll.session import Session, judged, slots
from reroll.settings import setting
from reroll.suggestion import Suggestion

__all__ = ["Proposed", "Task", "ask_for_changes", "change_task", "idea_task", "writer_of", "writing"]

MOST = 16  # changes asked for at once
REPLIES = 3  # at most so many, where what came back was no use
ROOM = 4000  # tokens of a reply
KEPT = ("temperature", "top_p", "top_k", "min_p", "reasoning_effort", "thinking")
CUT = ("length", "max_tokens")
SERIES = "propose"
AT = re.compile(r"(?P<model>[^@]\S*)@(?P<address>https?://\S+)")

Read = Callable[[str, list[str]], tuple[list[Suggestion], list[Unusable]]]


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked. project: its program asks that model; case: holds the words; read: what a reply comes to,
    given the ids of what there is already; n: how many changes are wanted."""

    project: Project
    case: Case
    read: Read
    n: int


@dataclass(frozen=True, slots=True)
class Proposed:
    """What can be tried of the replies, and what was wrong with the rest. model: who proposed it; replies: how many."""

    suggestions: tuple[Suggestion, ...]
    dropped: tuple[Dropped, ...]
    model: str
    replies: int


def writer_of(project: Project, model: str | None) -> Program:
    """A program that asks a model one thing. The model: this one, as the program would name it, else the program's own.

    `openai:NAME@http://ADDRESS` is a model at another address.

    Raises: UsageError where that can only answer the program's own requests.
    """
    program = project.program
    given, elsewhere = AT.fullmatch(model or ""), None
    if given is not None:
        model, elsewhere = given["model"], given["address"]
    name = program.model if model is None else same_kind(program, model)
    kind = name.partition(":")[0]
    what = {
        "bundled": "the bundled model answers requests for meetings and nothing else",
        "recorded": "a recording answers nothing that it was not asked",
        "python": "the program is the product itself",
        "http": "the program is the product itself",
    }.get(kind)
    if what is not None:
        raise UsageError(
            f"{what}, so it cannot write changes; name a model that can with --with, such as --with openai:NAME",
            slug="no-writer",
        )
    own = name == program.model and elsewhere in (None, program.base_url)
    params: dict[str, Any] = {k: program.sampling[k] for k in KEPT if own and program.sampling.get(k) is not None}
    if not params.get("temperature", 1):
        params["temperature"] = 1  # replies that may differ: the same one again would be no use
    for limit in ("max_tokens", "max_completion_tokens"):
        if own and isinstance(program.sampling.get(limit), int):
            params[limit] = max(program.sampling[limit], ROOM)
    same = kind == program.model.partition(":")[0]
    return Program(
        program=f"{program.program} (changes)",
        model=name,
        base_url=elsewhere or (program.base_url if same else None),
        params=params,
        effects="none",
        user="{task}",
    )


def change_task(project: Project, case: Case, failing: Sample, n: int, model: str | None = None) -> Task:
    """What is asked to get `n` changes for a case. Raises: UsageError as `writer_of` does, or for a number like 0."""
    if not 1 <= n <= MOST:
        raise UsageError(f"a model is asked for 1 to {MOST} changes, got {n}", slug="propose")
    writer, program = writer_of(project, model), project.program
    task = asks_for_changes(program, case, failing, complaints(program, case, failing), n)

    def read(reply: str, taken: list[str]) -> tuple[list[Suggestion], list[Unusable]]:
        return read_changes(reply, program, case, writer.model, taken)

    asking = Case(id=f"{case.id} (changes)", input={"task": task})
    return Task(replace(project, program=writer, cases=(), fixes=()), asking, read, n)


def idea_task(project: Project, case_id: str, idea: str, model: str | None = None) -> Task:
    """What is asked to get an idea written as a fix. Raises: UsageError as `writer_of` does."""
    writer, program = writer_of(project, model), project.program

    def read(reply: str, taken: list[str]) -> tuple[list[Suggestion], list[Unusable]]:
        return read_changes(reply, program, None, writer.model, taken, patches=True)

    asking = Case(id=f"{case_id} (idea)", input={"task": asks_for_idea(program, idea)})
    return Task(replace(project, program=writer, cases=(), fixes=()), asking, read, 1)


@asynccontextmanager
async def writing(session: Session, writer: Program) -> AsyncIterator[Session]:
    """A session beside another one whose model writes, with no step of the program around it; they spend together.

    Raises: ModelError where the model cannot be reached.
    """
    model = open_model(
        writer.model,
        base_url=writer.base_url,
        project=session.project.path,
        timeout=setting("timeout"),
        tries=setting("tries"),
    )
    try:
        await model.check()
        project = replace(session.project, program=writer, cases=(), fixes=())
        yield session.like(project=project, model=model, variant="writer", engine=run_draws, yardstick=writer)
    finally:
        await model.close()


async def ask_for_changes(session: Session, task: Task) -> Proposed:
    """As many usable changes as were wanted, or what a few replies came to; a reply of an earlier command counts first.

    Args:    session: of the task's project.
    """
    at = slots(session, task.case, series=SERIES)
    session.store.put_program(session.project.program)
    session.store.put_case(task.case)
    runs = judged(session, at)
    session.spent.reused += min(len(runs), REPLIES)
    usable: list[Suggestion] = []
    dropped: list[Dropped] = []
    looked = 0
    while looked < REPLIES and len(usable) < task.n:
        if looked == len(runs):
            if session.left < 1 or session.stopped:
                break
            await draw_at(session, [(at, 1)])
            runs = judged(session, at, runs)
            if looked == len(runs):
                break
        one = runs.first(looked + 1)[looked].stored
        looked += 1
        found, unusable = _read(task, one.sample, [s.fix.id for s in usable])
        usable += found
        dropped += [Dropped(one.id, said.said, said.why) for said in unusable]
    return Proposed(tuple(usable[: task.n]), tuple(dropped), session.model.name, looked)


def _read(task: Task, sample: Sample, taken: list[str]) -> tuple[list[Suggestion], list[Unusable]]:
    done = sample.completion
    if done is None:
        return [], [Unusable("", f"brought nothing back: {sample.error}")]
    if done.refusal:
        return [], [Unusable(done.refusal[:80], "was refused")]
    if done.finish_reason in CUT:
        return [], [Unusable(done.text[:80], "was cut off")]
    return task.read(done.text, taken)
