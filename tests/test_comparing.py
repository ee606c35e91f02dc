"""Comparing variants as a person does it: pairs on the same cases, the beaten not run again, nothing counted twice."""

from __future__ import annotations

import json
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from reroll.commands_try import TryWhat, _rules
from reroll.compare import compare_path
from reroll.paired import log_e_below, stakes
from reroll.scorecard import Rules
from reroll.store import Store
from tests.background import in_background, reroll, write_project
from tests.fake_server import Act, answer, error

CASES = """cases:
  - {id: one, input: {request: "one"}, checks: [{contains: "yes"}]}
  - {id: two, input: {request: "two"}, checks: [{contains: "yes"}]}
  - {id: three, set: control, input: {request: "three"}, checks: [{contains: "yes"}]}
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def by_role(failing: dict[str, float], seed: int = 1) -> Act:
    """Fails at a rate that depends on the system message; what one is answered does not hang on when others ask."""
    chance = {role: random.Random(f"{seed} {role}") for role in failing}

    async def act(request: web.Request) -> web.StreamResponse:
        messages = json.loads(await request.read())["messages"]
        role = messages[0]["content"] if messages[0]["role"] == "system" else ""
        return await answer("no" if role in failing and chance[role].random() < failing[role] else "yes")(request)

    return act


def compare(capsys: Any, project: Path, *arguments: object) -> Any:
    return reroll(capsys, "compare", *arguments, "--project", project, "--yes", "--quiet")


def test_a_better_variant_is_told_and_the_same_command_makes_no_more_calls(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({"Be kind.": 0.6})) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = compare(capsys, project, "system.role=Be strict.", "--json").json
        calls = len(server.bodies)
        again = compare(capsys, project, "system.role=Be strict.", "--json").json
        assert len(server.bodies) == calls
    pair = found["pairs"][0]
    assert (found["schema"], pair["a"], pair["b"]) == ("reroll.compare/1", "baseline", "system.role=Be strict.")
    assert (pair["verdict"], found["best"]) == ("better", pair["b"])
    assert calls == found["cost"]["calls"] == 2 * len(found["outcomes"]) < 60
    assert again["cost"]["reused"] == calls
    assert again["pairs"] == found["pairs"]


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("system.rol=Be strict.", "`system.rol` is a new clause beside `system.role`, which stays as it is"),
        ("system.length=Be brief.", "`system.length` is a new clause, added at the end; so far there are system.role"),
        ("documents.hours=Closed.", "`documents.hours` is a new document, added at the end; so far there are none"),
        ("system.role=Be strict.", ""),
    ],
)
def test_a_part_that_is_not_there_yet_is_said_to_be_added(
    variant: str, words: str, tmp_path: Path, capsys: Any
) -> None:
    with in_background(by_role({})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        ran = compare(capsys, project, variant, "--budget", 8)
    assert words in ran.err if words else " is a new " not in ran.err


def test_a_worse_variant_ends_a_gate_with_1(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({"Be strict.": 0.8})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        ran = compare(capsys, project, "system.role=Be strict.", "--gate")
    assert ran.code == 1
    assert "Be strict. is worse" in ran.out
    assert "fails more often than baseline" in " ".join(ran.out.replace("┃", "").split())


def test_equal_variants_are_no_different_only_with_a_margin_and_name_what_would_have_been_seen(
    tmp_path: Path, capsys: Any
) -> None:
    with in_background(by_role({})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        open_ = compare(capsys, project, "system.role=Be strict.", "--budget", 60, "--json").json
        found = compare(capsys, project, "system.role=Be strict.", "--margin", 0.1, "--json").json
    assert (open_["pairs"][0]["verdict"], open_["best"]) == ("undecided", None)
    drop = open_["pairs"][0]["smallest_drop"]
    assert 0 < drop < 0.3
    assert "is ruled out" in open_["text"]
    assert found["pairs"][0]["verdict"] == "no_different"
    assert "no different, to within 10 points" in found["text"]


def test_of_three_variants_the_best_is_named_and_the_beaten_are_not_run_again(tmp_path: Path, capsys: Any) -> None:
    # One is beaten in the first ten rounds, whatever comes first; the other is far from it then.
    with in_background(by_role({"Be kind.": 0.25, "Be quick.": 1.0})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        arguments = ("baseline", "system.role=Be quick.", "system.role=Be strict.")
        found = compare(capsys, project, *arguments, "--json").json
        page = compare(capsys, project, *arguments).out
    assert found["best"] == "system.role=Be strict."
    counts = {v["id"]: v["rate"]["n"] for v in found["variants"]}
    assert counts["system.role=Be quick."] < counts["system.role=Be strict."]
    dropped = {v["id"]: v["dropped_after"] for v in found["variants"]}
    assert dropped["system.role=Be strict."] is None
    assert dropped["system.role=Be quick."] is not None
    assert "Best: system.role=Be strict." in page
    assert "beaten after" in page


def test_two_equal_variants_are_seldom_told_apart(tmp_path: Path, capsys: Any) -> None:
    verdicts = []
    for seed in range(6):
        with in_background(by_role({"Be kind.": 0.3, "Be strict.": 0.3}, seed)) as (_, url):
            project = write_project(tmp_path / str(seed), url, cases=CASES)
            ran = compare(capsys, project, "system.role=Be strict.", "--budget", 100, "--json")
            verdicts.append(ran.json["pairs"][0]["verdict"])
    assert verdicts.count("undecided") >= 5


def test_runs_seen_before_are_no_evidence_in_a_comparison(tmp_path: Path, capsys: Any) -> None:
    """A baseline that was unlucky before somebody thought of comparing would make any rival look better."""
    with in_background(by_role({})) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        reroll(capsys, "certify", "one", "--target", 0.9, "--project", project, "--json")
        before = len(server.bodies)
        found = compare(capsys, project, "system.role=Be strict.", "--budget", 20, "--json").json
        assert found["cost"]["reused"] == 0
        assert len(server.bodies) == before + 20


def test_time_outs_count_against_the_variant_that_would_gain_by_them(tmp_path: Path, capsys: Any) -> None:
    rng, seen = random.Random(3), []

    async def act(request: web.Request) -> web.StreamResponse:
        messages = json.loads(await request.read())["messages"]
        bad = messages[0]["content"] == "Be strict."
        seen.append(bad)  # a variant that does not answer at all from the start ends the command
        return await (error(400, "no") if bad and len(seen) > 9 and rng.random() < 0.7 else answer("yes"))(request)

    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        ran = compare(capsys, project, "system.role=Be strict.", "--margin", 0.2, "--budget", 100, "--json")
    assert ran.json["pairs"][0]["verdict"] == "undecided"
    assert next(v["rate"]["invalid"] for v in ran.json["variants"] if v["id"] != "baseline") > 10


def test_a_stopped_comparison_goes_on_and_stores_its_verdict(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({"Be kind.": 0.4})) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        first = compare(capsys, project, "system.role=Be strict.", "--budget", 10, "--json").json
        assert first["pairs"][0]["verdict"] == "undecided"
        assert "budget" in first["stopped"]
        last = compare(capsys, project, "system.role=Be strict.", "--json").json
        assert last["cost"]["reused"] == 10
        assert len(server.bodies) == 10 + last["cost"]["calls"]
        assert last["outcomes"][:5] == first["outcomes"]
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        assert [d.verdict for d in store.decisions(rule="compare/1")] == ["undecided", "better"]


def test_the_population_takes_one_pair_per_new_case(tmp_path: Path, capsys: Any) -> None:
    many = "cases:\n" + "".join(
        f'  - {{id: c{i}, set: control, input: {{request: "r{i}"}}, checks: [{{contains: "yes"}}]}}\n'
        for i in range(30)
    )
    with in_background(by_role({"Be kind.": 0.7})) as (server, url):
        project = write_project(tmp_path, url, cases=many)
        found = compare(capsys, project, "system.role=Be strict.", "--about", "population", "--json").json
        asked = [json.loads(b)["messages"][-1]["content"] for b in server.bodies]
    assert found["pairs"][0]["verdict"] == "better"
    assert all(asked.count(a) <= 2 for a in asked)
    with in_background(by_role({"Be kind.": 0.7})) as (_, url):
        project = write_project(tmp_path / "repeats", url, cases=many)
        arguments = ("system.role=Be strict.", "--about", "population", "--repeats", 3, "--json")
        clusters = compare(capsys, project, *arguments).json
    assert (clusters["pairs"][0]["verdict"], clusters["pairs"][0]["unit"]) == ("better", "case")


def test_another_folder_s_program_is_a_variant(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({"Be kind.": 0.8})) as (_, url):
        project = write_project(tmp_path / "a", url, cases=CASES)
        other = write_project(tmp_path / "b", url, cases=CASES)
        (other / "program.yaml").write_text((other / "program.yaml").read_text().replace("Be kind.", "Be strict."))
        found = compare(capsys, project, other, "--json").json
    assert found["pairs"][0]["verdict"] == "better"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name variants to compare"),
        (("nothing",), "no variant `nothing`"),
        (("system.rolle=",), "did you mean `system.role`"),
        (("system.role=Be kind.",), "are the same program"),
        (("system.role=x", "--margin", 2), "--margin is a difference"),
        (("system.role=x", "--repeats", 3), "--repeats"),
        (("system.role=x", "system.role=y", "system.role=z", "--horizon", 100), "--horizon is for two variants"),
        (("system.role=x", "--about", "case"), "a suite or the population"),
        (("system.role=x", "--case", "onne"), "did you mean `one`"),
        (("system.role=x", "--horizon", 8), "5 pairs, 10 calls, are the fewest"),
        (("system.role=x", "--budget", 1), "one draw of each variant takes 2 calls"),
        (("baseline", "system.role=x", "user=y", "--about", "population", "--repeats", 2), "for two variants"),
        (("structured=x",), "cannot be that: input should be 'enforce', 'describe', 'both' or 'off'"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(
    tmp_path: Path, capsys: Any, arguments: tuple[object, ...], words: str
) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:9", cases=CASES)
    assert words in compare(capsys, project, *arguments).complaint


# -- what a cold reader broke


def test_two_variants_that_cannot_be_told_apart_are_not_called_the_best(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        arguments = ("baseline", "system.role=Be strict.", "system.role=Be quick.", "--margin", 0.2)
        found = compare(capsys, project, *arguments, "--json").json
        page = compare(capsys, project, *arguments).out
    assert len(found["alike"]) == 2
    assert "fails least often" not in found["text"]
    assert "by 20 points or more; it could not be told from" in found["text"]
    assert "Best, to within 20 points" in page


def test_a_recording_is_not_compared_with_itself(tmp_path: Path, capsys: Any) -> None:
    rows = [{"case_id": "one", "run": i, "model": "m", "messages": [], "completion": "yes"} for i in range(40)]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "program.yaml").write_text("program: p\nmodel: recorded:runs.jsonl\n")
    (tmp_path / "cases.yaml").write_text(CASES)
    assert "read the same recording" in compare(capsys, tmp_path, "params.temperature=0").complaint


def test_prompts_of_one_recording_are_told_apart_by_name_and_what_holds_of_all_is_said_once(
    tmp_path: Path, capsys: Any
) -> None:
    texts = {"plain": "no", "be-brief": "yes", "be-competent": "no"}
    rows = [
        {"case_id": "one", "run": i, "variant": v, "model": "m", "messages": [], "completion": text}
        for v, text in texts.items()
        for i in range(40)
    ]
    file = tmp_path / "a-long-name-of-a-folder-in-which-recordings-lie" / "runs.jsonl"
    file.parent.mkdir()
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "program.yaml").write_text(f"program: p\nmodel: recorded:{file}#variant=plain\n")
    (tmp_path / "cases.yaml").write_text(CASES)
    others = [f"model=recorded:{file}#variant={v}" for v in ("be-brief", "be-competent")]
    page = compare(capsys, tmp_path, "baseline", *others, "--case", "one").out
    found = compare(capsys, tmp_path, "baseline", *others, "--case", "one", "--json").json
    assert found["best"] == others[0]
    assert "The one that fails least often is model=…#variant=be-brief." in found["text"]
    assert "model=…#variant=be-competent failed" in found["text"]
    assert "Best: model=…#variant=be-brief" in page
    recorded = [c for c in found["caveats"] if "recorded completions" in c]
    assert [c.partition(":")[0] for c in recorded] == ["each variant"]


def test_a_variant_does_not_gain_by_loosening_its_own_schema(tmp_path: Path, capsys: Any) -> None:
    strict = "response: {type: object, properties: {date: {type: string}}, required: [date]}\n"
    cases = 'cases:\n  - {id: one, input: {request: "one"}, checks: [{schema: true}]}\n'
    with in_background(answer("{}")) as (_, url):
        project = write_project(tmp_path / "a", url, program=strict, cases=cases)
        other = write_project(tmp_path / "b", url, program=strict.replace("[date]", "[]"), cases=cases)
        found = compare(capsys, project, other, "--budget", 30, "--json").json
    assert [v["rate"]["failures"] for v in found["variants"]] == [15, 15]


def test_comparing_again_with_another_horizon_is_counted(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        for horizon in (20, 22, 24):
            found = compare(capsys, project, "system.role=Be strict.", "--horizon", horizon, "--json").json
    assert any("compared 3 times" in c and "15 %" in c for c in found["caveats"])


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_variant_whose_server_turns_every_call_away_ends_the_command_with_a_sentence(
    tmp_path: Path, capsys: Any, status: int
) -> None:
    async def act(request: web.Request) -> web.StreamResponse:
        messages = json.loads(await request.read())["messages"]
        return await (error(status, "no") if messages[0]["content"] == "Be strict." else answer("yes"))(request)

    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        said = compare(capsys, project, "system.role=Be strict.").complaint
    assert f"http {status}" in said or "tiny" in said


def test_cases_reported_because_the_baseline_failed_are_no_population(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_role({})) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = compare(capsys, project, "system.role=x", "--about", "population", "--set", "case", "--json").json
    assert any("favour every other variant" in c for c in found["caveats"])


def test_a_gate_lets_through_what_is_not_worse_by_the_margin_of_the_project(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    with in_background(by_role({"Be kind.": 0.15, "Be strict.": 0.05}, seed=4)) as (_, url):
        project = write_project(tmp_path / "project", url, program="margin: 0.1\n", cases=CASES)
        found = compare(capsys, project, "system.role=Be strict.", "--gate", "--json")
        page = compare(capsys, project, "system.role=Be strict.", "--gate")
        asked = compare(capsys, project, "system.role=Be strict.", "--json").json["pairs"][0]
    pair = found.json["pairs"][0]
    assert (found.code, page.code, pair["verdict"], pair["margin"]) == (0, 0, "undecided", 0.1)
    assert pair["smallest_drop"] <= 0.1
    assert "is not worse by 10 points or more" in page.out
    assert "| 🟢 not worse | system.role&#61;Be strict. |" in summary.read_text()
    assert asked["verdict"] != "undecided", "without a gate the same comparison goes on to a verdict"


def test_a_gate_seldom_lets_through_a_change_that_is_as_bad_as_the_margin() -> None:
    """What rules a worsening out at any look of 400 runs; `smallest_drop` is where these bets reach 1 / alpha."""
    rng, margin = np.random.default_rng(6), 0.15
    worse = (rng.random((400, 200)) < 0.1 + margin).astype(float) - (rng.random((400, 200)) < 0.1)
    bets = log_e_below(np.cumsum(stakes(worse), axis=1), np.arange(1, 201), margin)
    through = (bets >= math.log(1 / 0.05)).any(axis=1)
    assert through.mean() <= 0.05
    for n in range(10, 60, 7):
        drop = compare_path([("pass", "pass")] * n, 0.05, margin).smallest_drop
        ties = float(log_e_below(n * stakes(0.0), n, margin))
        assert drop is not None
        assert (drop <= margin) == (ties >= math.log(1 / 0.05))


def test_the_margin_of_the_project_is_what_trying_a_fix_calls_harm() -> None:
    asked = TryWhat((), "one")
    assert _rules(asked, 0.05, 0.1).margin == 0.1
    assert _rules(replace(asked, margin=0.03), 0.05, 0.1).margin == 0.03
    assert _rules(asked, 0.05, None).margin == Rules().margin


def test_a_margin_in_the_project_file_is_held_against_its_range(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:9", program="margin: 5\n", cases=CASES)
    assert "program.yaml:5: `margin`" in compare(capsys, project, "system.role=x").complaint
