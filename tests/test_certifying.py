"""Certifying several cases at once, as a person does it: suites in rounds, populations, every check by itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.store import Store
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import Act, answer, error

SUITE = """cases:
  - {id: one, input: {request: "one"}, checks: [{name: yes, contains: "yes"}, {name: short, matches: "^.{0,9}$"}]}
  - {id: two, input: {request: "two"}, checks: [{name: yes, contains: "yes"}, {name: short, matches: "^.{0,9}$"}]}
  - {id: three, set: control, input: {request: "three"}, checks: [{name: yes, contains: "yes"}]}
  - {id: four, set: control, input: {request: "four"}, checks: [{name: yes, contains: "yes"}]}
  - {id: bare, input: {request: "bare"}}
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def by_request(texts: dict[str, str], otherwise: str = "yes") -> Act:
    """An answer that depends on what was asked."""

    async def act(request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())["messages"][-1]["content"]
        return await answer(texts.get(said, otherwise))(request)

    return act


def test_a_suite_is_run_in_whole_rounds_and_met_at_a_round_s_end(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({})) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        ran = reroll(capsys, "certify", "--about", "suite", "--target", 0.9, "--project", project, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["about"]) == (0, "met", "suite")
    assert ran.json["rate"]["n"] == 36  # 34 samples would do, and rounds have four
    assert [c["rate"]["n"] for c in ran.json["cases"]] == [9] * 4
    assert any("these 4 cases, each weighing the same, only" in c for c in ran.json["caveats"])


def test_one_bad_case_spoils_the_suite_and_is_shown(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({"two": "no"})) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        arguments = ("certify", "--about", "suite", "--target", 0.95, "--project", project)
        ran = reroll(capsys, *arguments, "--json")
        page = reroll(capsys, *arguments)
    assert (ran.code, ran.json["verdict"]) == (1, "not_met")
    assert {c["id"]: c["rate"]["estimate"] for c in ran.json["cases"]} == {"one": 0, "two": 1, "three": 0, "four": 0}
    assert "not met for this fixed set of requests" in page.out


def test_a_suite_goes_on_where_it_stopped_and_counts_nothing_twice(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({})) as (server, url):
        project = write_project(tmp_path, url, cases=SUITE)
        arguments = ("certify", "--about", "suite", "--target", 0.9, "--project", project, "--json")
        reroll(capsys, "certify", "two", "--target", 0.9, "--project", project, "--budget", 5, "--json")
        first = reroll(capsys, *arguments, "--budget", 11)
        # Runs that were seen before somebody chose the suite do not count.
        assert (first.code, first.json["rate"]["n"], first.json["cost"]["reused"]) == (3, 8, 0)
        assert "budget" in first.json["stopped"]
        last = reroll(capsys, *arguments)
        assert (last.code, last.json["rate"]["n"], last.json["cost"]["reused"]) == (0, 36, 8)
        assert len(server.bodies) == 5 + 36


def test_the_population_takes_one_run_of_each_control_case_and_says_when_they_run_out(
    tmp_path: Path, capsys: Any
) -> None:
    with in_background(by_request({})) as (server, url):
        project = write_project(tmp_path, url, cases=SUITE)
        ran = reroll(capsys, "certify", "--about", "population", "--target", 0.9, "--project", project, "--json")
        assert len(server.bodies) == 2
        named = reroll(
            capsys, "certify", "one", "two", "three", "--about", "population", "--target", 0.5, "--project", project,
            "--json",
        )  # fmt: skip
    assert (ran.code, ran.json["verdict"], ran.json["rate"]["n"]) == (3, "undecided", 2)
    assert "repeats do not stand in for them" in ran.json["stopped"]
    assert {c["id"] for c in ran.json["cases"]} == {"three", "four"}
    assert any("no control" in c for c in named.json["caveats"])


def test_every_check_is_certified_by_itself_at_its_share_of_alpha(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({}, "yes, but far too long")) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        ran = reroll(capsys, "certify", "one", "--each-check", "--target", 0.9, "--project", project, "--json")
        page = reroll(capsys, "certify", "one", "--each-check", "--target", 0.9, "--project", project)
    found = {c["check"]: c["certify"] for c in ran.json["checks"]}
    assert {name: c["verdict"] for name, c in found.items()} == {"yes": "met", "short": "not_met"}
    assert {c["alpha"] for c in found.values()} == {0.025}
    assert (ran.code, ran.json["verdict"], ran.json["alpha"]) == (1, "not_met", 0.05)
    assert ran.json["alpha_total"] == pytest.approx(0.15)
    assert "● met  yes" in page.out
    assert "✗ not met  short" in page.out


def test_time_outs_count_against_the_suite(tmp_path: Path, capsys: Any) -> None:
    acts = by_number(lambda n: answer("yes") if n % 3 else error(400, "no"))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        ran = reroll(
            capsys, "certify", "--about", "suite", "--target", 0.8, "--budget", 120, "--project", project, "--json"
        )
    assert ran.json["verdict"] == "undecided"
    assert ran.json["rate"]["invalid"] >= 30


