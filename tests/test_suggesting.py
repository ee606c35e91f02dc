"""Suggestions for a case of a project, out of its store: what was run, what failed, what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reroll.answer import to_json
from reroll.arguments import Spending
from reroll.init import init_project
from reroll.measuring import with_sessions
from reroll.program import Example
from reroll.project import Project, load_project
from reroll.runner import draw_at
from reroll.session import Session, slots
from reroll.store import Store
from reroll.suggest import Suggestion
from reroll.suggesting import cause_known, seen_of, suggested
from tests.test_suggest import found


@pytest.fixture
def meetings(tmp_path: Path) -> Project:
    init_project(tmp_path / "meetings")
    return load_project(tmp_path / "meetings")


def with_session(project: Project, work: Any) -> Any:
    cases = [case for case in project.cases if case.id in ("next-friday", "next-thursday-coffee", "clear-tomorrow")]
    with Store.open(project.path / "store.sqlite") as store:

        async def all_of_it(sessions: Any) -> Any:
            return await work(sessions[0], *cases)

        return with_sessions(
            [project], store, Spending(yes=True, quiet=True, budget=200, seed=5), cases, cases, all_of_it
        )


def test_the_stores_runs_and_its_newest_cause_are_what_is_suggested_from(meetings: Project) -> None:
    answer = '{"date":"2026-11-19","time":"09:00","duration_min":60,"attendees":["Tom"]}'
    stale = Example(name="stale", user="Call with Tom next Thursday at 9:00", assistant=answer)
    program = meetings.program.model_copy(update={"examples": (stale,)})
    cause = found("systematic", ("examples.stale", "few-shot", "Call with Tom next Thursday"))

    async def work(session: Session, case: Any, near: Any, usual: Any) -> tuple[Suggestion, ...]:
        assert suggested(session, case) == ()
        for one in (case, near, usual):
            session.store.put_case(one)
        # In series of their own, as other questions draw: they are found by what was sent.
        await draw_at(session, [(slots(session, one, series="try"), 25) for one in (case, near, usual)])
        seen = seen_of(session, case)
        assert len(seen.failing) + len(seen.passing) == 25
        assert "right-date" in seen.checks
        assert cause_known(session, case) is None
        session.store.add_decision(
            rule="cause/1", question="cause", verdict="systematic", evidence={**to_json(cause), "key": "k"},
            case_id=case.id, program_id=session.project.program.id,
        )  # fmt: skip
        assert cause_known(session, case) == cause
        return suggested(session, case, [near, usual, case])

    few = with_session(replace(meetings, program=program), work)
    assert (few[0].fix.kind, few[0].fix.target) == ("example.remove", "examples.stale")
    kinds = [one.fix.kind for one in few]
    assert "field.describe" in kinds
    shown = [one.fix for one in few if one.fix.kind == "example.add"]
    assert shown
    assert all(fix.settings["user"] != "Lunch with Ana next Friday at noon" for fix in shown)
