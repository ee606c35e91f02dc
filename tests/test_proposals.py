"""Changes that a model proposes: what it is told, and which of its words are taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reroll.arguments import Spending
from reroll.case import Case
from reroll.check import Check
from reroll.errors import UsageError
from reroll.lever_kinds import KINDS
from reroll.measuring import with_sessions
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.proposals import asks_for_changes, asks_for_idea, catalogue, complaints, read_changes
from reroll.proposing import Proposed, Task, ask_for_changes, change_task, idea_task, writer_of
from reroll.sample import Completion, Sample
from reroll.store import Store
from tests.background import in_background, in_turn, write_project

FIELDS = {"date": {"type": "string"}, "minutes": {"type": "integer"}}
PROGRAM = Program(
    program="meetings",
    model="openai:tiny",
    system={"role": "You turn a request into one meeting.", "today": "Today is Wednesday 2026-11-18."},
    response={"type": "object", "properties": FIELDS},
)
LUNCH = Case(
    id="lunch",
    input={"request": "Lunch with Ana next Friday at noon"},
    checks=(Check.of("json", {"date": "2026-11-27", "minutes": 60}, name="right-date"), Check.of("schema", True)),
)
WRONG = Sample(completion=Completion('{"date": "2026-11-20", "minutes": 45}'))
GOOD = {"kind": "field.describe", "target": "response.date.description", "text": "ISO date.", "why": "It is not said."}
CLAUSE = {"kind": "clause.add", "target": "system.weeks", "text": "Weeks begin on Monday.", "why": "Weeks differ."}


def reply(*changes: Any) -> str:
    return json.dumps({"changes": list(changes)})


def test_the_right_answer_is_not_in_what_the_model_is_told() -> None:
    said = complaints(PROGRAM, LUNCH, WRONG)
    task = asks_for_changes(PROGRAM, LUNCH, WRONG, said, 3)
    assert said == ('right-date: date is "2026-11-20"',)
    assert "2026-11-27" not in task
    assert "Lunch with Ana" in task
    assert "- system.today: Today is Wednesday 2026-11-18." in task
    assert "- response.date.description: (nothing is said of it)" in task
    assert all(f"- {kind}: " in task for kind in catalogue(PROGRAM))


def test_usable_changes_are_taken_with_their_reason_and_author() -> None:
    found, dropped = read_changes(f"```json\n{reply(GOOD, CLAUSE)}\n```", PROGRAM, LUNCH, "openai:tiny")
    assert [(one.fix.kind, one.fix.target, one.fix.author) for one in found] == [
        ("field.describe", "response.date.description", "openai:tiny"),
        ("clause.add", "system.weeks", "openai:tiny"),
    ]
    assert (found[0].because, found[0].fix.fix, dropped) == (
        "It is not said.",
        "field-describe-response-date-description",
        [],
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({**GOOD, "text": "2026-11-27"}, "copies the case"),
        ({**CLAUSE, "text": "If asked for lunch with Ana next Friday, think."}, "copies the case"),
        ({**GOOD, "target": "response.dates.description"}, "date"),
        ({"kind": "field.explain"}, "no kind of fix"),
        ({"kind": "model.pin", "target": "model", "text": "openai:other"}, "not for a model to propose"),
        ({"kind": "serving.pin", "target": "base_url", "text": "http://elsewhere"}, "not for a model to propose"),
        ({"kind": "patch.python", "function": "os:system", "on": "input"}, "not for a model to propose"),
        ({"kind": "patch.special_case", "when": {"input": "x"}, "text": "y"}, "not for a model to propose"),
        ({"kind": "sample.verify", "checks": [{"json": {"date": "2026-11-27"}}], "times": 1}, "copies the case"),
        ({**GOOD, "txt": "x"}, "txt"),
        ({"target": "system.role"}, "no object with a `kind`"),
        ("be kind", "no object with a `kind`"),
        ({**CLAUSE, "why": 3}, "no text"),
        ({"kind": "clause.edit", "target": "system.role", "text": PROGRAM.clauses()["role"]}, "changes nothing"),
    ],
)
def test_what_cannot_be_used_is_dropped_with_the_reason(change: Any, why: str) -> None:
    found, dropped = read_changes(reply(change, GOOD), PROGRAM, LUNCH, "m")
    assert [one.fix.kind for one in found] == ["field.describe"]
    assert why in dropped[0].why


@pytest.mark.parametrize(
    "text", ["", "Sure! Here you go.", "[]", '{"changes": 3}', '{"changes": [], "more": 1}', "{" * 500]
)
def test_a_reply_of_another_form_is_dropped_whole(text: str) -> None:
    found, dropped = read_changes(text, PROGRAM, LUNCH, "m")
    assert (found, len(dropped)) == ([], 1)


def test_the_same_change_is_taken_once() -> None:
    found, dropped = read_changes(reply(GOOD, {**GOOD, "why": "again"}), PROGRAM, LUNCH, "m")
    assert (len(found), dropped[0].why) == (1, "is the same as another change")


def test_an_idea_may_be_a_hard_coded_patch() -> None:
    patch = {"kind": "patch.special_case", "when": {"input": "next Friday"}, "set": {"date": "2026-11-27"}}
    found, _ = read_changes(reply(patch), PROGRAM, None, "m", patches=True)
    assert [one.fix.kind for one in found] == ["patch.special_case"]
    assert "patch.special_case" in asks_for_idea(PROGRAM, "just hard-code it")


def test_a_stored_request_is_offered_what_can_be_changed_around_it() -> None:
    raw = Program(program="p", model="openai:m", raw='{"messages": []}')
    assert catalogue(raw)
    assert all(KINDS[name].stored for name in catalogue(raw))


# -- asked of a model


@pytest.mark.parametrize("model", ["bundled", "recorded:runs.jsonl", "python:shop:answer", "http:http://localhost/x"])
def test_what_cannot_write_is_refused_and_another_model_can_be_named(model: str) -> None:
    project = Project(None, PROGRAM.model_copy(update={"model": model}), (LUNCH,))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot write changes; name a model that can") as refused:
        writer_of(project, None)
    assert refused.value.slug == "no-writer"
    assert writer_of(project, "openai:other").model == "openai:other"
    at = writer_of(project, "openai:qwen@8b@http://127.0.0.1:8000/v1")
    assert (at.model, at.base_url) == ("openai:qwen@8b", "http://127.0.0.1:8000/v1")


@pytest.mark.parametrize("n", [0, 17])
def test_a_number_of_changes_that_makes_no_sense_is_refused(n: int) -> None:
    with pytest.raises(UsageError, match="1 to 16 changes"):
        change_task(Project(None, PROGRAM, (LUNCH,)), LUNCH, WRONG, n)  # type: ignore[arg-type]


def asked(task: Task, store: Store) -> Proposed:
    spending = Spending(yes=True, quiet=True, budget=10)
    return with_sessions(
        [task.project], store, spending, [task.case], [task.case], lambda s: ask_for_changes(s[0], task)
    )


def test_a_model_is_asked_again_where_its_reply_is_no_use_and_no_reply_is_paid_for_twice(tmp_path: Any) -> None:
    texts = ("I would rather not.", reply({**GOOD, "text": "2026-11-27"}), reply(GOOD, CLAUSE))
    with in_background(in_turn(*texts)) as (server, url), Store.open(tmp_path / "s.sqlite") as store:
        folder = write_project(tmp_path, url)
        project = load_project(folder)
        program = project.program.model_copy(update={"system": PROGRAM.system, "response": PROGRAM.response})
        task = change_task(Project(folder, program, (LUNCH,)), LUNCH, WRONG, 2)
        found = asked(task, store)
        calls = server.calls
        assert asked(task, store) == found
    assert (calls, server.calls, found.replies) == (3, 3, 3)
    assert [one.fix.kind for one in found.suggestions] == ["field.describe", "clause.add"]
    assert [("not JSON" in one.why, "copies" in one.why) for one in found.dropped] == [(True, False), (False, True)]
    assert found.dropped[0].sample.startswith("s_")


def test_an_idea_is_written_as_one_fix(tmp_path: Any) -> None:
    with in_background(in_turn(reply(CLAUSE, GOOD))) as (server, url), Store.open(tmp_path / "s.sqlite") as store:
        folder = write_project(tmp_path, url)
        task = idea_task(load_project(folder), "greet", "Tell it when weeks begin.")
        found = asked(task, store)
        sent = json.loads(server.bodies[0])["messages"][-1]["content"]
    assert [one.fix.kind for one in found.suggestions] == ["clause.add"]
    assert "Tell it when weeks begin." in sent
