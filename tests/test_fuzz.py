"""Damaged files, bodies and texts end in a right result or in one sentence; benchmarks/fuzz.py tries tens of thousands.

Below the few examples of each target stand those that once broke something, each by its name.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from reroll.check import Check, Surroundings, judge_sample
from reroll.errors import FileError, UsageError
from reroll.grouping import facts_of
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.slack.arrived import arrived
from tests.fuzz_targets import SLACK, TARGETS, is_a_sentence

DEAR = {
    "pages of samples",
    "addresses and forms",
    "exported files",
    "recorded calls, damaged values",
    "recorded calls, damaged bytes",
}  # a store each


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_is_read_right_or_refused_in_one_sentence(name: str) -> None:
    strategy, check = TARGETS[name]

    @settings(
        max_examples=3 if name in DEAR else 8,
        database=None,
        phases=(Phase.generate,),  # what breaks is made small by the benchmark
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(example: Any) -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            check(example, Path(folder))

    one()


def test_a_sentence_about_a_file_that_steers_terminals_steers_none() -> None:
    error = FileError("cases.yaml", "got \x1b[2J\x9b31m\u202etxt\ud800\nnext\x00", line=3, key="a\x07")
    is_a_sentence(error)
    assert str(error) == r"cases.yaml:3: `a\x07`: got \x1b[2J\x9b31m\u202etxt\ud800 next\x00"


def test_a_sentence_that_quotes_a_whole_book_keeps_its_beginning_and_what_to_do() -> None:
    error = UsageError(f"no part `{'x' * 50_000}` that can be changed; there are a, b")
    is_a_sentence(error)
    assert str(error).startswith("no part `xxx")
    assert str(error).endswith("that can be changed; there are a, b")


@pytest.mark.parametrize(
    "body", [*({**one, "user": [], "event": "x", "view": "v", "actions": [1]} for one in SLACK), {}]
)
def test_what_slack_never_documented_is_nothing_for_us(body: dict[str, Any]) -> None:
    assert arrived(body) is None or body.get("command")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tools: [{type: function, function: []}]", "program.yaml:2: `tools.1.function`: needs the function's name"),
        ("response: {type: object, properties: {a: true}}", "`response.properties.a`: needs what the field is"),
    ],
)
def test_a_tool_or_field_that_says_nothing_is_refused_where_it_stands(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "program.yaml").write_text(f"program: p\n{line}\n")
    with pytest.raises(FileError) as caught:
        load_project(tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize("call", [{"function": "find"}, {"function": None, "name": "find"}, {"function": [1]}])
def test_a_tool_call_of_no_known_form_is_judged_and_grouped(call: dict[str, Any]) -> None:
    sample = Sample(Completion("", "tool_calls", (call,)))
    found = judge_sample(Check.of("tool_call", {"name": "look"}), sample, Surroundings())
    assert found.outcome == "fail"
    assert facts_of(sample, [found]) is not None


def test_the_reason_of_a_check_can_be_written_whatever_a_tool_was_called() -> None:
    sample = Sample(Completion("", "tool_calls", ({"function": {"name": "\ud800"}},)))
    found = judge_sample(Check.of("tool_call", {"name": "look"}), sample, Surroundings())
    assert found.reason == "does not call look (calls \ufffd)"
