"""GEPA proposes wordings and every call is ours: the real package, the bundled model, a writer that is a function."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from reroll.arguments import Spending
from reroll.errors import UsageError
from reroll.evolving import Evolved, components, evolve, reflecting_with
from reroll.init import init_project
from reroll.levers import changes
from reroll.measuring import with_sessions
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.proposing import writer_of, writing
from reroll.store import Store
from tests.background import in_background, in_turn, write_project

needs_gepa = pytest.mark.skipif(find_spec("gepa") is None, reason="GEPA is not installed (pip install 'reroll[gepa]')")
GOOD = "ISO date. 'next Friday' is the Friday of next week."
COPY = "Lunch with Ana next Friday at noon is on 2026-11-27."


@pytest.fixture
def meetings(tmp_path: Path) -> Project:
    init_project(tmp_path / "meetings")
    return load_project(tmp_path / "meetings")


def evolved(project: Project, say: Any, budget: int = 90, calls: int = 80) -> tuple[Evolved, list[str], int]:
    """What comes of it with a writer that says what `say` makes of a prompt; the prompts, and runs in the store."""
    prompts: list[str] = []

    async def reflect(prompt: str) -> str:
        prompts.append(prompt)
        return f"```\n{say(prompt)}\n```"

    train = [project.case("next-friday"), project.case("next-friday-call")]
    val = [project.case("next-thursday-coffee"), project.case("next-thursday-review"), project.case("this-friday")]

    async def work(sessions: Any) -> Evolved:
        return await evolve(sessions[0], train, val, reflect, calls)

    spending = Spending(yes=True, quiet=True, budget=budget, seed=7)
    with Store.open(project.path / "store.sqlite") as store:
        found = with_sessions([project], store, spending, [*train, *val], train, work)
        return found, prompts, store.newest()


def only_dates(prompt: str) -> str:
    """A writer that has an idea for what nothing is said of, and leaves the rest as it is."""
    part = prompt.split("```")[1].strip()
    return part or GOOD


@needs_gepa
def test_what_gepa_proposes_comes_back_as_fixes_that_can_be_applied(meetings: Project) -> None:
    found, prompts, stored = evolved(meetings, only_dates)
    assert found.candidates > 1
    assert {one.fix.kind for one in found.suggestions} == {"field.describe"}
    assert all(changes(one.fix, meetings.program) and one.fix.author == "gepa" for one in found.suggestions)
    assert "of the choosing cases" in found.suggestions[0].because
    assert found.calls <= 80
    assert stored <= 80
    assert prompts
    assert not any('expected "2026' in prompt for prompt in prompts)


@needs_gepa
def test_the_same_command_pays_for_no_run_twice(meetings: Project) -> None:
    first, _, stored = evolved(meetings, only_dates)
    again, _, after = evolved(meetings, only_dates)
    assert (again, after) == (first, stored)


@needs_gepa
def test_wordings_that_copy_a_case_are_dropped(meetings: Project) -> None:
    found, _, _ = evolved(meetings, lambda prompt: COPY)
    assert not found.suggestions
    assert all("copies a case" in one.why for one in found.dropped)


@needs_gepa
def test_a_budget_ends_it(meetings: Project) -> None:
    found, _, stored = evolved(meetings, only_dates, budget=20)
    assert stored <= 20
    assert found.calls <= 20


@needs_gepa
def test_a_model_reflects_by_stored_draws(tmp_path: Path, meetings: Project) -> None:
    train, val = [meetings.case("next-friday")], [meetings.case("next-thursday-coffee")]
    with in_background(in_turn(f"```\n{GOOD}\n```")) as (server, url), Store.open(tmp_path / "s.sqlite") as store:
        writer = writer_of(load_project(write_project(tmp_path / "w", url)), None)

        async def work(sessions: Any) -> Evolved:
            async with writing(sessions[0], writer) as other:
                return await evolve(sessions[0], train, val, reflecting_with(other), 60)

        spending = Spending(yes=True, quiet=True, budget=60, seed=3)
        found = with_sessions([meetings], store, spending, train, train, work)
        calls = server.calls
        with_sessions([meetings], store, spending, train, train, work)
    assert found.candidates >= 1
    assert 0 < calls == server.calls


@needs_gepa
@pytest.mark.parametrize(
    ("train", "val"), [([], ["this-friday"]), (["this-friday"], []), (["this-friday"], ["this-friday"])]
)
def test_without_cases_of_its_own_to_choose_on_it_is_refused(
    meetings: Project, train: list[str], val: list[str]
) -> None:
    async def work(sessions: Any) -> Evolved:
        return await evolve(sessions[0], [meetings.case(c) for c in train], [meetings.case(c) for c in val], None)  # type: ignore[arg-type]

    with Store.open(":memory:") as store, pytest.raises(UsageError, match="others to choose on"):
        with_sessions([meetings], store, Spending(yes=True, quiet=True), meetings.cases, meetings.cases, work)


@needs_gepa
def test_too_few_calls_for_a_round_are_refused(meetings: Project) -> None:
    with pytest.raises(UsageError, match="18 allow it"):
        evolved(meetings, only_dates, calls=10)


def test_what_is_evolved_are_texts_of_the_programs_own() -> None:
    assert components(Program(program="p", model="http:http://x/")) == {}
    assert components(Program(program="p", raw="{}")) == {}


@pytest.mark.skipif(find_spec("gepa") is not None, reason="GEPA is installed")
def test_without_the_extra_it_is_said_how_to_get_it(meetings: Project) -> None:
    with pytest.raises(UsageError, match=r"reroll\[gepa\]"):
        evolved(meetings, only_dates)
