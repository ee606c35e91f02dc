"""Recorded completions become cases, samples and projects, and what is biased about them is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reroll.check import Check
from reroll.checking import Checker
from reroll.errors import FileError, UsageError
from reroll.intake.importing import ImportedSample, import_file, project_from_recorded
from reroll.intake.recording import store_all
from reroll.project import load_project
from reroll.store import Store


def row(case: str = "q1", run: int = 0, answer: str | None = "4", **rest: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Add."}, {"role": "user", "content": f"{case}?"}]
    said = {"messages": messages, "completion": answer, "expected": "4"}
    return {"case_id": case, "run": run, "model": "m", "params": {"seed": 12}, **said, **rest}


def talk(case: str, run: int, reward: float, **rest: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": "Policy."},
        {"role": "user", "content": f"Hi {run}"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "content": "found"},
        {"role": "user", "content": "Bye"},
    ]
    return {"case_id": case, "run": run, "messages": messages, "completion": None, "reward": reward, **rest}


def save(folder: Path, *rows: dict[str, Any], name: str = "answers.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    data = "".join(json.dumps(r) + "\n" for r in rows).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_a_case_is_the_last_request_with_what_came_before_it(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three"}]},
    ]
    found = import_file(save(tmp_path, row(messages=messages)), checks=(Check.of("equals", "{expected}"),))
    (case,) = found.cases
    assert case.input == {"request": "three"}
    assert case.history == ({"role": "user", "content": "one"}, {"role": "assistant", "content": "two"})
    assert case.expected == "4"
    assert (found.system, found.params, found.caveats) == ("s", {"seed": 12}, ())


def test_every_row_is_a_sample_in_its_place(tmp_path: Path) -> None:
    kept: list[ImportedSample] = []
    path = save(tmp_path, row(run=3), row("q2"), row(run=1, answer=None, error="time-out"), row(variant="brief"))
    found = import_file(path, keep=kept.append)
    assert [(s.case.id, s.index, s.run, s.variant) for s in kept] == [
        ("q1", 0, 3, "baseline"), ("q2", 0, 0, "baseline"), ("q1", 1, 1, "baseline"), ("q1", 0, 0, "brief"),
    ]  # fmt: skip
    assert (kept[0].sample.completion.text if kept[0].sample.completion else None) == "4"
    assert kept[2].sample.error == "time-out"
    assert {s.source for s in kept} == {"imported"}
    assert (found.samples, found.variants, found.models) == (4, ("baseline", "brief"), ("m",))


def test_nothing_is_kept_of_a_file_that_is_amiss(tmp_path: Path) -> None:
    kept: list[ImportedSample] = []
    path = save(tmp_path, row(), {"case_id": "x"})
    with pytest.raises(FileError, match=r"answers.jsonl:2: "):
        import_file(path, keep=kept.append)
    assert kept == []
    with pytest.raises(FileError, match=r"answers.jsonl:1: `case_id`: holds half of a character"):
        import_file(save(tmp_path, row("\ud800")))
    with pytest.raises(FileError, match="no recorded completion was found in it"):
        import_file(save(tmp_path, name="empty.jsonl"))


def test_what_is_nested_deeper_than_any_request_is_refused_by_line(tmp_path: Path) -> None:
    def row(deep: int) -> str:
        message = json.dumps({"role": "user", "content": "x", "a": 0}).replace("0}", f"{'[' * deep}{']' * deep}}}")
        return f'{{"case_id": "a", "run": 0, "completion": "x", "messages": [{message}]}}\n'

    path = tmp_path / "rows.jsonl"
    path.write_text(row(90))
    project_from_recorded(path, tmp_path / "fine", "contains: x")
    path.write_text(row(1) + row(240).replace('"run": 0', '"run": 1'))
    with pytest.raises(FileError, match=r"rows.jsonl:2: is nested more than 100 deep"):
        project_from_recorded(path, tmp_path / "deep", "contains: x")


def test_the_rows_of_one_variant_can_be_chosen(tmp_path: Path) -> None:
    path = save(tmp_path, row(variant="plain"), row(variant="brief"), row(), row("q2", model="n"))
    assert import_file(f"{path}#variant=plain").samples == 1
    assert import_file(f"{path}#variant=baseline").samples == 2
    assert import_file(f"{path}#model=n").cases[0].id == "q2"
    with pytest.raises(UsageError, match=r"write .*#key=value, for example .*#variant=plain; got #plain"):
        import_file(f"{path}#plain")


def test_what_makes_a_rate_from_the_file_wrong_is_said(tmp_path: Path) -> None:
    other = [{"role": "user", "content": "what is q1?"}]
    path = save(
        tmp_path, row(), row(run=1, messages=other), row(run=2, expected="5"), row("q2", error="500", answer=None)
    )
    assert import_file(path).caveats == (
        "Cases have from 1 to 3 recorded runs; if that depended on the answers, a rate over all rows is biased.",
        "Case q1 was asked in several wordings; the first one stands for the case.",
        "Case q1 was recorded with several expected answers; the first one counts.",
        "1 of 4 rows are errors and count as invalid.",
    )


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_a_project_on_a_recording_loads_and_judges(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "data", row(), row(run=1, answer="5"), name=name)
    kept: list[ImportedSample] = []
    project_from_recorded(path, tmp_path / "p", 'equals: "{expected}"')
    project = load_project(tmp_path / "p")
    assert project.program.model == f"recorded:{path}"
    assert (project.program.system, project.program.params, project.program.effects) == ("Add.", {"seed": 12}, "none")
    import_file(path, keep=kept.append)
    with Checker(project.path) as checker:
        outcomes = [checker.judge(project.cases[0], project.program, s.sample)[0].outcome for s in kept]
    assert outcomes == ["pass", "fail"]


def test_a_recording_inside_the_project_is_named_relative_to_it(tmp_path: Path) -> None:
    save(tmp_path, row(variant="plain"))
    project_from_recorded(f"{tmp_path}/answers.jsonl#variant=plain", tmp_path, "contains: '4'")
    assert load_project(tmp_path).program.model == "recorded:answers.jsonl#variant=plain"


def test_whole_conversations_are_judged_by_their_reward(tmp_path: Path) -> None:
    path = save(tmp_path, talk("t1", 0, 1), talk("t1", 1, 0), talk("t2", 0, 1, instruction="You want to fly."))
    found = project_from_recorded(path, tmp_path / "p")
    assert found.conversations
    first, second = load_project(tmp_path / "p").cases
    assert first.input == {"request": "Hi 0"}
    assert [m["role"] for m in first.history] == ["user", "assistant", "tool", "user"]
    assert second.input == {"request": "You want to fly."}
    assert [c.model_dump() for c in first.checks] == [{"reward": 1}]


@pytest.mark.parametrize(
    ("rows", "check", "message"),
    [
        ([row()], None, "does not say what a right answer is; give a check, such as --check 'equals: \"{expected}\"'"),
        ([row()], "equal: x", "--check:1: `equal`: `equal` is no kind of check; did you mean `equals`?"),
        ([row(variant="a"), row(variant="b")], "equals: x", "holds 2 variants (a, b), and a project is one of them; "
         "choose it as "),
        ([row(), row(model="n")], "equals: x", "holds 2 models (m, n), and a project is one of them; choose it as "),
        ([row(), row("q2", expected=None)], "equals: '{expected}'",
         ":2: check `equals-1` asks for {expected}, and the case has no `expected`"),
    ],
)  # fmt: skip
def test_a_project_that_would_be_wrong_is_not_made(
    tmp_path: Path, rows: list[dict[str, Any]], check: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        project_from_recorded(save(tmp_path, *rows), tmp_path / "p", check)
    assert message in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_an_existing_project_is_not_overwritten(tmp_path: Path) -> None:
    path = save(tmp_path, row())
    (tmp_path / "cases.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        project_from_recorded(path, tmp_path, "contains: x")
    assert not (tmp_path / "program.yaml").exists()


texts = st.text(max_size=15) | st.sampled_from(["NO", "1.10", "{x}", "{{", "\x85", "a\n b\n", "\ud800", "\x00"])


@given(st.lists(st.tuples(texts.filter(lambda t: t and "\ud800" not in t), texts, texts), min_size=1, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_recorded_text_survives_the_way_through_the_project(tmp_path_factory: Any, said: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [row(case, messages=[{"role": "user", "content": asked}], expected=right) for case, asked, right in said]
    found = project_from_recorded(save(folder, *rows), folder, "equals: '{expected}'")
    assert load_project(folder).cases == found.cases


def keep_in(store: Store, path: Path) -> int:
    rows: list[ImportedSample] = []
    import_file(path, keep=rows.append)
    return store_all(store, path, rows)


def test_the_same_file_again_adds_nothing_and_a_changed_one_is_another_recording(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        path = save(tmp_path, *(row(run=i) for i in range(5)))
        assert [keep_in(store, path), keep_in(store, path)] == [5, 0]
        save(tmp_path, *(row(run=i, answer="5" if i < 2 else "4") for i in range(5)))
        assert [keep_in(store, path), keep_in(store, path)] == [5, 0]
        first, second = store.programs()
        for program, wanted in ((first, "44444"), (second, "55444")):
            kept = store.samples(program_id=program.id)
            assert "".join(s.sample.completion.text for s in kept if s.sample.completion) == wanted
            assert len({s.request_id for s in kept}) == 1
        assert len({s.request_id for s in store.samples()}) == 2


def test_rows_that_were_chosen_by_variant_are_stored_once(tmp_path: Path) -> None:
    path = save(tmp_path, row(variant="a"), row(variant="b"), row(run=1, variant="b"))
    with Store.open(":memory:") as store:
        assert keep_in(store, Path(f"{path}#variant=b")) == 2
