"""`reroll check`: labels read, asked for and kept; what they show of a check; every slip in a sentence."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reroll.case import Label
from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.labelling import append_label
from reroll.program import Program
from reroll.project import Project, load_project, read_labels
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from tests.background import Ran, reroll

CASES = """\
cases:
  - id: greet
    input: {request: "Say yes"}
    checks: [{name: says-yes, contains: "yes"}, {name: short, matches: "^.{0,12}$"}]
  - id: part
    input: {request: "Say goodbye"}
    checks: [{name: says-bye, contains: "bye"}]
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_"):
            monkeypatch.delenv(name)


def a_project(folder: Path, texts: Sequence[str | None], case: str = "greet", cases: str = CASES) -> list[str]:
    """A project with runs that said these texts (None: a time-out); their sample ids."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.yaml").write_text("program: greeting\nmodel: openai:tiny\nuser: '{request}'\n")
    (folder / "cases.yaml").write_text(cases)
    program = Program(program="greeting", model="openai:tiny", user="{request}")
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        program_id = store.put_program(program)
        request = program.render({"request": "Say yes"})
        store.put_request("r1", request, "tiny")
        return store.add_samples(
            [
                NewSample(
                    Sample(error="time-out") if text is None else Sample(Completion(text)),
                    request_id="r1",
                    series=f"open-{case}",
                    idx=i,
                    program_id=program_id,
                    case_id=case,
                )
                for i, text in enumerate(texts)
            ]
        )


def write_labels(path: Path, said: list[tuple[str, str]], by: str = "ana") -> Path:
    lines = [json.dumps({"sample": id, "outcome": outcome, "by": by}) for id, outcome in said]
    path.write_text("\n".join(lines) + "\n")
    return path


def says(folder: Path, body: str) -> str:
    """A command that stands for a person: `body` sees the sample as `d`."""
    script = folder / "person.py"
    script.write_text(f"import json, sys\nd = json.load(sys.stdin)\n{body}\n")
    return shlex.join([sys.executable, str(script)])


def check(capsys: Any, project: Path, *arguments: object) -> Ran:
    return reroll(capsys, "check", *arguments, "--project", project)


# -- what the labels show ----------------------------------------------------------------------------------------------


def test_labels_give_the_errors_of_a_check_and_the_corrected_rate(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 30 + ["no"] * 10)
    said = [(id, "pass") for id in ids[:18]] + [(ids[18], "fail"), (ids[19], "fail")]
    said += [(id, "fail") for id in ids[30:36]] + [(ids[36], "pass"), (ids[37], "pass")]
    write_labels(tmp_path / "labels.jsonl", said)
    found = check(capsys, tmp_path, "says-yes", "--json").json
    rate = 0.25 * 6 / 8 + 0.75 * 2 / 20
    assert (found["schema"], found["name"], found["labels"]) == ("reroll.check/1", "says-yes", 28)
    assert found["rate"]["value"] == pytest.approx(rate)
    assert found["rate"]["low"] < rate < found["rate"]["high"]
    assert found["rate"]["n"] == 40
    assert found["sensitivity"]["value"] == pytest.approx(0.25 * 6 / 8 / rate)
    assert found["specificity"]["value"] == pytest.approx(0.75 * 18 / 20 / (1 - rate))
    assert found["flag_rate"]["value"] == 0.25
    assert found["self_agreement"]["value"] == 1
    assert found["self_agreement"]["n"] == 20
    assert [case["id"] for case in found["cases"]] == ["greet"]
    assert any("missed by `says-yes`" in caveat for caveat in found["caveats"])


def test_without_a_name_all_checks_of_each_case_are_taken_together(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes", "yes, and on and on and on", "no"])
    write_labels(tmp_path / "labels.jsonl", [(id, o) for id, o in zip(ids, ["pass", "fail", "fail"], strict=True)])
    found = check(capsys, tmp_path, "--json").json
    assert found["name"] is None
    assert (found["flag_rate"]["value"], found["sensitivity"]["value"], found["rate"]["value"]) == pytest.approx(
        (2 / 3, 1, 2 / 3)
    )


def test_the_page_says_what_is_and_what_is_not_a_failure_rate(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 30 + ["no"] * 10)
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids[:10]] + [(id, "fail") for id in ids[30:35]])
    page = check(capsys, tmp_path, "says-yes").out
    assert "Corrected by labels" in page
    assert "not a failure rate" in page
    assert "95 % sure at one planned look" in page
    assert all(len(line) <= 100 for line in page.splitlines())


def test_time_outs_stay_in_and_count_both_ways(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 20 + ["no"] * 10 + [None] * 10)
    said = [(id, "pass") for id in ids[:20]] + [(id, "fail") for id in ids[20:31]]
    write_labels(tmp_path / "labels.jsonl", said)
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert found["rate"]["n"] == 40
    assert found["rate"]["low"] < 0.25
    assert found["rate"]["high"] > 0.5
    assert found["labels"] == 30
    assert any(c.startswith("10 runs could not be judged") for c in found["caveats"])
    assert any(c.startswith("1 label left out: on runs that the check could not judge") for c in found["caveats"])


def test_people_who_differ_count_as_unsure_and_the_sure_outweigh_the_unsure(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 10 + ["no"] * 10)
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids[:10]] + [(id, "fail") for id in ids[10:]])
    with (tmp_path / "labels.jsonl").open("a") as file:
        file.write(json.dumps({"sample": ids[0], "outcome": "fail", "by": "ben"}) + "\n")
        file.write(json.dumps({"sample": ids[1], "outcome": "unsure", "by": "ben"}) + "\n")
        file.write(json.dumps({"sample": ids[2], "outcome": "pass", "by": "ben"}) + "\n")
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert (found["labels"], found["unsure"]) == (20, 1)
    assert found["pass_wrong"]["n"] == 10


def test_labels_on_other_cases_are_left_out_and_said(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 5 + ["no"] * 5)
    others = a_project(tmp_path, ["bye"] * 3, case="part")
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids[:5]] + [(id, "pass") for id in others])
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert found["labels"] == 5
    assert any(c.startswith("3 labels left out") for c in found["caveats"])
    assert any("No label is on a flagged run" in c for c in found["caveats"])
    assert found["rate"]["value"] is None


def test_a_reported_run_is_no_evidence(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 4)
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        (one,) = store.samples(limit=1)
        reported = store.add_sample(
            Sample(Completion("no")),
            request_id="r1",
            series="reported",
            idx=0,
            program_id=one.program_id,
            case_id="greet",
            source="reported",
        )
    write_labels(tmp_path / "labels.jsonl", [(ids[0], "pass"), (reported, "fail")])
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert (found["labels"], found["rate"]["n"]) == (1, 4)


def test_a_check_that_changes_its_mind_is_caught(tmp_path: Path, capsys: Any) -> None:
    cases = CASES.replace('{name: says-yes, contains: "yes"}', '{name: fickle, python: "checks:fickle"}')
    ids = a_project(tmp_path, ["yes"] * 12, cases=cases)
    (tmp_path / "checks.py").write_text(
        "calls = [0]\ndef fickle(text, sample):\n    calls[0] += 1\n    return calls[0] % 3 != 0\n"
    )
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids])
    found = check(capsys, tmp_path, "fickle", "--json", "--again", 11).json
    assert found["self_agreement"]["value"] < 1
    assert found["self_agreement"]["n"] == 11
    assert found["self_agreement"]["beyond_chance"]["value"] < 1


# -- asking for labels -------------------------------------------------------------------------------------------------


def test_half_of_the_labels_asked_for_lie_on_flags_and_all_are_kept(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 90 + ["no"] * 10)
    person = says(tmp_path, "print('pass' if 'yes' in d['text'] else 'fail')")
    ran = check(capsys, tmp_path, "says-yes", "--label", 8, "--person", person, "--by", "ben", "--json")
    assert ran.json["labels"] == 8
    assert "8 labels added" in ran.err
    kept = [label for _, label in read_labels(tmp_path / "labels.jsonl")]
    assert {label.by for label in kept} == {"ben"}
    assert sum(label.sample in ids[90:] for label in kept) == 4
    assert all(label.outcome == ("fail" if label.sample in ids[90:] else "pass") for label in kept)
    again = check(capsys, tmp_path, "says-yes", "--label", 9, "--person", person, "--by", "ben", "--json").json
    assert again["labels"] == 17
    assert len({label.sample for _, label in read_labels(tmp_path / "labels.jsonl")}) == 17


def test_labels_given_before_a_person_breaks_off_are_kept(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"] * 10 + ["no"] * 10)
    counter = tmp_path / "count"
    body = (
        f"from pathlib import Path\nc = Path({str(counter)!r})\nn = int(c.read_text()) if c.exists() else 0\n"
        "c.write_text(str(n + 1))\nprint('pass' if n < 3 else 'banana')"
    )
    ran = check(capsys, tmp_path, "says-yes", "--label", 8, "--person", says(tmp_path, body))
    assert "the person said 'banana', not pass, fail or unsure; the labels given before are kept" in ran.complaint
    assert len(read_labels(tmp_path / "labels.jsonl")) == 3


def test_doubt_is_a_label_too(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"] * 5 + ["no"] * 5)
    found = check(
        capsys, tmp_path, "says-yes", "--label", 4, "--person", says(tmp_path, "print('unsure')"), "--json"
    ).json
    assert (found["labels"], found["unsure"]) == (4, 4)
    assert (found["rate"]["value"], found["rate"]["low"], found["rate"]["high"]) == (None, 0, 1)


def test_labels_go_to_the_file_that_is_named(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"] * 5 + ["no"] * 5)
    mine = tmp_path / "mine.jsonl"
    person = says(tmp_path, "print('pass')")
    check(capsys, tmp_path, "says-yes", "--label", 2, "--person", person, "--labels", mine, "--json")
    assert len(read_labels(mine)) == 2
    assert not (tmp_path / "labels.jsonl").exists()


def test_a_label_never_joins_an_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"sample": "s_1", "outcome": "pass"}')
    append_label(path, Label(sample="s_2", outcome="fail", by="ünal"))
    append_label(path, Label(sample="s_3", outcome="unsure"))
    assert [(line, label.sample) for line, label in read_labels(path)] == [(1, "s_1"), (2, "s_2"), (3, "s_3")]
    assert "ünal" in path.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        append_label(tmp_path, Label(sample="s_1", outcome="pass"))


# -- slips -------------------------------------------------------------------------------------------------------------


def test_a_check_that_does_not_exist_names_the_near_one(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"])
    assert "no check `say-yes`" in (said := check(capsys, tmp_path, "say-yes").complaint)
    assert "did you mean `says-yes`? [no-check]" in said
    assert "the checks are says-bye, says-yes, short" in check(capsys, tmp_path, "xyz").complaint


def test_without_any_label_one_sentence_says_how_to_give_some(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"])
    assert "--label 20" in (said := check(capsys, tmp_path, "says-yes").complaint)
    assert "[no-labels]" in said
    assert "there is no file" in check(capsys, tmp_path, "says-yes", "--labels", tmp_path / "none.jsonl").complaint


def test_a_label_on_an_unknown_sample_says_the_line(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"])
    write_labels(tmp_path / "labels.jsonl", [(ids[0], "pass"), ("s_nothere", "pass")])
    said = check(capsys, tmp_path, "says-yes").complaint
    assert "labels.jsonl:2" in said
    assert "no stored sample has the id `s_nothere`" in said
    assert "[unknown-sample]" in said


def test_one_person_who_says_two_things_of_a_sample_is_asked_to_choose(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"])
    write_labels(tmp_path / "labels.jsonl", [(ids[0], "pass"), (ids[0][2:], "fail")])
    said = check(capsys, tmp_path, "says-yes").complaint
    assert "labels.jsonl:2: ana says fail" in said
    assert "and pass in line 1; keep one" in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not a JSON object"),
        ("[1]", "a label is a JSON object"),
        ('{"sample": "s_1"}', "`outcome` is missing"),
        ('{"sample": "s_1", "outcome": "fial"}', "did you mean `fail`?"),
        ('{"sample": "s_1", "outcome": "fail", "bye": "x"}', "did you mean `by`?"),
    ],
)
def test_a_line_that_is_no_label_is_named(tmp_path: Path, capsys: Any, line: str, words: str) -> None:
    a_project(tmp_path, ["yes"])
    path = tmp_path / "mine.jsonl"
    path.write_text(line + "\n")
    said = check(capsys, tmp_path, "says-yes", "--labels", path).complaint
    assert "mine.jsonl:1" in said
    assert words in said


def test_with_nobody_to_ask_and_nothing_stored_it_says_so(tmp_path: Path, capsys: Any) -> None:
    a_project(tmp_path, ["yes"])
    assert "nobody is there to ask" in check(capsys, tmp_path, "says-yes", "--label", 2).complaint
    assert "no run of part is stored" in check(capsys, tmp_path, "says-bye").complaint
    assert "--again is a number of runs" in check(capsys, tmp_path, "says-yes", "--again", -1).complaint
    assert "--alpha" in check(capsys, tmp_path, "says-yes", "--alpha", 2).complaint


def test_looking_changes_nothing(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 5 + ["no"] * 5)
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids])
    before = (tmp_path / "labels.jsonl").read_bytes()
    one, two = (check(capsys, tmp_path, "says-yes", "--json").json for _ in range(2))
    assert one == two
    assert (tmp_path / "labels.jsonl").read_bytes() == before


def test_labels_that_another_check_s_flags_chose_are_left_out(tmp_path: Path, capsys: Any) -> None:
    """Half of them lie on what that check flags: with them another check's rate came out six times too high."""
    a_project(tmp_path, ["yes"] * 10 + ["no"] * 10)
    person = says(tmp_path, "print('pass')")
    assert check(capsys, tmp_path, "says-yes", "--label", 8, "--person", person).code == 0
    said = check(capsys, tmp_path, "short").complaint
    assert "were chosen by what another check flags" in said
    labels = (tmp_path / "labels.jsonl").read_text().splitlines()
    assert {json.loads(line)["check"] for line in labels} == {"says-yes"}
    with (tmp_path / "labels.jsonl").open("a") as file:
        first = json.loads(labels[0])["sample"]
        file.write(json.dumps({"sample": first, "outcome": "pass", "by": "bo"}) + "\n")
    found = check(capsys, tmp_path, "short", "--json").json
    assert found["labels"] == 1
    assert any("8 labels left out" in c for c in found["caveats"])


def test_a_check_that_judged_with_others_before_the_runs_is_not_exploratory(tmp_path: Path, capsys: Any) -> None:
    project = load_project_with(tmp_path)
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store, Checker(tmp_path) as checker:
        store.first_used(checker.ids(project.case("greet"), project.program), "r1")
    ids = a_project(tmp_path, ["yes"] * 6 + ["no"] * 6)
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids[:3]] + [(id, "fail") for id in ids[6:9]])
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert not any("Exploratory" in c for c in found["caveats"])


def load_project_with(folder: Path) -> Project:
    a_project(folder, [])
    return load_project(folder)


def test_a_check_written_after_the_runs_says_that_it_is_exploratory(tmp_path: Path, capsys: Any) -> None:
    ids = a_project(tmp_path, ["yes"] * 6 + ["no"] * 6)
    write_labels(tmp_path / "labels.jsonl", [(id, "pass") for id in ids[:3]] + [(id, "fail") for id in ids[6:9]])
    found = check(capsys, tmp_path, "says-yes", "--json").json
    assert any("Exploratory: 12 runs are older than this check" in c for c in found["caveats"])
