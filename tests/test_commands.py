"""Commands as a person types them, against a server on loopback: answers, exit codes, calls spent."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from reroll.store import Store
from tests.background import Ran, by_number, in_background, in_turn, reroll, reroll_apart, write_project
from tests.fake_server import answer, error


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def stored(project: Path) -> list[Any]:
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        return store.samples()


def test_a_case_that_fails_half_the_time_is_told_in_a_few_calls(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "investigate", "--project", project, "--case", "greet", "--json")
    assert ran.code == 0
    assert ran.json["luck"]["verdict"] == "worse_than_reference"
    assert ran.json["cost"]["calls"] == server.calls <= 5
    assert ran.json["text"].startswith(f"I ran this request {server.calls} more times and it failed")


def test_the_same_command_again_costs_no_call(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path, url)
        first = reroll(capsys, "rerun", "greet", "--project", project, "--json")
        spent = server.calls
        second = reroll(capsys, "rerun", "greet", "--project", project, "--json")
        assert server.calls == spent
    assert second.json["cost"]["calls"] == 0
    assert second.json["cost"]["reused"] == spent
    assert second.json["rate"] == first.json["rate"]


def test_control_cases_give_the_reference_rate(tmp_path: Path, capsys: Any) -> None:
    cases = (
        'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{contains: "yes"}]}\n'
        '  - {id: plain, set: control, input: {request: "Hello"}, checks: [{contains: "yes"}]}\n'
        '  - {id: other, set: control, input: {request: "Hi"}, checks: [{contains: "yes"}]}\n'
    )
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url, program="", cases=cases)
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--json")
        spent = server.calls
        again = reroll(capsys, "investigate", "--case", "greet", "--project", project, "--json")
        assert server.calls == spent, "control runs are shared by all reports about a program"
    luck = ran.json
    reference = luck["reference"]
    assert (reference["source"], reference["failures"], reference["n"]) == ("controls", 0, 100)
    assert reference["thorough"]
    assert 0.02 < luck["reference_rate"] < 0.05
    assert luck["verdict"] == "bad_luck"
    assert luck["cost"]["control_calls"] == 100
    assert again.json["luck"]["verdict"] == "bad_luck"


@pytest.mark.parametrize(
    ("texts", "target", "budget", "code", "verdict"),
    [(["yes"], 0.8, 400, 0, "met"), (["no"], 0.8, 400, 1, "not_met"), (["yes"], 0.99, 20, 3, "undecided")],
)
def test_certify_is_a_gate(
    tmp_path: Path, capsys: Any, texts: list[str], target: float, budget: int, code: int, verdict: str
) -> None:
    with in_background(in_turn(*texts)) as (_, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", target, "--budget", budget, "--json")
    assert (ran.code, ran.json["verdict"]) == (code, verdict)
    assert ran.json["schema"] == "reroll.certify/1"
    if verdict == "undecided":
        assert ran.json["calls_needed"] == 335


def test_a_lower_budget_only_stops_spending_and_a_higher_one_goes_on(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--budget", 20, "--json")
        assert server.calls == 20
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
    assert ran.json["verdict"] == "met"
    assert server.calls == 34


def test_a_declared_horizon_starts_from_zero_and_needs_fewer_calls(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--budget", 10, "--json")
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--horizon", 50, "--json")
    assert ran.json["horizon"] == 50
    assert ran.json["rate"]["n"] == server.calls - 10 < 34


def test_a_changed_check_rejudges_for_free_and_counts_only_fresh_runs(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes!")) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
        spent = server.calls
        text = (project / "cases.yaml").read_text().replace('contains: "yes"', 'equals: "yes"')
        (project / "cases.yaml").write_text(text)
        ran = reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
    assert ran.json["verdict"] == "not_met"
    assert ran.json["rate"]["n"] == server.calls - spent
    assert any(
        c.startswith(f"exploratory: {spent} earlier runs, judged with the check as it is now, failed {spent} times")
        for c in ran.json["caveats"]
    )


def test_a_renamed_check_changes_nothing(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
        spent = server.calls
        (project / "cases.yaml").write_text((project / "cases.yaml").read_text().replace("says-yes", "agrees"))
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.9, "--json")
    assert server.calls == spent


def test_runs_that_bring_nothing_back_stay_in_the_denominator(tmp_path: Path, capsys: Any) -> None:
    acts = by_number(lambda n: answer("yes") if n % 2 else answer(None))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--budget", 20, "--json")
    rate = ran.json["rate"]
    assert rate["n"] == 20 or ran.json["verdict"] != "undecided"
    assert rate["low"] <= rate["failures"] / rate["n"] <= rate["high"]


def test_quoted_words_select_the_case_and_other_words_never_guess(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no")) as (server, url):
        project = write_project(tmp_path, url)
        told = reroll(capsys, "investigate", 'I tried "Say yes" and it failed', "--project", project, "--json")
        assert told.json["case"]["id"] == "greet"
        assert told.json["report"]["words"] == 'I tried "Say yes" and it failed'
        spent = server.calls
        vague = reroll(capsys, "investigate", "the yes thing failed", "--project", project)
        assert "never guesses which request was meant" in vague.complaint
        assert server.calls == spent


def test_a_request_file_is_sent_byte_for_byte(tmp_path: Path, capsys: Any) -> None:
    sent = '{ "model": "tiny",  "messages": [{"role": "user", "content": "Say yes"}], "temperature": 1.0 }'
    with in_background(in_turn("no")) as (server, url):
        project = write_project(tmp_path, url)
        (tmp_path / "request.json").write_text(sent)
        ran = reroll(
            capsys, "investigate", "--project", project, "--request", tmp_path / "request.json",
            "--model", "openai:tiny", "--expect", "contains: yes", "--json",
        )  # fmt: skip
    assert ran.json["report"]["fidelity"] == "exact"
    assert {b.decode() for b in server.bodies} == {sent}


def test_inputs_from_the_command_line_make_a_case_of_their_own(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no")) as (server, url):
        project = write_project(tmp_path, url)
        ran = reroll(
            capsys,
            "investigate",
            "--project",
            project,
            "--input",
            "request=Say it",
            "--expect",
            "contains: yes",
            "--json",
        )
    assert ran.json["case"]["input"] == {"request": "Say it"}
    assert b"Say it" in server.bodies[0]


def test_a_server_that_goes_away_ends_the_run_with_4_and_loses_nothing(tmp_path: Path, capsys: Any) -> None:
    dead = {"now": True}
    acts = by_number(lambda n: error(500) if dead["now"] and n > 12 else answer("yes"))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url)
        arguments = ("certify", "greet", "--project", project, "--target", 0.9, "--json")
        os.environ["REROLL_TRIES"] = "1"
        try:
            broken = reroll(capsys, *arguments)
        finally:
            del os.environ["REROLL_TRIES"]
        assert broken.code == 4
        assert "stopped answering" in broken.json["stopped"]
        kept = len(stored(project))
        dead["now"] = False
        assert reroll(capsys, *arguments).code in (0, 3)
    assert len(stored(project)) > kept


def test_ctrl_c_prints_what_is_known_and_the_same_command_goes_on(tmp_path: Path) -> None:
    process: dict[str, Any] = {}

    def act(n: int) -> Any:
        if n == 40:
            process["it"].send_signal(signal.SIGINT)
        return answer("yes")

    with in_background(by_number(act)) as (server, url):
        project = write_project(tmp_path, url)
        arguments = ("certify", "greet", "--project", project, "--target", 0.98, "--json")
        process["it"] = reroll_apart(*arguments)
        out, err = process["it"].communicate(timeout=60)
        stopped = Ran(process["it"].returncode, out, err)
        assert stopped.code == 4
        assert stopped.json["stopped"].startswith("stopped by you")
        assert stopped.json["verdict"] == "undecided"
        kept = len(stored(project))
        assert kept == stopped.json["rate"]["n"] >= 30
        rest = reroll_apart(*arguments)
        out, err = rest.communicate(timeout=60)
    assert Ran(rest.returncode, out, err).json["verdict"] == "met"
    assert server.calls <= 177 + 8


def test_kill_9_in_the_middle_of_1000_draws_loses_only_calls_in_flight(tmp_path: Path) -> None:
    process: dict[str, Any] = {}

    def act(n: int) -> Any:
        if n == 500:
            process["it"].kill()
        return answer("yes")

    with in_background(by_number(act)) as (server, url):
        project = write_project(tmp_path, url)
        arguments = (
            "certify", "greet", "--project", project, "--target", 0.9975, "--budget", 1000,
            "--concurrency", 8, "--json", "--quiet",
        )  # fmt: skip
        process["it"] = reroll_apart(*arguments)
        process["it"].communicate(timeout=120)
        before = stored(project)
        assert 400 <= len(before) <= 500
        rest = reroll_apart(*arguments)
        out, err = rest.communicate(timeout=120)
    ran = Ran(rest.returncode, out, err)
    after = stored(project)
    assert [s.id for s in after[: len(before)]] == [s.id for s in before]
    assert len({(s.request_id, s.series, s.idx) for s in after}) == len(after)
    assert ran.json["rate"]["n"] == len(after)
    assert ran.json["cost"]["reused"] == len(before)
    assert ran.json["cost"]["calls"] == len(after) - len(before)
    assert server.calls - len(after) <= 8 + 1, "more than the calls in flight were lost"


def test_a_key_reaches_neither_the_store_nor_any_output(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    key = "sk-live-very-secret-0123456789"
    monkeypatch.setenv("REROLL_API_KEY", key)
    acts = by_number(lambda n: error(400, f"bad key {key}") if n == 2 else answer(f"no, {key[:3]}"))
    with in_background(acts) as (server, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "investigate", "--case", "greet", "--project", project)
        listed = reroll(capsys, "samples", "--project", project)
    assert any(key in str(h) for h in server.headers), "the server itself does get the key"
    assert key not in ran.out + ran.err + listed.out
    for file in (project / ".reroll").iterdir():
        assert key.encode() not in file.read_bytes()


def test_a_long_run_says_its_price_first_and_wants_a_yes(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "certify", "greet", "--project", project, "--budget", 1000, "--target", 0.99, agree=False)
        assert "up to 1,000 calls" in ran.complaint
        assert "price unknown" in ran.complaint
        assert "add --yes to agree" in ran.complaint
        assert server.calls == 0


def test_effects_in_the_world_are_never_repeated(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url, program="effects: real\n")
        assert (
            "repeating a call repeats what it does" in reroll(capsys, "rerun", "greet", "--project", project).complaint
        )
        assert server.calls == 0


def test_samples_show_and_export_speak_of_the_same_runs(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--json")
    listed = reroll(capsys, "samples", "greet", "--project", project, "--json").json["samples"]
    assert [s["shown"]["outcome"] for s in listed][:2] == ["fail", "pass"]
    first = listed[0]["shown"]["id"]
    whole = reroll(capsys, "show", first, "--project", project, "--json").json
    assert whole["shown"]["text"] == "no"
    assert whole["messages"][-1] == {"role": "user", "content": "Say yes"}
    assert whole["outcomes"][0]["check"] == "says-yes"
    assert "Say yes" in reroll(capsys, "show", first[:8], "--project", project).out
    out = tmp_path / "out.jsonl"
    assert reroll(capsys, "export", "--project", project, "--out", out).code == 0
    assert len(out.read_text().splitlines()) == len(listed)


def test_an_export_is_a_recording_that_can_be_investigated(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path / "live", url)
        live = reroll(capsys, "rerun", "greet", "--project", project, "--json").json
        out = tmp_path / "out.jsonl"
        reroll(capsys, "export", "--project", project, "--out", out)
        calls = server.calls
        reroll(capsys, "import", out, "--into", tmp_path / "again", "--check", "contains: yes")
        (tmp_path / "again" / "program.yaml").open("a").write("reference_rate: 0.02\n")
        replayed = reroll(capsys, "rerun", "greet", "--project", tmp_path / "again", "--json").json
        assert server.calls == calls
    assert replayed["verdict"] == live["verdict"]
    assert replayed["rate"] == live["rate"]


def test_output_that_is_no_terminal_has_no_colour_codes(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("no\x1b[31m[bold]", "yes")) as (_, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, "investigate", "--case", "greet", "--project", project)
    assert "\x1b" not in ran.out + ran.err
    assert "Not just bad luck" in ran.out


def test_a_spending_cap_stops_the_run(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        assert (
            "--max-usd must be more than 0"
            in reroll(capsys, "rerun", "greet", "--project", project, "--max-usd", 0).complaint
        )
        assert server.calls == 0
