"""An accepted fix is written into program.yaml as a person would write it, and nothing else in the file changes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from reroll.applying import APPLIED, put_in_place, written
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.lever_undo import without
from reroll.levers import apply
from reroll.project import Project, load_project
from reroll.store import Store
from tests.background import reroll
from tests.test_levers import fixes

PROGRAM = """\
# What decides the answer.
program: rich
model: openai:big          # the model
base_url: "http://localhost:1"
params: {temperature: 1, max_tokens: 20}   # as in production

system:
  role: You sort mail.
  # Ana asked for this one.
  tone: 'Be kind.'
  never: Never guess.      # never
  form: >
    Answer in
    JSON.

documents:
  policy: No refunds. Ask Ana first. Be quick!
  hours: |
    - Open at 9
    - Closed at 17

    On Sundays too
examples:
  - {name: a, user: "Mail a", assistant: '{"label": "spam"}'}
  # a good one
  - name: b
    user: Mail b
    assistant: '{"label": "ham"}'   # ham
  - {name: c, user: "Mail c", assistant: '{"label": "spam"}'}
tools:
  - {type: function, function: {name: find, description: Finds.}}
user: "{request}"
response:                  # the form
  type: object
  properties:
    label: {type: string, description: The kind.}   # spam or ham
    why: {}
    score:
      type: number
      # not used yet
      minimum: 0
  required: [label, why]
  additionalProperties: false
