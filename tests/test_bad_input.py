"""Bad input gets one sentence: what is wrong, where, what to do. Exit code 2, no traceback, nothing stored is lost."""

from __future__ import annotations

import gzip
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from reroll.params import bad_param
from reroll.store import Store
from tests.background import in_background, in_turn, no_room, reroll, write_project

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens there


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)


def complaint(capsys: Any, *arguments: object) -> str:
    return reroll(capsys, *arguments).complaint


def test_an_unknown_model_names_the_forms_there_are(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE)
    (project / "program.yaml").write_text("program: x\nmodel: opnai:gpt-4o\n")
    said = complaint(capsys, "rerun", "greet", "--project", project)
    assert "opnai" in said
    assert "openai:" in said


def test_a_missing_key_names_the_variable(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE)
    (project / "program.yaml").write_text("program: x\nmodel: openai:gpt-4o\n")
    assert "OPENAI_API_KEY" in complaint(capsys, "rerun", "greet", "--project", project)


def test_an_unreachable_server_says_where(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE)
    said = complaint(capsys, "rerun", "greet", "--project", project)
    assert "127.0.0.1:9" in said
    assert "refused" in said.lower()


def test_a_wrong_key_in_yaml_says_file_line_and_what_was_meant(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE, program="refrence_rate: 0.02\n")
    said = complaint(capsys, "rerun", "greet", "--project", project)
    assert f"{project / 'program.yaml'}:5" in said
    assert "refrence_rate" in said
    assert "reference_rate" in said


def test_a_check_that_always_raises_says_where_and_costs_nothing_again(tmp_path: Path, capsys: Any) -> None:
    cases = 'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{python: "checks:polite"}]}\n'
    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url, cases=cases)
        (project / "checks.py").write_text('def polite(text, sample):\n    return sample["nothing"]\n')
        said = complaint(capsys, "rerun", "greet", "--project", project)
        assert "KeyError" in said
        assert "checks.py:2" in said
        spent = server.calls
        said = complaint(capsys, "rerun", "greet", "--project", project)
        assert server.calls == spent
        assert "what was drawn stays stored" in said


def test_a_template_with_a_missing_input_says_which(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE, program='user: "{request} in {tone}"\n')
    said = complaint(capsys, "rerun", "greet", "--project", project)
    assert "`tone`" in said
    assert "request" in said


@pytest.mark.parametrize("text", ["", "cases: []\n", "cases:\n"])
def test_an_empty_case_file_says_what_it_needs(tmp_path: Path, capsys: Any, text: str) -> None:
    project = write_project(tmp_path, NOWHERE, cases=text)
    assert "cases.yaml" in complaint(capsys, "rerun", "greet", "--project", project)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            gzip.compress(b'{"case_id": "a", "run": 0, "completion": "x", "messages": []}\n' * 50, mtime=0)[:-20],
            "x.jsonl.gz",
        ),
        (b'{"prompt": "hello"}\n', "x.jsonl.gz: is in no format that is read here"),
        (b"not json\n", "x.jsonl.gz: is in no format that is read here"),
        (b"", "x.jsonl.gz"),
    ],
)
def test_a_truncated_or_foreign_recording_says_the_line(tmp_path: Path, capsys: Any, data: bytes, words: str) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data))
    assert words in complaint(capsys, "import", file, "--check", "contains: x", "--project", tmp_path)
    assert words in complaint(capsys, "import", file, "--check", "contains: x", "--into", tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes" * 2000)) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "certify", "greet", "--project", project, "--target", 0.99, "--budget", 20, "--json")
        with no_room(2):
            said = complaint(capsys, "certify", "greet", "--project", project, "--target", 0.99, "--quiet")
        assert "full" in said
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        assert len(store.samples()) >= 20


def test_a_locked_store_says_so(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--json")
        path = project / ".reroll" / "store.sqlite"
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        opened = Store.open
        monkeypatch.setattr(Store, "open", lambda url, **kw: opened(url, **{**kw, "busy_seconds": 0.05}))
        said = complaint(capsys, "rerun", "greet", "--project", project)
        holder.close()
    assert "locked" in said or "in use" in said


def test_a_newer_store_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--json")
        path = project / ".reroll" / "store.sqlite"
        with sqlite3.connect(path) as db:
            db.execute("UPDATE reroll_version SET version_num = '9999'")
        db.close()
        said = complaint(capsys, "rerun", "greet", "--project", project)
    assert "newer" in said
    assert "9999" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rerun", "nope"], "no case `nope`"),
        (["rerun", "gret"], "greet"),
        (["rerun"], "CASE"),
        (["rerunn", "greet"], "rerun"),
        (["rerun", "greet", "--bugdet", "5"], "--bugdet"),
        (["rerun", "greet", "--budget", "few"], "few"),
        (["rerun", "greet", "--budget", "-1"], "--budget must be 1 or more"),
        (["rerun", "greet", "--alpha", "7"], "--alpha is a chance"),
        (["certify", "greet", "--target", "99"], "--target is a success rate"),
        (["certify", "greet"], "no target"),
        (["certify", "greet", "--target", "0.9", "--horizon", "0"], "--horizon must be 1 or more"),
        (["investigate"], "which request was meant"),
        (["investigate", "--case", "greet", "--expect", "contain: yes"], "contains"),
        (["investigate", "--case", "greet", "--expect", "matches: '('"], "--expect"),
        (["investigate", "--input", "request", "--expect", "contains: x"], "NAME=VALUE"),
        (["investigate", "--input", "request=x"], "nothing says what a right answer"),
        (["investigate", "--request", "missing.json", "--expect", "contains: x"], "missing.json"),
        (["investigate", "--case", "greet", "--saw", "missing.txt"], "missing.txt"),
        (["investigate", "--sample", "s_nothing"], "s_nothing"),
        (["show", "s_nothing"], "no store"),
        (["samples"], "no store"),
        (["export", "--out", "/nowhere/x.jsonl"], "no store"),
        (["import", "missing.jsonl"], "missing.jsonl"),
        (["doctor", "bundeld"], "bundled"),
        (["doctor", "gguf:missing.gguf"], "missing.gguf"),
        (["doctor", "openai:x", "--base-url", NOWHERE], "127.0.0.1:9"),
        (["doctor", "anthropic:claude"], "ANTHROPIC_API_KEY"),
    ],
)
def test_wrong_words_on_the_command_line(tmp_path: Path, capsys: Any, arguments: list[str], words: str) -> None:
    project = write_project(tmp_path, NOWHERE)
    said = complaint(capsys, *arguments, "--project", project)
    assert words in said, said


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path, capsys: Any) -> None:
    assert "reroll init" in complaint(capsys, "rerun", "greet", "--project", tmp_path)


