"""Where a failing run went wrong, inside `investigate`: searched for where that costs nothing, else offered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reroll.answer import Price
from reroll.init import init_project
from reroll.models.local import bundled_file
from tests.background import in_background, in_turn, reroll, write_project

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this machine")
if not bundled_file().exists():
    pytest.skip("the bundled model is not in this checkout", allow_module_level=True)

Capsys = Any


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meetings")
    init_project(folder)
    return folder


def investigate(capsys: Capsys, home: Path, case: str, *more: object) -> Any:
    return reroll(capsys, "investigate", "--case", case, "--project", home, "--json", "--seed", "3", *more)


def test_the_token_is_found_that_most_failing_answers_went_wrong_at(home: Path, capsys: Capsys) -> None:
    ran = investigate(capsys, home, "next-friday")
    assert "a search takes about" in ran.err, "its price is told before it starts"
    found, dud = ran.json, ran.json["dud"]
    assert (dud["verdict"], dud["token"], dud["unit"]) == ("dud", "20", "token")
    assert dud["success_after"]["value"] < 0.1 < 0.5 < dud["success_before"]["value"]
    assert "27" in [other["token"] for other in dud["alternatives"]]
    assert "went wrong at “20”" in found["text"]
    assert found["text"].count(". ") < 7
    assert found["cost"]["calls"] > len(found["outcomes"]), "the search's calls are counted"
    assert found["alpha_total"] >= found["luck"]["alpha"] + dud["alpha"]
    said = next(sample for sample in found["samples"] if sample["outcome"] == "fail")
    shown = reroll(capsys, "show", dud["sample"], "--project", home, "--json").json
    assert said["text"] in str(shown)


def test_a_search_that_its_calls_cut_short_goes_on_with_what_the_search_for_the_cause_leaves(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it takes many more calls than expected: its answer has 22 tokens to ask for, and 18 runs say nothing."""
    monkeypatch.setattr("reroll.investigation.FOR_FORKS", 40)
    monkeypatch.setattr("reroll.fallen._price", lambda session, failing: Price(40, 0))
    init_project(tmp_path)
    ran = investigate(capsys, tmp_path, "next-friday", "--budget", "600")
    dud, cost = ran.json["dud"], ran.json["cost"]
    assert (dud["verdict"], dud["token"]) == ("dud", "20")
    assert dud["calls"] > 18
    assert cost["calls"] + cost["control_calls"] <= 600
    assert ran.err.count("a search takes about") == 1
    assert cost["reused"] == 0, "its own draws are no draws of an earlier command"


def test_the_same_command_again_finds_the_token_at_no_call(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    found, again = (investigate(capsys, tmp_path, "next-friday", "--no-cause", "--no-fixes").json for _ in range(2))
    assert found["dud"]["verdict"] == "dud"
    assert again["dud"] == found["dud"]
    assert again["cost"]["calls"] == 0
    assert again["cost"]["reused"] >= found["dud"]["calls"] > 0
    small = investigate(capsys, tmp_path, "next-friday", "--no-cause", "--no-fixes", "--budget", "60").json
    assert small["dud"] == found["dud"], "what is stored needs no budget"


def test_it_is_left_out_where_nobody_wants_it_and_says_what_it_would_take(home: Path, capsys: Capsys) -> None:
    found = investigate(capsys, home, "next-friday", "--no-forks", "--fresh").json
    assert found["dud"]["not_examined"].startswith("`reroll forks s_")
    assert 40 <= found["dud"]["price"]["calls"] <= 400
    assert found["dud"]["price"]["usd"] == 0, "calls of a model that runs here are free, and the price says so"
    assert "went wrong at" not in found["text"]


def test_a_budget_that_is_too_small_for_it_is_not_spent_on_it(home: Path, capsys: Capsys) -> None:
    found = investigate(capsys, home, "half-seven", "--budget", "60", "--fresh").json
    assert "were left of the budget" in found["dud"]["not_examined"]
    assert found["cost"]["calls"] + found["cost"]["control_calls"] <= 60


def test_where_calls_cost_money_it_is_offered_and_where_it_cannot_be_done_it_says_so(
    tmp_path: Path, capsys: Capsys
) -> None:
    with in_background(in_turn("no", "yes")) as (server, url):
        home = write_project(tmp_path / "p", url)
        found = investigate(capsys, home, "greet").json
        assert "`reroll forks" in found["dud"]["not_examined"]
        calls = len(server.bodies)
        assert calls == found["cost"]["calls"]
        wanted = investigate(capsys, home, "greet", "--forks").json
        assert "tokens" in wanted["dud"]["not_examined"] or "beginning" in wanted["dud"]["not_examined"]
        assert wanted["finished"]


def test_where_nothing_failed_there_is_nothing_to_look_for(tmp_path: Path, capsys: Capsys) -> None:
    with in_background(in_turn("yes")) as (_, url):
        found = investigate(capsys, write_project(tmp_path / "p", url), "greet").json
    assert found["dud"]["not_examined"] == "no run failed"
