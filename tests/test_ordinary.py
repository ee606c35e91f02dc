"""Recorded traffic as control cases of a project: what fits is added, what does not is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.cli import main as reroll
from reroll.init import init_project
from reroll.intake.ordinary import inputs_of
from reroll.program import PLACEHOLDER
from reroll.project import load_project

CHECK = "schema: true"
ANSWER = '{"date": "2026-11-23", "time": "10:00", "duration_min": 30, "attendees": ["Bo"]}'
Change = Callable[[int, dict[str, Any]], None]


def as_it_is(n: int, body: dict[str, Any]) -> None:
    """The request as the program sends it."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    init_project(tmp_path / "meetings")
    return tmp_path / "meetings"


def traffic(project: Path, calls: int, change: Change = as_it_is) -> Path:
    """So many calls of the project's own program, each of another request."""
    program = load_project(project).program
    rows: list[Mapping[str, Any]] = []
    for n in range(calls):
        body = json.loads(json.dumps(program.render({"request": f"Meet Bo at {n} o'clock"}).body))
        change(n, body)
        answer = {"choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]}
        rows.append({"request": {"model": "m", **body}, "response": answer})
    file = project.parent / "traffic.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def imported(project: Path, file: Path, most: int) -> int:
    return reroll(["import", str(file), "--controls", str(most), "--check", CHECK, "--project", str(project)])


def test_ordinary_requests_become_control_cases_and_the_rest_of_the_file_stays_as_it_is(project: Path) -> None:
    before = (project / "cases.yaml").read_text()
    assert imported(project, traffic(project, 30), 8) == 0
    assert (project / "cases.yaml").read_text().startswith(before)
    new = [c for c in load_project(project).cases if c.id.startswith("call-")]
    assert len(new) == len({c.input["request"] for c in new}) == 8
    assert all(c.set == "control" and [k.kind for k in c.checks] == ["schema"] for c in new)
    sent = {load_project(project).program.render(c.input, c.history).body["messages"][-1]["content"] for c in new}
    assert sent < {f"Meet Bo at {n} o'clock" for n in range(30)}


def test_the_traffic_is_judged_by_the_form_that_the_program_asks_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(project, traffic(project, 3), 3) == 0
    assert "fails 0 % of the time" in " ".join(capsys.readouterr().out.split())


def test_what_only_a_person_can_judge_is_taken_in_without_asking_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asks = "cases:\n- id: bo\n  input: {request: Meet Bo at 1 o'clock}\n  checks:\n  - person: Is it right?\n"
    (project / "cases.yaml").write_text(asks)
    assert reroll(["import", str(traffic(project, 2)), "--project", str(project)]) == 0
    assert "Stored 2 samples" in " ".join(capsys.readouterr().out.split())


def test_which_ones_is_chance_but_the_same_each_time_and_none_comes_twice(project: Path, tmp_path: Path) -> None:
    file = traffic(project, 30)
    init_project(tmp_path / "other")
    for folder in (project, tmp_path / "other"):
        assert imported(folder, file, 8) == 0
    assert [c.id for c in load_project(project).cases] == [c.id for c in load_project(tmp_path / "other").cases]
    assert imported(project, file, 1000) == 0
    assert len([c for c in load_project(project).cases if c.id.startswith("call-")]) == 30


def test_calls_of_another_feature_are_none_and_another_system_message_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (project / "program.yaml").read_text()
    (project / "program.yaml").write_text(program.replace('user: "{request}"', 'user: "Book this: {request}"'))

    def change(n: int, body: dict[str, Any]) -> None:
        if n < 3:
            body["messages"][-1]["content"] = f"Translate {n}"
        if n == 5:
            body["messages"][0]["content"] = "An older prompt."

    assert imported(project, traffic(project, 10, change), 20) == 0
    new = [c for c in load_project(project).cases if c.id.startswith("call-")]
    assert sorted(c.input["request"] for c in new) == [f"Meet Bo at {n} o'clock" for n in range(3, 10)]
    said = " ".join(capsys.readouterr().out.split())
    assert "7 control cases added" in said
    assert "No control case was made of 3 calls of another feature" in said
    assert "1 control case was recorded with another system message" in said


def test_a_turn_of_a_conversation_keeps_what_was_said_before(project: Path) -> None:
    def change(n: int, body: dict[str, Any]) -> None:
        body["messages"] += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": f"And at {n}?"}]

    assert imported(project, traffic(project, 1, change), 5) == 0
    case = next(c for c in load_project(project).cases if c.id.startswith("call-"))
    assert case.input == {"request": "And at 0?"}
    assert [m["content"] for m in case.history] == ["Meet Bo at 0 o'clock", "Done."]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--controls", "5"], "--controls needs --check"),
        (["--controls", "-1", "--check", CHECK], "up to 1000, got -1"),
        (["--controls", "5", "--check", CHECK, "--into", "new"], "leave one out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    project: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reroll(["import", str(traffic(project, 2)), *words, "--project", str(project)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_where_nothing_fits_the_file_stays_and_the_reason_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (project / "program.yaml").read_text()
    file = traffic(project, 2)
    (project / "program.yaml").write_text(program.replace('user: "{request}"', 'user: "Book this: {request}"'))
    before = (project / "cases.yaml").read_bytes()
    assert imported(project, file, 5) == 2
    assert "2 calls of another feature" in " ".join(capsys.readouterr().err.split())
    assert (project / "cases.yaml").read_bytes() == before


def as_a_pattern(template: str, text: str) -> dict[str, str] | None:
    """The same by a pattern of `re`, whose time can grow with a power of the text's length."""
    pattern, at, known = "", 0, set[str]()
    for mark in PLACEHOLDER.finditer(template):
        pattern += re.escape(template[at : mark.start()])
        name, at = mark[1], mark.end()
        pattern += re.escape(mark[0][0]) if name is None else f"(?P={name})" if name in known else f"(?P<{name}>.*)"
        known |= {name} if name else set()
    found = re.fullmatch(pattern + re.escape(template[at:]), text, re.S)
    return None if found is None else found.groupdict()


@given(
    st.lists(st.sampled_from(["{a}", "{b}", "{c}", "x", "y", " ", "{{", "}}", "\n"]), max_size=7).map("".join),
    st.text("xy {}\nab", max_size=10),
)
def test_a_template_is_read_backwards_as_a_pattern_would_read_it(template: str, text: str) -> None:
    assert inputs_of(template, text) == as_a_pattern(template, text)


def test_a_text_is_held_against_a_template_in_a_time_that_grows_with_it() -> None:
    assert inputs_of("{a}, {b}, {c}, {d}!", ", " * 500_000) is None
    assert inputs_of("{a}, {b}, {a}!", ", " * 500_000) is None
    assert inputs_of("{a} {b} {c} {d} {e} {f} {g} {a}", " " * 150 + "x") is None