def test_init_never_overwrites(tmp_path: Path, capsys: Any) -> None:
    assert reroll(capsys, "init", tmp_path / "p").code == 0
    before = (tmp_path / "p" / "cases.yaml").read_text()
    assert "p" in complaint(capsys, "init", tmp_path / "p")
    assert (tmp_path / "p" / "cases.yaml").read_text() == before


@pytest.mark.parametrize(
    ("name", "value", "words"), [("REROLL_BUDGET", "lots", "REROLL_BUDGET"), ("REROLL_ALPHA", "2", "REROLL_ALPHA")]
)
def test_a_wrong_environment_variable_is_named(
    tmp_path: Path, capsys: Any, monkeypatch: Any, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    assert words in complaint(capsys, "rerun", "greet", "--project", write_project(tmp_path, NOWHERE))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["certify", "greet", "--target", "0.9999999999999"], "--target is a success rate between 0.0001 and 0.99999"),
        (["certify", "greet", "--target", "1e-13"], "--target is a success rate"),
        (["certify", "greet", "--target", "nan"], "--target is a success rate"),
        (["rerun", "greet", "--max-usd", "nan"], "--max-usd must be more than 0"),
        (["rerun", "greet", "--max-usd", "inf"], "--max-usd must be more than 0"),
        (["rerun", "greet", "--horizon", "99999999999999999999"], "--horizon must be 1,000,000 or less"),
        (["rerun", "greet", "--budget", "99999999999999999999"], "--budget must be 1,000,000 or less"),
        (["rerun", "greet", "--project", "a\0b"], "not text in UTF-8"),
        (["investigate", "--case", "greet", "--expect", "contains: \udcff"], "not text in UTF-8"),
        (["show", "\udcff"], "not text in UTF-8"),
        (["samples", "--limit", "-1"], "--limit must be 1 or more"),
        (["export", "--json"], "--out"),
        (["demo", "--svg", "/nope/x.svg"], "needs the folder /nope"),
        (["demo", "--svg", "/"], "is a folder"),
        (["demo", "--png", "/nope/x.png"], "needs the folder /nope"),
    ],
)
def test_values_that_no_run_could_use(tmp_path: Path, capsys: Any, arguments: list[str], words: str) -> None:
    project = write_project(tmp_path, NOWHERE)
    if "--project" not in arguments:
        arguments = [*arguments, "--project", str(project)]
    said = complaint(capsys, *arguments)
    assert words in said, said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("reference_rate: 1.0e-13\n", "`reference_rate` is a failure rate between 0.0001 and 0.9999"),
        ("reference_rate: 0.999999\n", "`reference_rate` is a failure rate"),
        ("target: 0.9999999999999\n", "`target` is a success rate"),
        ("params: {max_tokens: lots}\n", 'program.yaml:5: `params.max_tokens`: needs a whole number; got "lots"'),
        ("params: {max_tokens: [1]}\n", "needs a whole number; got [1]"),
        (
            "params:\n  top_p: 1\n  max_tokens: -3\n",
            "program.yaml:7: `params.max_tokens`: must be at least 1, and this",
        ),
        ("params: {temperature: hot}\n", 'needs a number; got "hot"'),
        ("params: {temperature: -0.5}\n", "must be at least 0, and this is -0.5"),
        ("params: {temperature: true}\n", "needs a number; got true"),
        ("params: {top_p: 1.5}\n", "must be between 0 and 1, and this is 1.5"),
        ("params: {n: 0}\n", "must be at least 1, and this is 0"),
        ("params: {n: 2.5}\n", "needs a whole number; got 2.5"),
        ("params: {stop: 7}\n", "needs a text or a list of texts; got 7"),
        ("params: {logprobs: many}\n", 'needs true or false, or how many alternatives; got "many"'),
        ("params: {stream: true}\n", "answers are read whole; take it out"),
        ("params: {model: gpt-4o}\n", "the program's `model` says this"),
        ("alternatives: {params.temperature: [0, hot]}\n", 'needs a number; got "hot"'),
    ],
)
def test_numbers_of_a_program_that_no_run_could_use(tmp_path: Path, capsys: Any, program: str, words: str) -> None:
    project = write_project(tmp_path, NOWHERE, program=program)
    assert words in complaint(capsys, "rerun", "greet", "--project", project)


