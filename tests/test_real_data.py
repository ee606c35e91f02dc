"""Recorded completions of GPT-4o: known facts come out again, and the traps in the data are named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.background import reroll

DATA = Path(os.environ.get("REROLL_DATA", Path(__file__).parents[2] / "shared" / "data"))
AIRLINE = DATA / "tau-airline-gpt-4o.jsonl.gz"
MATHS = DATA / "gpt4o-math-variants.jsonl.gz"
RERUNS = DATA / "temperature-zero-reruns.jsonl.gz"
# The letter that the answer ends on, in the form that each prompt asked for.
LETTER = r'matches: "(?s)(?:[Aa]nswer[^A-D]*|^\\W*|\\n\\W*)\\(?{expected}\\b[^\\n]*\\W*$"'

pytestmark = pytest.mark.skipif(not AIRLINE.exists(), reason=f"no recorded data in {DATA}; set REROLL_DATA to it")


def test_the_published_pass_k_of_gpt_4o_on_airline_tasks_comes_out(tmp_path: Path, capsys: Any) -> None:
    seen = reroll(capsys, "import", AIRLINE, "--store", tmp_path / "s.sqlite", "--json").json
    (arm,) = seen["arms"]
    assert (seen["cases"], seen["samples"], seen["stored"]) == (50, 200, 200)
    assert [round(p, 3) for p in arm["pass_hat"]] == [0.420, 0.273, 0.220, 0.200]
    assert arm["mean"]["value"] == pytest.approx(0.58)
    assert not arm["pooling_biased"]
    assert seen["caveats"] == []


def test_cases_that_leave_later_runs_are_averaged_per_case_and_pooling_is_warned_of(
    tmp_path: Path, capsys: Any
) -> None:
    seen = reroll(capsys, "import", MATHS, "--check", LETTER, "--store", tmp_path / "s.sqlite", "--json").json
    assert (seen["cases"], seen["samples"]) == (100, 4264)
    arms = {arm["variant"]: arm for arm in seen["arms"]}
    assert set(arms) == {"plain", "answer-schema", "be-competent", "be-brief"}
    for arm in arms.values():
        assert (arm["cases"], arm["complete"]) == (100, 2)
        assert arm["pooling_biased"]
        assert arm["mean"]["low"] < arm["first_runs"] < arm["mean"]["high"]
    plain = arms["plain"]
    # Questions left the later runs once their answers had disagreed, and hard ones disagree sooner.
    assert abs(plain["mean"]["value"] - plain["first_runs"]) < 0.03
    assert plain["first_runs"] - plain["pooled"] > 0.03
    assert any("pooling the rows would be biased" in c for c in seen["caveats"])


def test_temperature_zero_reruns_still_vary(tmp_path: Path, capsys: Any) -> None:
    seen = reroll(capsys, "import", RERUNS, "--check", LETTER, "--store", tmp_path / "s.sqlite", "--json").json
    assert seen["samples"] == 4270
    fewest = {arm["model"]: (arm["fewest_runs"], arm["most_runs"]) for arm in seen["arms"]}
    assert all(few == 1 < most for few, most in fewest.values())


def test_every_command_works_on_a_recorded_conversation(tmp_path: Path, capsys: Any) -> None:
    project = tmp_path / "airline"
    assert reroll(capsys, "import", AIRLINE, "--into", project, "--json").code == 0
    answer = reroll(capsys, "investigate", "--project", project, "--case", "airline-00", "--json").json
    assert answer["luck"]["rate"]["n"] == 4
    assert answer["cost"]["calls"] == 4
    assert "no more completions" in answer["stopped"]
    assert any("recorded completions, not fresh calls" in c for c in answer["caveats"])
    gate = reroll(capsys, "certify", "airline-00", "--project", project, "--target", 0.9, "--json")
    assert gate.code in (1, 3)
    assert gate.json["cost"]["calls"] == 0
    assert len(reroll(capsys, "samples", "airline-00", "--project", project, "--json").json["samples"]) == 4


def test_a_recording_of_one_prompt_can_be_investigated(tmp_path: Path, capsys: Any) -> None:
    project = tmp_path / "maths"
    reroll(capsys, "import", f"{MATHS}#variant=plain", "--into", project, "--check", LETTER, "--json")
    answer = reroll(capsys, "investigate", "--project", project, "--case", "math-000", "--json").json
    assert answer["luck"]["rate"]["failures"] == 0
    assert answer["text"].startswith("I ran this request")
    assert answer["samples"][0]["text"].startswith("To solve")
