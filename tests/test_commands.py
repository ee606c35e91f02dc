"""Commands as a person types them, against a server on loopback: answers, exit codes, calls spent."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reroll.cli import main
from reroll.opening import run, stopping_cleanly
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


def test_where_only_control_runs_are_missing_a_higher_budget_is_said_to_help(tmp_path: Path, capsys: Any) -> None:
    cases = (
        'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{contains: "yes"}]}\n'
        '  - {id: plain, set: control, input: {request: "Hello"}, checks: [{matches: "."}]}\n'
    )
    with in_background(in_turn("yes", "no")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=cases)
        told = [reroll(capsys, "rerun", "greet", "--project", project, "--budget", n, "--json").json for n in (36, 400)]
    assert (told[0]["verdict"], told[0]["reference_rate"]) == ("undecided", None)
    assert "a higher --budget runs more of them" in told[0]["stopped"]
    assert told[1]["reference"]["n"] > 9


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
    assert ran.json["cause"]["not_examined"].startswith("`reroll investigate` of the same request")  # no case to name
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


# -- what goes out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["rerun", "certify"])
def test_a_part_of_an_answer_says_what_it_is_about(tmp_path: Path, capsys: Any, command: str) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url, program="target: 0.8\nreference_rate: 0.02\n")
        whole = reroll(capsys, "investigate", "--case", "greet", "--project", project, "--json").json
        part = reroll(capsys, command, "greet", "--project", project, "--json").json
    assert part["case"]["id"] == "greet"
    assert part["program"] == whole["program"]
    assert part["model"].startswith("openai:tiny@")
    assert 0 < part["alpha_total"] < 1
    assert part["finished"] is True
    assert {"cost", "caveats", "stopped"} <= set(part)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_strange_characters_never_cost_a_verdict(tmp_path: Path, encoding: str) -> None:
    text, env = "yes, é " + chr(0xD83D), {**os.environ, "PYTHONIOENCODING": encoding}
    with in_background(in_turn(text)) as (_, url):
        project = write_project(tmp_path, url)
        line = ("investigate", "--case", "greet", "--project", project, "--target", 0.5)
        told = finished(reroll_apart(*line, "--gate", "--json", env=env))
    assert told.code in (0, 3), told.err
    assert told.json["samples"][0]["text"] == text


def test_an_export_of_strange_characters_is_a_recording(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    text = "yes, é " + chr(0xD83D)
    with in_background(in_turn(text)) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.5)
    reroll(capsys, "export", "--project", project, "--out", tmp_path / "out.jsonl")
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert main(["export", "--project", str(project)]) == 0
    monkeypatch.undo()
    for lines in (narrow.buffer.getvalue().decode("ascii"), (tmp_path / "out.jsonl").read_text()):
        assert json.loads(lines.splitlines()[0])["completion"] == text


def finished(process: Any) -> Ran:
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_reader_that_goes_away_is_no_verdict(tmp_path: Path, how: list[str]) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        process = reroll_apart("certify", "greet", "--project", project, "--target", 0.5, "--quiet", *how)
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141
        process.stderr.close()


def test_a_run_outlives_whoever_watches_it(tmp_path: Path) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        process = reroll_apart("certify", "greet", "--project", project, "--target", 0.5, "--json")
        process.stderr.close()
        with process.stdout:
            told = json.loads(process.stdout.read())
        assert (process.wait(60), told["verdict"]) == (0, "met")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_an_output_that_finds_no_room_says_so(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.5)
    assert "no space left" in reroll(capsys, "export", "--project", project, "--out", "/dev/full").complaint
    for words in (["export"], ["samples"]):
        with open("/dev/full", "w") as full:
            line = [sys.executable, "-m", "reroll", *words, "--project", str(project)]
            run = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert "no space left" in Ran(run.returncode, "", run.stderr).complaint
        assert len(run.stderr.splitlines()) == 1


def test_an_export_to_a_file_can_be_told_as_json(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.5)
    out = tmp_path / "out.jsonl"
    ran = reroll(capsys, "export", "--project", project, "--out", out, "--json")
    lines = out.read_text().splitlines()
    assert ran.json == {"schema": "reroll.export/1", "file": str(out), "samples": len(lines)}
    assert ran.err == ""


def test_the_newest_samples_are_listed_oldest_first(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_number(lambda n: answer(f"yes {n}"))) as (server, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.5, "--concurrency", 1)
    listed = reroll(capsys, "samples", "--limit", 2, "--project", project, "--json").json["samples"]
    assert [s["shown"]["text"] for s in listed] == [f"yes {server.calls - 1}", f"yes {server.calls}"]


def test_pages_of_one_question_carry_caveats_and_an_unusual_alpha(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url, program="params: {seed: 1}\n")
        common = ("greet", "--project", project, "--budget", 20)
        pages = [
            reroll(capsys, "rerun", *common).out,
            reroll(capsys, "certify", *common, "--target", 0.9).out,
            reroll(capsys, "certify", *common, "--target", 0.9, "--alpha", 0.01).out,
        ]
    assert all("Keep in mind" in page and "the same seed" in page for page in pages)
    assert ["at most 1 % (--alpha)" in page for page in pages] == [False, False, True]


def test_without_a_word_the_commands_are_listed(capsys: Any) -> None:
    code, said = main([]), capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert "Begin here" in said.out


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("rerun --case x", "rerun CASE"),
        ("rerun --case=x y", "rerun CASE"),
        ("forks --sample s_1", "forks SAMPLE"),
        ("forks --case x", "forks SAMPLE"),
        ("surprise --sample s_1", "surprise WHAT"),
        ("certify --case x", "certify CASES"),
    ],
)
def test_what_stands_alone_is_not_taken_for_a_mistyped_option(capsys: Any, words: str, needed: str) -> None:
    command, option = re.split("[ =]", words)[:2]
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert f"`reroll {command}` has no `{option}`; {needed.split()[1]} needs none before it: `reroll {needed}`." in said
    assert "Did you mean" not in said


def test_what_nobody_foresaw_is_one_line_and_no_verdict(capsys: Any, monkeypatch: Any) -> None:
    def crash(*_: object) -> int:
        raise KeyError("nobody\nthought of this")

    monkeypatch.setattr("reroll.commands.rerun", crash)
    ran = reroll(capsys, "rerun", "greet")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("reroll: unexpected error: KeyError: ")
    assert "REROLL_DEBUG=1" in ran.err
    assert len(ran.err.splitlines()) == 1
    monkeypatch.setenv("REROLL_DEBUG", "1")
    ran = reroll(capsys, "rerun", "greet")
    assert ran.code == 4
    assert "Traceback" in ran.err
    assert "in crash" in ran.err


def test_ctrl_c_before_the_first_call_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        project = write_project(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = reroll_apart("rerun", "greet", "--project", project)
        caller, _ = silent.accept()  # it asks whether the model is there, and gets no reply
        process.send_signal(signal.SIGINT)
        ran = finished(process)
        caller.close()
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("reroll: stopped by you; ")
    assert ran.err.endswith("[not-completed]\n")


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    session: Any = SimpleNamespace(stopped=False, drawing=set(), beside=[], checker=SimpleNamespace(judges=None))

    async def work() -> None:
        with stopping_cleanly(session):
            os.kill(os.getpid(), signal.SIGINT)
            while not session.stopped:  # noqa: ASYNC110 (nothing else tells)
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run(work())


# -- what it may cost --------------------------------------------------------------------------------------------------


def told_price(capsys: Any, project: Path, *words: object) -> int:
    """How many prompt tokens are announced."""
    said = reroll(capsys, *words, "--project", project, agree=False).complaint
    return int(re.findall(r"about ([\d,]+) prompt tokens", said)[0].replace(",", ""))


def test_the_price_of_a_long_input_is_told(tmp_path: Path, capsys: Any) -> None:
    long = "word " * 80_000
    cases = (
        f'cases:\n  - {{id: greet, input: {{request: "{long}"}}, checks: [{{contains: "yes"}}]}}\n'
        '  - {id: short, input: {request: "Hello"}, checks: [{contains: "yes"}]}\n'
    )
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url, cases=cases)
        assert 400 * 90_000 < told_price(capsys, project, "rerun", "greet") < 400 * 110_000
        assert told_price(capsys, project, "rerun", "short") < 400 * 100
        assert server.calls == 0


def test_the_price_of_long_control_cases_is_told_where_they_are_run(tmp_path: Path, capsys: Any) -> None:
    cases = (
        'cases:\n  - {id: greet, input: {request: "Hello"}, checks: [{contains: "yes"}]}\n'
        f'  - {{id: long, set: control, input: {{request: "{"word " * 8_000}"}}, checks: [{{contains: "yes"}}]}}\n'
    )
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=cases)
        assert 100 * 9_000 < told_price(capsys, project, "rerun", "greet") < 100 * 12_000
        assert told_price(capsys, project, "certify", "greet", "--target", 0.9) < 400 * 100
        given = write_project(tmp_path / "given", url, cases=cases)
        assert told_price(capsys, given, "rerun", "greet") < 400 * 100


def test_a_cap_on_money_that_could_never_stop_anything_is_refused(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        said = reroll(capsys, "rerun", "greet", "--project", project, "--max-usd", 1).complaint
        assert server.calls == 0
    assert "the price of openai:tiny@" in said
    assert "--budget" in said


def test_a_command_does_its_sums_in_one_thread_unless_the_environment_says_otherwise() -> None:
    tell = (
        "import os, sys; from reroll.__main__ import main; main(['ideas', '--help'])\n"
        "print(os.environ[sys.argv[1]], 'numpy' in sys.modules)"
    )
    name = "OPENBLAS_NUM_THREADS"
    given = {key: value for key, value in os.environ.items() if key != name}
    for environment, threads in ((given, "1"), ({**given, name: "7"}, "7")):
        words = [sys.executable, "-c", tell, name]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
        # numpy reads it once, when it is imported: a command that imports it earlier would take all cores
        assert done.stdout.split()[-2:] == [threads, "False"]
