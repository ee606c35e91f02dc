"""What must never be claimed: each test is a way in which a wrong "it is fixed" once came out."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.answer import Reference
from reroll.conclude import bounds, certify_section, luck_section
from reroll.store import Store
from reroll.words import reply
from tests.background import by_number, in_background, in_turn, reroll, reroll_apart, write_project
from tests.fake_server import answer, error

CONTROLS = """cases:
  - {id: greet, input: {request: "Say yes"}, checks: [{contains: "yes"}]}
  - {id: plain, set: control, input: {request: "Hello"}, checks: [{contains: "yes"}]}
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def test_refusals_between_good_calls_stay_in_the_denominator(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_number(lambda n: error(403, "moderated") if n % 3 == 0 else answer("yes"))) as (_, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.95, "--budget", 120, "--json")
    assert ran.json["verdict"] != "met"
    assert ran.json["rate"]["invalid"] >= 30


def test_a_rate_that_changed_takes_the_verdict_back_and_says_so(tmp_path: Path, capsys: Any) -> None:
    outcomes: list[Any] = ["pass"] * 70 + ["fail"] * 30
    luck = luck_section(outcomes, Reference(None, "none"), 0.95, 0.05)
    certify = certify_section(outcomes, 0.95, 0.05)
    assert (luck.verdict, certify.verdict) == ("undecided", "undecided")
    assert bounds(luck, certify) == (luck.rate.low, luck.rate.high)
    text = reply(luck, certify)
    assert "could not reproduce" not in text
    assert "you may say" not in text

    with in_background(by_number(lambda n: answer("yes") if n <= 34 else answer("no"))) as (_, url):
        project = write_project(tmp_path, url)
        assert (
            reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json").json["verdict"] == "met"
        )
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.99, "--budget", 60, "--json")
        again = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
    assert (again.code, again.json["verdict"]) in [(3, "undecided"), (0, "met")]
    if again.json["verdict"] == "met":
        assert again.json["rate"]["low"] < 0.1
    else:
        assert any("contradict one another" in c for c in again.json["caveats"])


def test_later_runs_that_nobody_can_judge_take_a_verdict_back_as_failures_do() -> None:
    """They count as failures for "met": 355 passes and then 30 time-outs are no 99 %."""
    outcomes: list[Any] = ["pass"] * 355 + ["invalid"] * 30
    for reference in (Reference(None, "none"), Reference(0.01, "given")):
        luck, certify = luck_section(outcomes, reference, 0.99, 0.05), certify_section(outcomes, 0.99, 0.05)
        assert (luck.verdict, certify.verdict) == ("undecided", "undecided")
        assert "you may say" not in reply(luck, certify)
    few: list[Any] = ["pass"] * 355 + ["invalid"]
    assert certify_section(few, 0.99, 0.05).verdict == "met"
    passed: list[Any] = ["fail"] * 2 + ["invalid"] * 3000
    assert certify_section(passed, 0.99, 0.05).verdict == "undecided", "and as passes for “not met”"


def test_later_failures_after_a_crossing_never_read_as_not_reproduced() -> None:
    luck = luck_section(["pass"] * 70 + ["fail"], Reference(None, "none"), None, 0.05)  # type: ignore[list-item]
    assert luck.verdict == "undecided"


