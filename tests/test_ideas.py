"""Ideas from anyone: in words, written as a fix, confirmed by whoever had them, tried blind, and thanked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.cli import main
from reroll.errors import FileError, UsageError
from reroll.fix import Fix
from reroll.ideas import Idea, author_of, blind_name, blinded, board_of, fix_to_try, unblinded
from reroll.ideas_file import add_idea, change_idea, read_ideas
from reroll.init import init_project
from reroll.ledger import ledger_of
from reroll.project import Project, load_project
from tests.background import in_background, in_turn, reroll, write_project
from tests.test_ledger import store_with, tried

LENA = Idea(idea="Say what next Friday means", by="lena", case="next-friday")
DESCRIBE = Fix(
    fix="describe-date", kind="field.describe", target="response.date.description", text="ISO.", author="ana"
)


@pytest.fixture
def meetings(tmp_path: Path) -> Path:
    init_project(tmp_path / "meetings")
    return tmp_path / "meetings"


def written(folder: Path, text: str) -> Project:
    (folder / "ideas.yaml").write_text(text)
    return load_project(folder)


# -- blind


def test_nothing_in_the_name_that_it_is_tried_under_tells_whose_or_what_it_is() -> None:
    idea = LENA.model_copy(update={"fix": "describe-date", "confirmed": True})
    found, fix = fix_to_try("idea:1", [idea], [DESCRIBE])
    assert fix.fix == blind_name(idea)
    assert fix.author == ""
    assert not {"lena", "ana", "date"} & set(fix.fix.split("-"))
    assert fix.id == DESCRIBE.id
    assert author_of(found) == "lena"


def test_only_what_its_author_confirmed_is_tried() -> None:
    with pytest.raises(UsageError, match="is words so far"):
        fix_to_try("idea:1", [LENA], [DESCRIBE])
    with pytest.raises(UsageError, match="lena has to say that the fix `describe-date` is what was meant"):
        fix_to_try("1", [LENA.model_copy(update={"fix": "describe-date"})], [DESCRIBE])
    with pytest.raises(UsageError, match="there is one, idea:1"):
        fix_to_try("idea:2", [LENA], [])


def test_newcomers_and_engineers_stand_side_by_side_with_what_helped() -> None:
    idea = LENA.model_copy(update={"fix": "a", "confirmed": True})
    a = Fix(fix="a", kind="clause.add", target="system.a", text="a", author="ana")
    made = [tried("a", 1, case="next-friday"), tried("b", 2, "reject", case="next-friday", author="omar")]
    evidence = {**made[0].evidence, "fix": {**blinded(a, idea).model_dump(), "id": a.id}}
    blind = [replace(made[0], evidence=evidence), made[1]]
    entries = ledger_of("p", blind).fixes
    assert {one.fix for one in entries} == {blind_name(idea), "b"}
    board = board_of([idea], [a], unblinded(entries, [idea], [a]), load_program(), "next-friday")
    assert [(one.by, one.ideas, one.tried, one.helped) for one in board.thanks] == [
        ("lena", 1, 1, ("a",)),
        ("omar", 0, 1, ()),
    ]
    assert [(one.fix, one.verdict) for one in board.tried] == [("a", "accept"), ("b", "reject")]
    assert (board.ideas[0].state, board.ideas[0].verdict) == ("tried", "accept")
    assert board.ideas[0].diff == "+ system.a: a"


def test_until_there_is_a_verdict_a_trial_keeps_its_blind_name() -> None:
    idea = LENA.model_copy(update={"fix": "a", "confirmed": True})
    a = Fix(fix="a", kind="clause.add", target="system.a", text="a", author="ana")
    (made,) = [tried("a", 1, "undecided", case="next-friday")]
    evidence = {**made.evidence, "fix": {**blinded(a, idea).model_dump(), "id": a.id}}
    entries = unblinded(ledger_of("p", [replace(made, evidence=evidence)]).fixes, [idea], [a])
    board = board_of([idea], [a], entries, load_program(), "next-friday")
    assert [(one.fix, one.author) for one in board.tried] == [(blind_name(idea), "")]
    assert (board.ideas[0].state, board.ideas[0].verdict, board.thanks[0].tried) == ("ready", None, 0)


def load_program() -> Any:
    from reroll.program import Program

    return Program(program="p", system={"role": "Be kind."})


# -- the file


def test_the_file_keeps_its_comments_and_its_style(meetings: Path) -> None:
    text = """# what we thought of
