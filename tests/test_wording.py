"""Ways to say a request: whatever was typed becomes a program that words this very case so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reroll.case import Case
from reroll.errors import RerollError
from reroll.init import init_project
from reroll.project import Project, load_project
from reroll.wording import variant_of, wordings_of


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("meetings")
    init_project(folder)
    return load_project(folder)


def said(project: Project, *names: str, case: str = "next-friday") -> list[str]:
    """The last message of each wording's request for the case."""
    chosen = project.case(case)
    return [
        one.program.render(chosen.input, chosen.history).body["messages"][-1]["content"]
        for one in wordings_of(project, chosen, names)
    ]


def test_one_wording_is_held_against_the_baseline(project: Project) -> None:
    found = wordings_of(project, project.case("next-friday"), ["awkward"])
    assert [one.name for one in found] == ["baseline", "awkward"]
    assert found[0].program.id == project.program.id


def test_another_case_an_input_and_plain_words_all_become_the_user_message(project: Project) -> None:
    words = "Lunch with {Ana} next Friday, 100 % sure"
    assert said(project, "awkward", f"input.request={words}") == [project.case("awkward").input["request"], words]
    assert said(project, "baseline", words)[1] == words


def test_a_rewording_sends_what_the_other_case_sends(project: Project) -> None:
    case, other = project.case("next-friday"), project.case("awkward")
    found = wordings_of(project, case, ["awkward"])[1]
    assert found.program.render(case.input).id("m") == project.program.render(other.input).id("m")
    assert found.says == other.input["request"]


def test_a_part_of_the_program_is_changed_as_compare_changes_it(project: Project) -> None:
    found = wordings_of(project, project.case("next-friday"), ["system.note=Be careful.", "system.format="])
    assert found[0].program.id == variant_of(project, "system.note=Be careful.").id
    assert found[0].says == "system.note: Be careful."
    assert found[1].says == "system.format: (taken out)"


def test_another_folder_is_a_wording_too(project: Project, tmp_path: Path) -> None:
    init_project(tmp_path)
    file = tmp_path / "program.yaml"
    file.write_text(file.read_text().replace("one meeting", "a single meeting"))
    found = wordings_of(project, project.case("next-friday"), [str(tmp_path)])
    assert "a single meeting" in found[1].program.system_text()


def test_a_file_holds_a_wording_on_each_line(project: Project, tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("awkward\n\n  Lunch on Friday of next week  \n")
    assert said(project, "baseline", f"@{tmp_path / 'w.txt'}")[2] == "Lunch on Friday of next week"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "name two wordings"),
        (["baselin"], "did you mean `baseline`"),
        (["nope"], "it is none of a case's id"),
        (["next-friday"], "`baseline` and `next-friday` send the same request"),
        (["awkward", "awkward"], "send the same request"),
        (["input.reqest=x"], "did you mean `input.request`"),
        (["system.rol="], "did you mean `system.role`"),
        (["model=openai:other"], "go to different models"),
        (["@/no/such/file"], "cannot be read"),
        (["x" * 5000], "no wording"),
    ],
)
def test_what_is_no_wording_is_refused_in_a_sentence(project: Project, names: list[str], words: str) -> None:
    with pytest.raises(RerollError) as refused:
        wordings_of(project, project.case("next-friday"), names)
    assert words in str(refused.value)


def test_words_need_one_text_to_stand_for(project: Project) -> None:
    two = replace(project, program=project.program.model_copy(update={"user": "{request} {where}"}))
    case = Case(id="c", input={"request": "Lunch", "where": "here"})
    with pytest.raises(RerollError, match=r"several texts as input.*input\.request="):
        wordings_of(two, case, ["some other words"])
    raw = replace(project, program=project.program.model_copy(update={"raw": '{"messages": []}'}))
    with pytest.raises(RerollError, match="stored request"):
        wordings_of(raw, project.case("next-friday"), ["some other words"])


def test_another_conversation_is_no_wording(project: Project) -> None:
    talk = Case(id="talk", input={"request": "x"}, history=({"role": "user", "content": "hi"},))
    with pytest.raises(RerollError, match="another conversation"):
        wordings_of(replace(project, cases=(*project.cases, talk)), project.case("next-friday"), ["talk"])


def test_an_empty_file_is_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(RerollError, match="is empty"):
        wordings_of(project, project.case("next-friday"), [f"@{tmp_path / 'empty.txt'}"])
