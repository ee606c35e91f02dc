"""Stored runs become training data: what was graded, with the very prompt that it answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reroll.program import Request
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.store import Store
from reroll.training_export import training_lines
from tests.background import in_background, in_turn, reroll, write_project

PROMPT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say yes"}]


@pytest.fixture
def project(tmp_path: Path, capsys: Any) -> Path:
    """Two runs of `greet` that failed in two ways, and one that passed."""
    with in_background(in_turn("no", "yes", "never", "no")) as (_, url):
        path = write_project(tmp_path / "p", url, "reference_rate: 0.02\nparams: {max_tokens: 5}\n")
        reroll(capsys, "certify", "greet", "--target", "0.5", "--budget", "4", "--project", path)
    return path


def lines(capsys: Any, *words: Any) -> list[dict[str, Any]]:
    ran = reroll(capsys, "export", *words)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_graded_runs_have_the_prompt_and_a_grade(project: Path, capsys: Any) -> None:
    found = lines(capsys, "greet", "--format", "rft", "--project", project)
    assert [(line["completion"]["content"], line["grade"]) for line in found] == [
        ("no", 0.0),
        ("yes", 1.0),
        ("never", 0.0),
        ("no", 0.0),
    ]
    assert found[0] == {
        "messages": PROMPT,
        "completion": {"role": "assistant", "content": "no"},
        "grade": 0.0,
        "case_id": "greet",
    }


def test_a_pair_has_a_passing_and_a_failing_answer_to_one_prompt(project: Path, capsys: Any, tmp_path: Path) -> None:
    found = lines(capsys, "--format", "preference", "--project", project)
    assert found == [
        {
            "prompt": PROMPT,
            "chosen": [{"role": "assistant", "content": "yes"}],
            "rejected": [{"role": "assistant", "content": wrong}],
        }
        for wrong in ("no", "never")
    ]
    ran = reroll(capsys, "export", "--format", "preference", "--project", project, "--out", tmp_path / "pairs.jsonl")
    assert ran.err == f"wrote 2 pairs to {tmp_path / 'pairs.jsonl'}\n"
    assert lines(capsys, "--format", "openai-preference", "--project", project)[0] == {
        "input": {"messages": PROMPT},
        "preferred_output": [{"role": "assistant", "content": "yes"}],
        "non_preferred_output": [{"role": "assistant", "content": "no"}],
    }


def test_parquet_holds_recorded_completions_only(project: Path, capsys: Any, tmp_path: Path) -> None:
    ran = reroll(capsys, "export", "--format", "rft", "--parquet", tmp_path / "x.parquet", "--project", project)
    assert "--format rft is written as JSON lines; take --out instead of --parquet" in ran.complaint


def test_what_is_not_graded_or_not_the_models_own_is_left_out(project: Path) -> None:
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        before = list(training_lines(load_project(project), store, None, "rft"))
        for n, (identity, body, sample) in enumerate(
            (
                ("m#steps:1", {"messages": PROMPT}, Sample(Completion("made by a step"))),
                ("m", {"input": {"request": "no prompt"}}, Sample(Completion("yes"))),
                ("m", {"messages": PROMPT}, Sample(None, error="500")),
            )
        ):
            store.put_request(f"r1:{n}", Request("m", None, body), identity)
            place = {"case_id": "greet", "program_id": "p1:0", "variant": "baseline", "source": "draw"}
            store.add_sample(sample, request_id=f"r1:{n}", series="rerun", idx=0, **place)
        assert list(training_lines(load_project(project), store, None, "rft")) == before