def test_old_runs_are_dated_and_never_called_new(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--json")
        spent = server.calls
        old = reroll(capsys, "investigate", "--case", "greet", "--project", project, "--json").json
        assert server.calls == spent
        assert old["text"].startswith(f"Earlier I ran this request {spent} times")
        assert any("every run is from an earlier command (20" in c and "--fresh" in c for c in old["caveats"])
        fresh = reroll(capsys, "investigate", "--case", "greet", "--project", project, "--fresh", "--json").json
    assert fresh["cost"]["calls"] == server.calls - spent > 0
    assert fresh["cost"]["reused"] == 0
    assert fresh["text"].startswith("I ran this request")


def test_a_target_tested_again_from_zero_says_how_the_chances_of_error_add_up(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        first = reroll(
            capsys, "certify", "greet", "--project", project, "--target", 0.9, "--horizon", 30, "--json"
        ).json
        assert not any("has been tested" in c for c in first["caveats"])
        for horizon in (35, 40):
            last = reroll(
                capsys, "certify", "greet", "--project", project, "--target", 0.9, "--horizon", horizon, "--json"
            ).json
    assert any("tested 3 times for this case, each time from zero" in c and "15 %" in c for c in last["caveats"])


def test_an_alpha_chosen_after_looking_is_shown_with_what_the_smaller_one_said(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        common = ("certify", "greet", "--project", project, "--target", 0.9, "--json")
        reroll(capsys, *common, "--budget", 25)
        loose = reroll(capsys, *common, "--budget", 1, "--alpha", 0.3).json
    assert loose["verdict"] == "met"
    assert any("with an error chance of 5 % the same runs were undecided" in c for c in loose["caveats"])


def test_the_reported_run_and_what_came_before_are_no_evidence(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.5, "--budget", 6, "--json")
        listed = reroll(capsys, "samples", "greet", "--project", project, "--json").json["samples"]
        failing = [s["shown"]["id"] for s in listed if s["shown"]["outcome"] == "fail"][-1]
        ran = reroll(capsys, "investigate", "--sample", failing, "--project", project, "--budget", 1, "--json").json
    assert ran["luck"]["rate"]["n"] <= 2
    assert ran["report"]["sample"].startswith("s_")


def test_a_fixed_seed_in_a_raw_request_is_named(tmp_path: Path, capsys: Any) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Say yes"}], "seed": 5}
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        (tmp_path / "r.json").write_text(json.dumps(body))
        ran = reroll(
            capsys, "investigate", "--request", tmp_path / "r.json", "--expect", "contains: yes", "--model",
            "openai:tiny", "--project", project, "--budget", 12, "--json",
        ).json  # fmt: skip
    assert any("every call carries the same seed" in c for c in ran["caveats"])


def test_controls_that_were_never_run_are_not_said_to_fail(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=CONTROLS)
        ran = reroll(capsys, "investigate", "--case", "greet", "--project", project, "--budget", 3, "--json").json
    assert "fail as well" not in ran["text"]
    assert "no ordinary request (control case) has been run" in ran["text"] or "Too few ordinary" in ran["text"]


def test_few_controls_never_make_bad_luck(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=CONTROLS)
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--budget", 60, "--json").json
    assert ran["reference"]["n"] <= 15
    assert not ran["reference"]["thorough"]
    assert ran["verdict"] == "undecided"


def test_an_outage_at_the_start_does_not_count_against_the_case(tmp_path: Path, capsys: Any) -> None:
    down = {"now": True}
    acts = by_number(lambda n: error(500) if down["now"] else answer("yes"))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url)
        os.environ["REROLL_TRIES"] = "1"
        try:
            assert "answered none of the first" in reroll(capsys, "rerun", "greet", "--project", project).complaint
        finally:
            del os.environ["REROLL_TRIES"]
        down["now"] = False
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json").json
    assert (ran["verdict"], ran["rate"]["n"], ran["rate"]["invalid"]) == ("met", 34, 0)
    assert any("while the server was down, and are not counted" in c for c in ran["caveats"])


def test_two_commands_with_one_horizon_leave_a_run_that_still_answers(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes", "no", "yes")) as (_, url):
        project = write_project(tmp_path, url)
        arguments = ("certify", "greet", "--project", project, "--target", 0.7, "--horizon", 12, "--json", "--quiet")
        both = [reroll_apart(*arguments), reroll_apart(*arguments)]
        for process in both:
            process.communicate(timeout=60)
        ran = reroll(capsys, *arguments)
    assert ran.code in (0, 1, 3)
    assert ran.json["rate"]["n"] <= 12


def test_seeds_differ_between_series_and_cases(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        common = ("certify", "greet", "--project", project, "--target", 0.9, "--seed", 1, "--json")
        reroll(capsys, *common)
        reroll(capsys, *common, "--horizon", 40)
    seeds = [json.loads(b)["seed"] for b in server.bodies]
    assert len(set(seeds)) == len(seeds) > 50
    assert all(0 <= s < 2**31 for s in seeds)


def test_controls_of_a_project_are_no_controls_of_a_raw_request(tmp_path: Path, capsys: Any) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Say yes"}]}
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=CONTROLS)
        (tmp_path / "r.json").write_text(json.dumps(body))
        ran = reroll(
            capsys, "investigate", "--request", tmp_path / "r.json", "--expect", "contains: yes", "--model",
            "openai:tiny", "--project", project, "--json",
        ).json  # fmt: skip
    assert ran["cost"]["control_calls"] == 0
    assert ran["luck"]["reference"]["source"] == "none"


def test_a_check_that_could_not_run_is_asked_again_for_free(tmp_path: Path, capsys: Any) -> None:
    script = tmp_path / "person.py"
    script.write_text("import sys; sys.exit('gone home')")
    person = f"{sys.executable} {script}"
    cases = 'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{person: true}]}\n'
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path / "p", url, cases=cases)
        said = reroll(capsys, "rerun", "greet", "--project", project, "--person", person).complaint
        assert "gone home" in said
        spent = server.calls
        script.write_text("import json, sys; print('pass' if 'yes' in json.load(sys.stdin)['text'] else 'fail')")
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--person", person, "--json").json
    assert ran["rate"]["invalid"] == 0
    assert ran["cost"]["reused"] == spent


def test_a_call_that_never_came_back_is_mentioned(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--budget", 10, "--json")
        with Store.open(project / ".reroll" / "store.sqlite") as store:
            (one, *_) = store.samples()
            store.reserve(one.request_id, one.series, 3)
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json").json
    assert any(c.startswith("3 calls have not come back") for c in ran["caveats"])


def test_a_model_named_on_the_command_line_is_the_one_that_is_called(tmp_path: Path) -> None:
    from reroll.intake.single import Served, single_call

    file = tmp_path / "r.json"
    file.write_text(json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}))
    assert single_call(file, Served("bundled")).program.model == "bundled"
    assert single_call(file).program.model == "openai:gpt-4o"


def test_a_rate_that_people_contradict_says_so(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes", "no")) as (_, url):
        project = write_project(tmp_path, url)
        arguments = ("certify", "greet", "--project", project, "--target", 0.9, "--budget", 8, "--json")
        reroll(capsys, *arguments)
        runs = reroll(capsys, "samples", "greet", "--project", project, "--json").json["samples"]
        labels = [
            {"sample": r["shown"]["id"], "outcome": w} for r, w in zip(runs, ("pass", "pass", "unsure"), strict=False)
        ]
        (project / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
        again = reroll(capsys, *arguments).json
    wrong = sum(r["shown"]["outcome"] != "pass" for r in runs[:2])
    assert wrong == 1
    assert any(
        "people labelled 2 runs of these, and 1 of them otherwise than the checks" in c for c in again["caveats"]
    )


def test_a_clock_that_was_set_back_leaves_no_run_out(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        arguments = ("certify", "greet", "--project", project, "--target", 0.9, "--json")
        assert reroll(capsys, *arguments, "--budget", 6).json["rate"]["n"] == 6
        with contextlib.closing(sqlite3.connect(project / ".reroll" / "store.sqlite")) as store:
            store.execute("UPDATE samples SET settled_us = settled_us - 3600000000 WHERE seq > 2")
            store.commit()
        again = reroll(capsys, *arguments, "--budget", 0).json
    assert again["rate"]["n"] == 6
    assert not any("exploratory" in c for c in again["caveats"])


def test_a_population_without_the_cases_that_failed_meets_nothing(tmp_path: Path, capsys: Any) -> None:
    case = '  - {{id: c{0}, set: control, input: {{request: "Say yes {0}"}}, checks: [{{contains: "yes"}}]}}\n'
    every = [case.format(k) for k in range(38)]

    async def act(request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())["messages"][-1]["content"]
        return await answer("no" if said.endswith(" 3") else "yes")(request)

    told = ("certify", "--about", "population", "--target", 0.9, "--json", "--quiet", "--project")
    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases="cases:\n" + "".join(every))
        first = reroll(capsys, *told, project).json
        (project / "cases.yaml").write_text("cases:\n" + "".join(every[:3] + every[4:]))
        without = reroll(capsys, *told, project)
        anew = reroll(capsys, *told, project, "--fresh").json
        (project / "cases.yaml").write_text("cases:\n" + "".join(every))
        back = reroll(capsys, *told, project).json
    assert (first["verdict"], first["rate"]["failures"]) == ("undecided", 1)
    assert (without.code, without.json["verdict"], without.json["claim_today"]) == (3, "undecided", None)
    assert without.json["stopped"] == "cases that had failed were taken out"
    assert any("1 run that an earlier look at this population counted is gone" in c for c in without.json["caveats"])
    assert anew["verdict"] == "met"
    assert any("has been tested" in c for c in anew["caveats"])
    assert "1 case of an earlier look at this population is not among these" in anew["caveats"]
    assert not any("is gone" in c for c in back["caveats"])