ideas:
# from the meeting on Monday
- idea: "Ask twice"   # really
  by: omar
  case: half-seven

  # the end
"""
    project = written(meetings, text)
    assert add_idea(project, LENA) == 2
    (meetings / "fixes" / "ask.yaml").write_text("fix: ask\nkind: sample.vote\nn: 3\n")
    change_idea(load_project(meetings), 1, {"fix": "ask", "confirmed": True})
    after = (meetings / "ideas.yaml").read_text()
    for line in text.splitlines():
        assert line in after
    assert (
        "  case: half-seven\n  confirmed: true\n  fix: ask\n" in after
        or "  case: half-seven\n  fix: ask\n  confirmed: true\n" in after
    )
    assert read_ideas(load_project(meetings))[1] == LENA


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing yet\n", "ideas:\n", "ideas: []\n", "ideas: null  # none\n", "ideas:",
        "ideas: [{idea: x, by: y, case: half-seven}]\n",
        "ideas:\n  - {idea: x, by: y, case: half-seven}  # short",
        "ideas:\n  -   idea: |\n        x\n\n      by: y\n      case: half-seven\n",
        "ideas:\r\n  - idea: x\r\n    by: y\r\n    case: half-seven\r\n",
    ],
)  # fmt: skip
def test_ideas_are_added_to_and_changed_in_a_file_of_any_style(meetings: Path, text: str) -> None:
    (meetings / "ideas.yaml").write_bytes(text.encode())
    before = read_ideas(load_project(meetings))
    number = add_idea(load_project(meetings), LENA)
    project = load_project(meetings)
    for k in range(1, number + 1):
        change_idea(project, k, {"fix": "describe-date", "confirmed": True})
        change_idea(project, k, {"confirmed": False})
    changed = [idea.model_copy(update={"fix": "describe-date"}) for idea in (*before, LENA)]
    assert list(read_ideas(project)) == changed


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60))
def test_any_words_come_back_as_they_were(words: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), load_program(), load_cases())
        for style in ("", "ideas: [{idea: x, by: y, case: next-friday}]\n"):
            (Path(folder) / "ideas.yaml").write_text(style)
            idea = Idea(idea=" ".join(words.split()) or "x", by="lena", case="next-friday")
            add_idea(project, idea)
            assert read_ideas(project)[-1] == idea


def load_cases() -> Any:
    from reroll.case import Case

    return (Case(id="next-friday"),)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("ideas:\n  - idea: x\n    by: y\n    case: next-fryday\n", 4, "did you mean `next-friday`"),
        ("ideas:\n  - idea: x\n    by: y\n    case: next-friday\n    fix: describe-dat\n", 5, "describe-date"),
        ("ideas:\n  - idea: x\n    case: next-friday\n", 2, "by"),
        ("ideas:\n  - {idea: x, by: y, case: next-friday, who: z}\n", 2, "who"),
        ("ideas:\n  - {idea: x, by: y, case: next-friday, confirmed: true}\n", 2, "nothing is written yet"),
        ("ideas:\n  - {idea: x, by: NO, case: next-friday, confirmed: NO}\n", 2, "true or false"),
        ("- idea: x\n", 1, "needs `ideas:`"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(meetings: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(FileError, match=words) as wrong:
        read_ideas(written(meetings, text))
    assert wrong.value.line == line


# -- as a person does it


def test_an_idea_goes_from_words_to_a_confirmed_fix(meetings: Path, capsys: Any, tmp_path: Path) -> None:
    at = ("--project", meetings)
    reroll(capsys, "ideas", "add", "Say", "what next Friday means", "--case", "next-friday", "--by", "Lena", *at)
    mine = tmp_path / "mine.yaml"
    mine.write_text("fix: weeks\nkind: clause.add\ntarget: system.weeks\ntext: Weeks begin on Monday.\nauthor: omar\n")
    shown = reroll(capsys, "ideas", "write", "1", "--fix", mine, *at)
    assert "+ system.weeks: Weeks begin on Monday." in shown.out
    assert (meetings / "fixes" / "weeks.yaml").exists()
    assert main(["ideas", "confirm", "1", "--by", "omar", "--project", str(meetings)]) == 2
    assert "idea-author" in capsys.readouterr().err
    reroll(capsys, "ideas", "confirm", "1", "--by", "lena", *at)
    found = reroll(capsys, "ideas", "next-friday", "--json", *at).json
    assert found["schema"] == "reroll.ideas/1"
    assert [(one["by"], one["fix"], one["confirmed"], one["state"]) for one in found["ideas"]] == [
        ("Lena", "weeks", True, "ready")
    ]
    store_with(meetings, [tried("x", 1, case="next-friday")])
    page = reroll(capsys, "ideas", *at).out
    assert "accepted  x" in page
    assert "35 % → 2 %" in page


def test_writing_it_again_asks_for_confirmation_again(meetings: Path, capsys: Any) -> None:
    written(meetings, "ideas:\n  - {idea: x, by: y, case: next-friday, fix: describe-date, confirmed: true}\n")
    other = meetings / "fixes" / "other.yaml"
    other.write_text("fix: other\nkind: sample.vote\nn: 3\n")
    reroll(capsys, "ideas", "write", "1", "--fix", other, "--project", meetings)
    (idea,) = read_ideas(load_project(meetings))
    assert (idea.fix, idea.confirmed) == ("other", False)


def test_a_model_writes_an_idea_as_a_fix(tmp_path: Path, capsys: Any) -> None:
    change = {"kind": "clause.add", "target": "system.no", "text": "Never say no.", "why": "It says no."}
    with in_background(in_turn(json.dumps({"changes": [change]}))) as (server, url):
        project = write_project(tmp_path / "p", url)
        reroll(capsys, "ideas", "add", "just forbid it", "--case", "greet", "--by", "lena", "--project", project)
        shown = reroll(capsys, "ideas", "write", "1", "--project", project, "--yes", "--quiet")
        assert server.calls == 1
    assert "idea-1-clause-add" in shown.out
    (fix,) = load_project(project).fixes
    assert (fix.fix, fix.text, fix.author) == ("idea-1-clause-add", "Never say no.", "openai:tiny")
    assert (project / "fixes" / "idea-1-clause-add.yaml").read_text().startswith("# Written by openai:tiny")


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (["ideas", "add", "x"], "idea"),
        (["ideas", "add", "x", "--case", "no-such", "--by", "y"], "no-case"),
        (["ideas", "add", " ", "--case", "next-friday", "--by", "y"], "idea"),
        (["ideas", "write"], "idea"),
        (["ideas", "write", "1"], "no-idea"),
        (["ideas", "confirm", "x", "--by", "y"], "no-idea"),
        (["ideas", "confirm", "1", "--fix", "x"], "idea"),
        (["ideas", "no-such"], "no-case"),
        (["ideas", "a", "b"], "idea"),
        (["ideas", "write", "1", "--fix", "no-such-fix"], "no-idea"),
    ],
)
def test_what_makes_no_sense_is_refused(meetings: Path, capsys: Any, words: list[str], slug: str) -> None:
    assert main([*words, "--project", str(meetings)]) == 2
    assert f"[{slug}]" in capsys.readouterr().err


def test_the_bundled_model_says_that_it_cannot_write(meetings: Path, capsys: Any) -> None:
    written(meetings, "ideas:\n  - {idea: x, by: y, case: next-friday}\n")
    assert main(["ideas", "write", "1", "--project", str(meetings)]) == 2
    assert "[no-writer]" in capsys.readouterr().err
    assert read_ideas(load_project(meetings))[0].fix is None


def test_a_fix_of_the_project_goes_by_its_name_and_an_idea_is_there_once(meetings: Path, capsys: Any) -> None:
    add = ["ideas", "add", "Say the week", "--case", "next-friday", "--by", "lena", "--project", str(meetings)]
    name = load_project(meetings).fixes[0].fix
    assert main(add) == 0
    assert main(add) == 2
    assert "this idea is there already, as idea 1" in capsys.readouterr().err
    assert main(["ideas", "write", "1", "--fix", name, "--project", str(meetings)]) == 0
    assert read_ideas(load_project(meetings))[0].fix == name


def test_a_fix_that_cannot_be_applied_is_no_way_to_write_an_idea(meetings: Path, capsys: Any) -> None:
    written(meetings, "ideas:\n  - {idea: x, by: y, case: next-friday}\n")
    wrong = meetings / "wrong.yaml"
    wrong.write_text("fix: w\nkind: clause.edit\ntarget: system.rol\ntext: x\n")
    assert main(["ideas", "write", "1", "--fix", str(wrong), "--project", str(meetings)]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert not (meetings / "fixes" / "w.yaml").exists()
