"""A person can be the check: through a command that answers for them, and never asked twice about one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reroll.check import Check, Outcome, Surroundings
from reroll.errors import UsageError
from reroll.person import LABEL, WHY_CHECK, WHY_LABEL, by_asking, by_command, question_about
from reroll.sample import Completion, Sample
from reroll.store import Store
from tests.background import in_background, in_turn, reroll, write_project

SAMPLE = Sample(completion=Completion("Dear Ana, no."))
CHECK = Check.of("person", "Is this polite?")


def command(tmp_path: Path, body: str) -> str:
    script = tmp_path / "person.py"
    script.write_text(f"import json, sys\nsample = json.load(sys.stdin)\n{body}\n")
    return f"{sys.executable} {script}"


@pytest.mark.parametrize(
    ("said", "outcome"), [("pass", "pass"), ("Fail\\n", "fail"), ("unsure", "invalid"), ("hm", "invalid")]
)
def test_a_command_answers_for_the_person(tmp_path: Path, said: str, outcome: str) -> None:
    person = by_command(command(tmp_path, f'sys.stdout.write("{said}")'))
    assert person(CHECK, SAMPLE, Surroundings()).outcome == outcome


def test_the_command_is_told_the_question_the_input_and_the_completion(tmp_path: Path) -> None:
    body = 'print("pass" if sample["question"] == "Is this polite?" and sample["input"] == {"who": "Ana"} '
    body += 'and sample["text"] == "Dear Ana, no." else "fail")'
    person = by_command(command(tmp_path, body))
    assert person(CHECK, SAMPLE, Surroundings(input={"who": "Ana"})).outcome == "pass"


def test_a_command_that_fails_is_invalid_with_its_words(tmp_path: Path) -> None:
    person = by_command(command(tmp_path, 'sys.exit("gone home")'))
    assert person(CHECK, SAMPLE, Surroundings()) == Outcome("invalid", "--person ended with exit code 1: gone home")


def test_a_command_that_does_not_exist_is_refused_before_any_call() -> None:
    with pytest.raises(UsageError, match="there is no command `nobody-here`"):
        by_command("nobody-here")


def test_a_person_is_asked_again_until_they_say_one_of_the_words() -> None:
    replies = iter(["what?", "", "fail"])
    assert by_asking(lambda *_: next(replies))(CHECK, SAMPLE, Surroundings()).outcome == "fail"


@pytest.mark.parametrize(("name", "why"), [("polite", WHY_CHECK), (LABEL, WHY_LABEL)])
def test_whoever_is_asked_is_told_why(name: str, why: str) -> None:
    check, told = Check.of("person", "Is this polite?", name=name), []
    by_asking(lambda *asked: told.append(asked[-1]) or "pass")(check, SAMPLE, Surroundings())
    assert [*told, question_about(check, SAMPLE, Surroundings())["why"]] == [why, why]


def test_a_case_without_checks_is_judged_by_the_person_once_per_run(tmp_path: Path, capsys: Any) -> None:
    log = tmp_path / "asked"
    person = command(
        tmp_path, f'open({str(log)!r}, "a").write("x")\nprint("pass" if "yes" in sample["text"] else "fail")'
    )
    cases = 'cases:\n  - {id: greet, input: {request: "Say yes"}}\n'
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path / "p", url, cases=cases)
        assert "nothing says what a right answer" in reroll(capsys, "rerun", "greet", "--project", project).complaint
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--person", person, "--json")
        assert ran.json["verdict"] == "worse_than_reference"
        reroll(capsys, "rerun", "greet", "--project", project, "--person", person, "--json")
    listed = reroll(capsys, "samples", "--project", project, "--json").json["samples"]
    assert [s["shown"]["reason"] for s in listed[:2]] == ["a person says fail", "a person says pass"]
    assert len(log.read_text()) == server.calls == ran.json["rate"]["n"]


def test_a_command_that_cannot_be_run_is_refused_in_a_sentence(tmp_path: Path) -> None:
    script = tmp_path / "person"
    script.write_bytes(b"\0nothing that runs")
    script.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be run"):
        by_command(str(script))(CHECK, SAMPLE, Surroundings())


def test_a_command_that_ctrl_c_ended_has_judged_nothing(tmp_path: Path) -> None:
    person = by_command(command(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGINT)"))
    with pytest.raises(KeyboardInterrupt):
        person(CHECK, SAMPLE, Surroundings())


def until(screen: int, words: str) -> str:
    """What the screen says up to these words."""
    seen = ""
    while words not in seen:
        seen += os.read(screen, 4096).decode()
    return seen


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D"])
def test_a_person_who_stops_at_the_question_has_judged_nothing(tmp_path: Path, how: str) -> None:
    cases = 'cases:\n  - {id: greet, input: {request: "Say yes"}}\n'
    screen, terminal = pytest.importorskip("pty").openpty()
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url, cases=cases)
        process = subprocess.Popen(
            [sys.executable, "-m", "reroll", "rerun", "greet", "--yes", "--json", "--project", str(project)],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
        os.close(terminal)
        assert WHY_CHECK in until(screen, "[p/f/u]: ")
        os.write(screen, b"f\n")
        assert "You are asked" not in until(screen, "[p/f/u]: ")  # once is enough
        if how == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            os.write(screen, b"\x04")
        until(screen, "reroll: stopped by you")
        out, _ = process.communicate(timeout=60)
    os.close(screen)
    assert (process.returncode, out) == (4, "")
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        judged = store.outcomes([s.id for s in store.samples()])
        assert [o.outcome for said in judged.values() for o in said.values()] == ["fail"]
