"""`reroll init`: the bundled example as a new project."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.init import EXAMPLE, init_project, write_new
from reroll.project import load_project, parse_yaml, schemas
from reroll.sample import Completion, Sample


def test_a_new_project_loads_and_has_every_set_of_cases(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "meetings"
    written = init_project(folder)
    project = load_project(folder)
    assert folder / "program.yaml" in written
    assert all(path.is_file() for path in written)
    assert {case.set for case in project.cases} == {"case", "neighbour", "lookalike", "control"}
    assert project.case("next-friday").checks
    assert project.program.target == 0.99
    assert project.fixes


def test_every_bundled_file_fits_its_published_schema() -> None:
    for name, file in (("program", "program.yaml"), ("cases", "cases.yaml")):
        jsonschema.validate(parse_yaml((EXAMPLE / file).read_text(), file), schemas()[name])
    for path in (EXAMPLE / "fixes").iterdir():
        jsonschema.validate(parse_yaml(path.read_text(), path), schemas()["fix"])


def test_the_examples_checks_can_tell_right_from_wrong(tmp_path: Path) -> None:
    init_project(tmp_path)
    project = load_project(tmp_path)
    case = project.case("next-friday")
    wanted = next(c.value["date"] for c in case.checks if c.kind == "json")
    right = f'{{"date": "{wanted}", "time": "12:00", "duration_min": 60, "attendees": ["Ana"]}}'
    with Checker(tmp_path) as checker:
        for text, outcomes in ((right, {"pass"}), (right.replace(wanted, "2026-01-01"), {"pass", "fail"})):
            judged = checker.judge(case, project.program, Sample(Completion(text)))
            assert {o.outcome for o in judged} == outcomes


def test_each_request_of_the_example_can_be_made() -> None:
    project = load_project(EXAMPLE)
    for case in project.cases:
        messages = project.program.render(case.input, case.history).body["messages"]
        assert messages[-1] == {"role": "user", "content": case.input["request"]}


@pytest.mark.parametrize("name", ["program.yaml", "cases.yaml", "fixes/describe-date.yaml"])
def test_nothing_is_ever_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="exists already and was left as it is, nothing was written"):
        init_project(tmp_path)
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot make a project in .*file"):
        write_new(tmp_path / "file", {"a": "b"})
