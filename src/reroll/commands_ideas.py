"""The command for ideas: listed with what came of them, added, written as fixes, confirmed by their authors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reroll.answer import to_json
from reroll.arguments import Common, Pictures, Spending
from reroll.commands_ledger import ledger_from
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.ideas import Idea, board_of, number_of, same_person
from reroll.ideas_file import add_idea, change_idea, keep_fix, read_ideas
from reroll.labelling import user_name
from reroll.levers import fitting
from reroll.measuring import with_sessions
from reroll.opening import project_of, store_of
from reroll.options import options_of
from reroll.pictures import can_be_drawn, present
from reroll.project import Project, load_fix, load_project
from reroll.proposing import Proposed, ask_for_changes, idea_task
from reroll.session import Session
from reroll.suggestion import named

__all__ = ["Told", "ideas"]

DOES = ("add", "write", "confirm")
CALLS = 3  # that writing an idea takes at most


@dataclass(frozen=True, slots=True)
class Told:
    """What stands behind the words: of which case, by whom, written in which file, or by which model."""

    case: str | None = None
    by: str | None = None
    fix: Path | None = None
    model: str | None = None


def ideas(words: Sequence[str], told: Told, common: Common, spending: Spending, pictures: Pictures) -> int:
    can_be_drawn(pictures)
    does, rest = (words[0], words[1:]) if words and words[0] in DOES else ("list", words)
    _fits(does, rest, told)
    project = project_of(common)
    case = told.case
    if does == "list":
        case = rest[0] if rest else told.case
        if case is not None:
            project.case(case)
    elif does == "add":
        _add(project, rest, told)
    elif does == "write":
        case = _write(project, rest[0], told, common, spending)
    else:
        case = _confirm(project, rest[0], told)
    return _show(case, common, pictures)


def _fits(does: str, rest: Sequence[str], told: Told) -> None:
    """Raises: UsageError for words and options that make no sense together."""
    lines = {
        "list": "`reroll ideas [CASE]`",
        "add": "`reroll ideas add 'WORDS' --case ID --by NAME`",
        "write": "`reroll ideas write N`, with --fix FILE (or the name of a fix in fixes) or --with MODEL",
        "confirm": "`reroll ideas confirm N --by NAME`",
    }
    takes = {"list": ("case",), "add": ("case", "by"), "write": ("fix", "model"), "confirm": ("by",)}
    strange = [n for n in ("case", "by", "fix", "model") if getattr(told, n) is not None and n not in takes[does]]
    few = len(rest) <= 1 if does == "list" else len(rest) == 1 or (does == "add" and bool(rest))
    if does == "list" and len(rest) > 1:
        raise UsageError(
            f"`{rest[0]}` is nothing that can be done with ideas; it is {lines['list']}, or add, write, confirm",
            slug="idea",
        )
    if strange or not few or (told.fix is not None and told.model is not None):
        raise UsageError(f"to {does} ideas is written {lines[does]}", slug="idea")


def _add(project: Project, words: Sequence[str], told: Told) -> None:
    said = " ".join(" ".join(words).split())
    by = " ".join((told.by if told.by is not None else user_name()).split())
    if told.case is None or not said or not by:
        raise UsageError(
            "an idea needs words, a case and a name: it is written `reroll ideas add 'WORDS' --case ID --by NAME`",
            slug="idea",
        )
    project.case(told.case)
    for k, there in enumerate(read_ideas(project), 1):
        if (there.idea, there.case) == (said, told.case) and same_person(by, there.by):
            raise UsageError(
                f"this idea is there already, as idea {k}; `reroll ideas {told.case}` shows it", slug="idea"
            )
    number = add_idea(project, Idea(idea=said, by=by, case=told.case))
    print(f"idea {number} is in ideas.yaml; `reroll ideas write {number}` makes a fix of it", file=sys.stderr)


def _write(project: Project, word: str, told: Told, common: Common, spending: Spending) -> str:
    there = read_ideas(project)
    number = number_of(word, there)
    idea = there[number - 1]
    if told.fix is not None:
        there_already = next((one for one in project.fixes if one.fix == str(told.fix)), None)
        fix, comment = there_already or load_fix(told.fix), ""
    else:
        fix = _by_model(project, idea, number, told.model, common, spending)
        comment = f"Written by {fix.author} for idea {number}; whoever had the idea confirms it."
    fitting(fix, project.program)  # what cannot be applied, or changes nothing, is no way to write an idea
    keep_fix(project, fix, comment)
    change_idea(load_project(project.path), number, {"fix": fix.fix, "confirmed": False})
    print(
        f"idea {number} is written as the fix `{fix.fix}`; {idea.by} confirms it with `reroll ideas confirm {number}`",
        file=sys.stderr,
    )
    return idea.case


def _by_model(project: Project, idea: Idea, number: int, model: str | None, common: Common, spending: Spending) -> Fix:
    task = idea_task(project, idea.case, idea.idea, model)

    async def work(sessions: Sequence[Session]) -> Proposed:
        return await ask_for_changes(sessions[0], task)

    limited = replace(spending, budget=min(options_of(spending).budget, CALLS))
    with store_of(common, project) as store:
        found = with_sessions([task.project], store, limited, [task.case], [task.case], work, names=("writer",))
    if not found.suggestions:
        why = found.dropped[-1].why if found.dropped else "no reply came back"
        raise UsageError(
            f"{found.model} did not write idea {number} as a fix that can be used: {why}; write it yourself, and give "
            "the file with --fix",
            slug="idea",
        )
    fix = found.suggestions[0].fix
    taken = {one.fix for one in project.fixes}
    name = named(f"idea {number} {fix.kind}")
    name = next(n for n in (name, *(f"{name}-{k}" for k in range(2, len(taken) + 3))) if n not in taken)
    return fix.model_copy(update={"fix": name})


def _confirm(project: Project, word: str, told: Told) -> str:
    there = read_ideas(project)
    number = number_of(word, there)
    idea = there[number - 1]
    by = told.by if told.by is not None else user_name()
    if idea.fix is None:
        raise UsageError(
            f"idea {number} is words so far, with nothing to confirm; write it with `reroll ideas write {number}`",
            slug="idea",
        )
    if not same_person(by, idea.by):
        raise UsageError(
            f"idea {number} is {idea.by}'s, and only its author knows what was meant; got --by {by}", slug="idea-author"
        )
    change_idea(project, number, {"confirmed": True})
    print(
        f"idea {number} can be tried now, without its name: `reroll try idea:{number} --case {idea.case}`",
        file=sys.stderr,
    )
    return idea.case


def _show(case: str | None, common: Common, pictures: Pictures) -> int:
    from reroll.render.ideas import show_ideas

    project = project_of(common)
    ledger = ledger_from(project, common)
    board = board_of(read_ideas(project), project.fixes, ledger.fixes, project.program, case)
    present(
        f"reroll ideas {case or ''}".strip(),
        lambda: {"schema": "reroll.ideas/1", **to_json(board)},
        lambda page: show_ideas(board, page),
        common,
        pictures,
    )
    return 0