@pytest.mark.parametrize(
    ("model", "name", "value", "wrong"),
    [
        ("anthropic:claude", "logprobs", True, True),
        ("anthropic:claude", "n", 4, True),
        ("anthropic:claude", "n", 1, False),
        ("anthropic:claude", "anthropic-version", "2026-10-21", False),
        ("openai-responses:gpt", "n", 2, True),
        ("openai-completions:tiny", "logprobs", 5, False),
        ("openai-completions:tiny", "prompt", "Once upon", False),
        ("openai:tiny", "top_k", -1, False),
        ("openai:tiny", "temperature", 5, False),  # some servers take more than 2
        ("openai:tiny", "temperature", None, False),
        ("openai:tiny", "seed", -1, False),
        ("openai:tiny", "min_tokens", "some vendor's", False),
        ("python:answer:reply", "temperature", "hot", False),  # a keyword of somebody's function
        ("recorded:runs.jsonl", "n", 0, False),
    ],
)
def test_a_parameter_is_refused_only_where_it_can_only_be_a_mistake(
    model: str, name: str, value: Any, wrong: bool
) -> None:
    assert bool(bad_param(model, name, value)) == wrong


def test_a_variant_with_a_parameter_that_can_only_be_a_mistake_is_refused(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE)
    said = complaint(capsys, "compare", "params.temperature=hot", "--project", project)
    assert '`params.temperature` cannot be that: needs a number; got "hot"' in said
    project = write_project(tmp_path / "other", NOWHERE, program="params: {logprobs: true}\n")
    said = complaint(capsys, "compare", "model=anthropic:claude", "--project", project)
    assert "`model` cannot be that: `params.logprobs` this API gives no token probabilities; take it out" in said


def test_a_misspelt_parameter_is_refused_as_a_server_would_pass_over_it(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, NOWHERE)
    said = complaint(capsys, "compare", "params.temprature=0", "--project", project)
    assert "did you mean `temperature`?" in said
    text = (project / "program.yaml").read_text()
    (project / "program.yaml").write_text(text + "params: {max_token: 5}\n")
    said = complaint(capsys, "rerun", "greet", "--project", project)
    assert "`params.max_token`: unknown; did you mean `max_tokens`?" in said


@pytest.mark.parametrize("command", ["samples", "export"])
def test_a_case_of_which_nothing_is_stored_names_those_that_are(tmp_path: Path, capsys: Any, command: str) -> None:
    with in_background(in_turn("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--budget", 10)
    said = complaint(capsys, command, "nope", "--project", project)
    assert "no sample of case `nope` is stored; stored are: greet" in said


def test_a_setting_that_is_out_of_reach_is_named(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("REROLL_BUDGET", "99999999999999999999")
    said = complaint(capsys, "rerun", "greet", "--project", write_project(tmp_path, NOWHERE))
    assert "must lie between 1 and 1,000,000" in said


@pytest.mark.parametrize("words", [("--horizon", "355.9"), ("--budget=2.7",), ("--seed", "1.5"), ("--actors", "2.5")])
def test_a_fraction_is_not_rounded_to_a_whole_number(capsys: Any, words: tuple[str, ...]) -> None:
    ran = reroll(capsys, "certify", "x", *words)
    assert "is a whole number, got" in ran.complaint


@pytest.mark.parametrize(
    "words", [("futures", "x", "--draws", "1.5"), ("surprise", "x", "--draws=.5"), ("samples", "--least", "2.")]
)
def test_a_commands_own_whole_number_is_not_rounded_either(capsys: Any, words: tuple[str, ...]) -> None:
    ran = reroll(capsys, *words)
    assert ran.code == 2
    assert "is a whole number, got" in ran.complaint


@pytest.mark.parametrize("words", [("--draws", "1.5"), ("nope", "--draws", "1.5"), ("--draws=1.5", "futures")])
def test_a_fraction_without_a_command_is_a_missing_command(capsys: Any, words: tuple[str, ...]) -> None:
    ran = reroll(capsys, *words)
    assert ran.code == 2
    assert "Unknown command" in ran.complaint