structured: both
neutral: {system.tone: Be polite., response.label.description: A label.}
target: 0.99               # the goal
# the end
"""
TONE = Fix(fix="tone", kind="clause.edit", target="system.tone", text="Be brief.")


def folder(path: Path, program: str = PROGRAM, **files: str) -> Path:
    (path / "fixes").mkdir(parents=True)
    (path / "program.yaml").write_text(program)
    (path / "fixes" / "tone.yaml").write_text("fix: tone\nkind: clause.edit\ntarget: system.tone\ntext: Be brief.\n")
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def text_with(project: Project, *some: Fix) -> str:
    return written(project, some).new.decode()


@pytest.mark.parametrize(
    ("one", "old", "new"),
    [
        (TONE, "tone: 'Be kind.'", "tone: 'Be brief.'"),
        (Fix(fix="f", kind="clause.delete", target="system.never"), "  never: Never guess.      # never\n", ""),
        (Fix(fix="f", kind="clause.add", target="system.new", text="One.\nTwo."),
         "    JSON.\n", "    JSON.\n  new: |-\n    One.\n    Two.\n"),
        (Fix(fix="f", kind="params.set", target="params.temperature", value=0), "temperature: 1,", "temperature: 0,"),
        (Fix(fix="f", kind="type.enum", target="response.label.type", values=["spam", "ham"]),
         "{type: string, description", "{type: string, enum: [spam, ham], description"),
        (Fix(fix="f", kind="field.describe", target="response.score.description", text="0 to 1: how sure"),
         "      minimum: 0\n", "      minimum: 0\n      description: '0 to 1: how sure'\n"),
        (Fix(fix="f", kind="example.remove", target="examples.b"),
         "  - name: b\n    user: Mail b\n    assistant: '{\"label\": \"ham\"}'   # ham\n", ""),
        (Fix(fix="f", kind="sample.vote", n=3, by="/label"),
         "structured: both\n", "structured: both\nsteps:\n- step: vote\n  n: 3\n  by: /label\n"),
        (Fix(fix="f", kind="model.pin", text="big-2"), "openai:big          #", "openai:big-2          #"),
    ],
)  # fmt: skip
def test_only_what_the_fix_changes_is_written_anew(tmp_path: Path, one: Fix, old: str, new: str) -> None:
    project = load_project(folder(tmp_path / "p"))
    assert text_with(project, one) == PROGRAM.replace(old, new)


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_fix_can_be_written(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        project = load_project(folder(Path(place) / "p"))
        one = data.draw(fixes(project.program))
        try:
            after = apply(one, project.program)
        except UsageError:
            assume(False)
        assume(after.id != project.program.id)
        put_in_place(written(project, [one]))
        assert load_project(project.path).program == after
        text = (project.path / "program.yaml").read_text()
        for line in ("# What decides the answer.", "# the end", "target: 0.99               # the goal"):
            assert line in text
        assert os.listdir(project.path) == ["fixes", "program.yaml"] or len(os.listdir(project.path)) == 2


def test_fixes_that_do_not_go_together_are_not_written(tmp_path: Path) -> None:
    path = folder(tmp_path / "p")
    several = Fix(fix="several", kind="params.set", target="params.n", value=2)
    with pytest.raises(UsageError, match="does not go with the program's steps: steps act on one answer"):
        written(load_project(path), [several, Fix(fix="vote", kind="sample.vote", n=3)])
    assert (path / "program.yaml").read_text() == PROGRAM


def test_a_project_that_would_not_load_any_more_is_not_written(tmp_path: Path) -> None:
    path = folder(tmp_path / "p", cases__yaml="cases:\n- {id: a, input: {request: x}, checks: [{schema: true}]}\n")
    project = load_project(path)
    (path / "cases.yaml").write_text("cases:\n- {id: a, input: {request: x}, chekcs: []}\n")
    with pytest.raises(UsageError, match=r"with `tone` the project would not load any more: .* mend that first"):
        written(project, [TONE])


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    project = load_project(folder(tmp_path / "p"))
    change = written(project, [TONE])
    (project.path / "program.yaml").write_text(PROGRAM + "# mine\n")
    with pytest.raises(UsageError, match="was changed meanwhile"):
        put_in_place(change)
    assert (project.path / "program.yaml").read_text() == PROGRAM + "# mine\n"


def test_a_stored_request_is_changed_by_hand(tmp_path: Path) -> None:
    request = json.dumps({"model": "big", "messages": [{"role": "user", "content": "Hi"}]})
    path = folder(tmp_path / "p", "program: s\nmodel: openai:big\nraw: request.json\n", request__json=request)
    project = load_project(path)
    with pytest.raises(UsageError, match=r"belongs into the stored request request\.json"):
        written(project, [Fix(fix="t", kind="params.set", target="params.temperature", value=0)])
    after = text_with(project, Fix(fix="v", kind="sample.vote", n=3))
    assert after == "program: s\nmodel: openai:big\nsteps:\n- step: vote\n  n: 3\nraw: request.json\n"


# -- the command -------------------------------------------------------------------------------------------------------


def accept(path: Path, one: Fix, verdict: str = "accept") -> None:
    with Store.open(path / ".reroll" / "store.sqlite") as store:
        store.add_decision(
            rule="fix/1",
            question="fix",
            verdict=verdict,
            case_id="mail",
            program_id=load_project(path).program.id,
            evidence={"fix": {"id": one.id}},
        )


def test_an_accepted_fix_is_applied_and_remembered_with_what_takes_it_out(tmp_path: Path, capsys: Any) -> None:
    path = folder(tmp_path / "p")
    before = load_project(path).program
    accept(path, TONE)
    ran = reroll(capsys, "apply", "tone", "--project", path)
    assert ran.code == 0
    assert ran.out == "- system.tone: Be kind.\n+ system.tone: Be brief.\n"
    after = load_project(path).program
    assert after == apply(TONE, before)
    with Store.open(path / ".reroll" / "store.sqlite") as store:
        [said] = store.decisions(rule=APPLIED)
    assert said.evidence["fix"]["id"] == TONE.id
    assert (said.evidence["before"], said.evidence["after"]) == (before.id, after.id)
    assert without(said.evidence["undo"], after) == before


def test_the_command_that_it_names_takes_an_applied_fix_out_again_and_the_ledger_knows(
    tmp_path: Path, capsys: Any
) -> None:
    path = folder(tmp_path / "p")
    accept(path, TONE)
    ran = reroll(capsys, "apply", "tone", "--project", path)
    in_it = [one["applied"] for one in reroll(capsys, "ledger", "--project", path, "--json").json["fixes"]]
    (undo,) = re.findall("`(cp .*)` takes it out again", ran.err)
    subprocess.run(shlex.split(undo), check=True)
    assert (path / "program.yaml").read_text() == PROGRAM
    found = reroll(capsys, "ledger", "--project", path, "--json").json
    assert (in_it, [one["applied"] for one in found["fixes"]], found["together"]["fixes"]) == ([True], [False], 0)


def test_a_reported_case_that_a_fix_was_accepted_for_is_a_test_of_the_suite_from_then_on(
    tmp_path: Path, capsys: Any
) -> None:
    path = folder(tmp_path / "p")
    (path / ".reroll").mkdir()
    case = "cases:\n- id: mail\n  input: {request: Write to Ana}\n  checks:\n  - {contains: Ana}\n"
    (path / ".reroll" / "reported.yaml").write_text(case)
    accept(path, TONE)
    ran = reroll(capsys, "apply", "tone", "--project", path)
    assert ran.code == 0
    assert "`mail` added to" in ran.err
    assert f"`pytest --reroll {path}` holds `mail`" in ran.err
    project = load_project(path)
    assert ("mail" in [c.id for c in project.cases], project.reported) == (True, ())
    with Store.open(path / ".reroll" / "store.sqlite") as store:
        assert [d.evidence["cases"] for d in store.decisions(rule=APPLIED)] == [["mail"]]


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (None, "`tone` was never tried, so nobody knows what it does"),
        ("reject", "the last trial of `tone` on case `mail` ended with `reject`"),
        ("undecided", "the last trial of `tone` on case `mail` ended with `undecided`"),
    ],
)
def test_a_fix_that_is_not_accepted_is_refused_unless_anyway(
    tmp_path: Path, capsys: Any, verdict: str | None, why: str
) -> None:
    path = folder(tmp_path / "p")
    if verdict:
        accept(path, TONE, verdict)
    ran = reroll(capsys, "apply", "tone", "--project", path)
    assert ran.code == 2
    assert ran.err.startswith(f"reroll: {why}; try it with `reroll try tone --case ID`, or say --anyway")
    assert (path / "program.yaml").read_text() == PROGRAM
    ran = reroll(capsys, "apply", "tone", "--project", path, "--anyway")
    assert ran.code == 0
    assert f"applied anyway: {why}" in ran.err
    assert load_project(path).program.clauses()["tone"] == "Be brief."


def test_an_acceptance_for_another_version_of_the_program_does_not_count(tmp_path: Path, capsys: Any) -> None:
    path = folder(tmp_path / "p")
    accept(path, TONE)
    (path / "program.yaml").write_text(PROGRAM.replace("Never guess.", "Guess."))
    ran = reroll(capsys, "apply", "tone", "--project", path)
    assert ran.code == 2
    assert "was accepted on case `mail` for another version of the program" in ran.err


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    path = folder(tmp_path / "p")
    ran = reroll(capsys, "apply", "tone", "--project", path, "--dry-run", "--json")
    assert ran.code == 0
    assert ran.json["written"] is False
    assert ran.json["diff"] == "- system.tone: Be kind.\n+ system.tone: Be brief."
    assert (path / "program.yaml").read_text() == PROGRAM
    assert not (path / ".reroll").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tne"], "no fix `tne` in "),
        (["tone", "tone"], "`tone` is named twice"),
        ([], "name a fix to apply: one of "),
        (["tone", "OTHER"], "`tone` and `other` are both about system.tone; name one of them"),
        (["SAME"], "the fix `same` changes nothing"),
    ],
)
def test_what_cannot_be_applied_is_said_in_one_sentence(
    tmp_path: Path, capsys: Any, words: list[str], said: str
) -> None:
    path = folder(tmp_path / "p")
    for name, text in (("other", "Be curt."), ("same", "Be kind.")):
        (tmp_path / f"{name}.yaml").write_text(f"fix: {name}\nkind: clause.edit\ntarget: system.tone\ntext: {text}\n")
    named = [str(tmp_path / f"{word.lower()}.yaml") if word.isupper() else word for word in words]
    ran = reroll(capsys, "apply", *named, "--project", path)
    assert ran.code == 2
    assert said in ran.err
    assert (path / "program.yaml").read_text() == PROGRAM