def test_a_second_test_of_the_same_suite_says_that_the_chances_add_up(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({})) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        arguments = ("certify", "--about", "suite", "--target", 0.9, "--project", project, "--json")
        reroll(capsys, *arguments)
        again = reroll(capsys, *arguments, "--fresh").json
    assert any("tested 2 times for these cases" in c and "10 %" in c for c in again["caveats"])
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        made = store.decisions(rule="certify/1")
    assert [d.verdict for d in made] == ["met", "met"]
    assert all(len(list(d.samples)) == 36 for d in made)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name one case to certify"),
        (("one", "two"), "--about suite"),
        (("one", "--about", "suite", "--set", "control"), "not both"),
        (("--about", "case"), "about one case"),
        (("bare", "--about", "suite"), "has no checks"),
        (("--about", "suite", "--set", "lookalike"), "no case with `set: lookalike`"),
        (("one", "--horizon", 20), "at least 29 calls"),
        (("--about", "suite", "--horizon", 100), "buys nothing for a suite"),
        (("--about", "suite", "--budget", 3), "a round takes 4 calls"),
        (("onee", "--about", "suite"), "did you mean `one`"),
    ],
)
def test_what_cannot_be_certified_is_said_in_one_sentence(
    tmp_path: Path, capsys: Any, arguments: tuple[object, ...], words: str
) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:9", cases=SUITE)
    assert words in reroll(capsys, "certify", *arguments, "--target", 0.9, "--project", project).complaint


# -- what a cold reader broke


def test_cases_that_send_one_request_are_no_new_requests(tmp_path: Path, capsys: Any) -> None:
    """Their draws were once the same samples: two calls looked like sixty."""
    same = "cases:\n" + "".join(
        f'  - {{id: c{i}, set: control, input: {{request: "same"}}, checks: [{{contains: "yes"}}]}}\n' for i in range(9)
    )
    with in_background(by_request({})) as (server, url):
        project = write_project(tmp_path, url, cases=same)
        arguments = ("certify", "--target", 0.5, "--project", project)
        said = reroll(capsys, *arguments, "--about", "population").complaint
        assert "send the same request" in said
        assert not server.bodies
        suite = reroll(capsys, *arguments, "--about", "suite", "--json").json
        assert len(server.bodies) == suite["rate"]["n"] == 9


def test_new_cases_go_to_the_end_of_a_population_s_order(tmp_path: Path, capsys: Any) -> None:
    """Sorted in between, they would have a verdict taken anew with every case that is added."""

    def cases(n: int) -> str:
        return "cases:\n" + "".join(
            f'  - {{id: c{i}, set: control, input: {{request: "r{i}"}}, checks: [{{contains: "yes"}}]}}\n'
            for i in range(n)
        )

    orders = []
    with in_background(by_request({f"r{i}": "no" for i in range(0, 40, 4)})) as (_, url):
        for n in (8, 16, 24):
            project = write_project(tmp_path, url, cases=cases(n))
            ran = reroll(capsys, "certify", "--about", "population", "--target", 0.8, "--project", project, "--json")
            orders.append([c["id"] for c in ran.json["cases"]])
    assert orders[1][:8] == orders[0]
    assert orders[2][:16] == orders[1]
    assert not any("has been tested" in c for c in ran.json["caveats"])


def test_single_checks_that_are_met_claim_nothing_of_all_together(tmp_path: Path, capsys: Any) -> None:
    checks = ", ".join(f'{{name: k{i}, not: {{contains: "bad{i}"}}}}' for i in range(5))
    one = f'cases:\n  - {{id: one, input: {{request: "one"}}, checks: [{checks}]}}\n'
    acts = by_number(lambda n: answer(f"bad{n // 20 % 5}" if n % 20 == 0 else "fine"))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url, cases=one)
        arguments = ("certify", "one", "--each-check", "--target", 0.93, "--project", project)
        ran = reroll(capsys, *arguments, "--json").json
        page = reroll(capsys, *arguments).out
    assert {c["certify"]["verdict"] for c in ran["checks"]} == {"met"}
    assert ran["claim_today"] is None
    assert "Each check alone 93 % reliable" in page
    assert "Any check fails" in page


def test_runs_of_one_case_drawn_anew_stay_out_of_the_suite(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({})) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        arguments = ("certify", "--about", "suite", "--target", 0.9, "--project", project, "--json")
        before = reroll(capsys, *arguments, "--budget", 8).json["rate"]
        reroll(capsys, "rerun", "two", "--fresh", "--project", project, "--json")
        after = reroll(capsys, *arguments, "--budget", 0).json
    assert after["rate"] == before


def test_tests_with_another_alpha_add_up_with_their_own(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_request({})) as (_, url):
        project = write_project(tmp_path, url, cases=SUITE)
        arguments = ("certify", "one", "--target", 0.6, "--project", project, "--json")
        reroll(capsys, *arguments, "--alpha", 0.2)
        again = reroll(capsys, *arguments, "--alpha", 0.01, "--fresh").json
    assert any("tested 2 times" in c and "21 %" in c for c in again["caveats"])
