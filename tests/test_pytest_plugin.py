"""The pytest plugin as people use it: real pytest runs over test files, with and without xdist, and over projects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any
from xml.etree import ElementTree

import pytest

# Loaded before pytester looks at what is loaded, so that no run takes them away again.
import reroll.pytest_cases
import reroll.pytest_summary
import reroll.pytest_trials  # noqa: F401
from reroll.store import Store
from tests.background import by_number, in_background, write_project
from tests.fake_server import answer, error

pytest_plugins = ["pytester"]

INSTALLED = any(entry.value == "reroll.pytest_plugin" for entry in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "reroll.pytest_plugin")
CONFTEST = """
import pytest

class Model:
    "Answers in turn."
    def __init__(self):
        self.calls = 0
    def ask(self, pattern):
        self.calls += 1
        return {"y": "yes", "n": "no"}[pattern[(self.calls - 1) % len(pattern)]]

@pytest.fixture(scope="module")
def model():
    return Model()
"""
Run = Callable[..., Any]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest over these tests."""
    for name in [name for name in os.environ if name.startswith(("REROLL_", "GITHUB_", "PYTEST_ADDOPTS"))]:
        monkeypatch.delenv(name)
    pytester.makeconftest(CONFTEST)

    def go(source: str, *arguments: object, ini: str = "") -> Any:
        pytester.makeini(f"[pytest]\naddopts = --strict-markers\n{ini}")
        pytester.makepyfile(test_it=f"import pytest\n{source}")
        return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *map(str, arguments))

    return go


def stored(pytester: pytest.Pytester) -> Store:
    return Store.open(pytester.path / ".reroll" / "store.sqlite", create=False)


def test_a_good_test_is_green_as_soon_as_that_is_shown(run: Run, pytester: pytest.Pytester) -> None:
    found = run("""
@pytest.mark.reroll
def test_good(model):
    assert model.ask("y") == "yes"
def test_calls(model):
    assert model.calls == 16
""")
    found.assert_outcomes(passed=2)
    found.stdout.fnmatch_lines(["green*test_it.py::test_good*16 of 16 passed, at least 80 %*"])
    with stored(pytester) as store:
        (made,) = store.decisions(rule="pytest/1")
    assert (made.verdict, made.case_id, made.horizon) == ("green", "test_it.py::test_good", 120)
    assert made.evidence["outcomes"] == ["pass"] * 16


def test_a_bad_test_is_red_and_shows_its_last_failure(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_bad(model):
    assert model.ask("ny") == "yes"
""")
    assert found.ret == 1
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        ["reroll: * passed: worse than 95 %", "*assert 'no' == 'yes'*", "1 test: 1 red; * trials"]
    )


@pytest.mark.parametrize(
    ("setting", "code", "outcome"), [("", 0, "xfailed"), ("pass", 0, "undecided"), ("fail", 1, "failed")]
)
def test_a_setting_decides_what_an_undecided_test_is(run: Run, setting: str, code: int, outcome: str) -> None:
    found = run(
        """
@pytest.mark.reroll(budget=20)
def test_between(model):
    assert model.ask("yyyyyyn") == "yes"
""",
        ini=f"reroll_yellow = {setting}",
    )
    assert found.ret == code
    assert found.parseoutcomes() == {outcome: 1}
    found.stdout.fnmatch_lines(["*18 of 20 passed: neither better than 80 % nor worse than 95 % was shown"])


def test_what_a_test_breaks_by_itself_says_nothing_about_the_model(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_bug(model):
    model.ask("y")
    raise KeyError("subject")
def test_calls(model):
    assert model.calls == 3
""")
    found.assert_outcomes(failed=1, passed=1)
    found.stdout.fnmatch_lines(["invalid*3 invalid: this says too little about the model: KeyError: 'subject'"])


def test_assertions_of_test_code_blame_the_model_and_those_of_a_library_do_not(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(library="def parse(text):\n    assert text == 'yes'")
    pytester.makeconftest(CONFTEST + "\ndef is_yes(text):\n    assert text == 'yes'\n")
    found = run("""
from conftest import is_yes
import library, asyncio
@pytest.mark.reroll
def test_helper():
    is_yes("no")
@pytest.mark.reroll
def test_pytest_fail():
    pytest.fail("not what I wanted")
@pytest.mark.reroll
def test_group():
    async def one(): assert False
    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(one())
    asyncio.run(both())
@pytest.mark.reroll
def test_library():
    library.parse("no")
""")
    found.assert_outcomes(failed=4)
    shades = [line.split()[:2] for line in found.outlines if line.startswith(("red", "invalid"))]
    assert sorted(shades) == [
        ["invalid", "test_it.py::test_library"],
        ["red", "test_it.py::test_group"],
        ["red", "test_it.py::test_helper"],
        ["red", "test_it.py::test_pytest_fail"],
    ]


def test_fixtures_and_the_instance_are_anew_for_every_trial_and_wider_ones_are_kept(run: Run) -> None:
    found = run("""
seen = []
@pytest.fixture
def each():
    seen.append("set up")
    yield
    seen.append("taken down")
@pytest.fixture(scope="class")
def once():
    seen.append("class up")
    yield
    seen.append("class down")
class TestIt:
    def setup_method(self):
        assert not hasattr(self, "mark")
    @pytest.mark.reroll
    def test_it(self, each, once, tmp_path):
        self.mark = True
        assert not list(tmp_path.iterdir())
        (tmp_path / "file").touch()
    def test_beside(self):
        assert "class down" not in seen
def test_seen():
    assert seen == ["class up", *["set up", "taken down"] * 16, "class down"]
""")
    found.assert_outcomes(passed=3)


def test_an_async_test_runs_as_its_plugin_runs_it(run: Run) -> None:
    found = run("""
import anyio
@pytest.fixture
def anyio_backend():
    return "asyncio"
@pytest.mark.reroll
@pytest.mark.anyio
async def test_async(model):
    await anyio.sleep(0)
    assert model.ask("y") == "yes"
@pytest.mark.reroll
async def test_without_a_plugin(model):
    assert model.ask("y") == "yes"
""")
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["green*test_async*16 of 16*", "invalid*test_without_a_plugin*async def*"])


def test_every_parameter_is_a_test_of_its_own_and_all_share_alpha(run: Run, pytester: pytest.Pytester) -> None:
    found = run("""
@pytest.mark.reroll
@pytest.mark.parametrize("pattern", ["y", "n"])
def test_it(pattern):
    assert pattern == "y"
@pytest.mark.reroll(alpha=0.01)
def test_other():
    pass
""")
    found.assert_outcomes(passed=2, failed=1)
    with stored(pytester) as store:
        shares = {made.case_id: made.evidence["share"] for made in store.decisions(rule="pytest/1")}
    assert shares["test_it.py::test_it[y]"] == shares["test_it.py::test_it[n]"] == pytest.approx(0.05 / 3)
    assert shares["test_it.py::test_other"] == pytest.approx(0.01 / 3)


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("target=0.7", "target (0.7) must lie above unacceptable (0.8)"),
        ("0.95", "the mark takes names"),
        ("goal=0.95", "the mark has no `goal`; it takes target, unacceptable, alpha, budget"),
        ("budget=5", "a budget of 5 can never show green: 14 trials or more"),
        ("alpha=2", "alpha is a chance between 0 and 0.5"),
    ],
)
def test_a_mark_that_makes_no_sense_is_an_error_in_words_and_calls_nothing(run: Run, mark: str, words: str) -> None:
    found = run(f"""
@pytest.mark.reroll({mark})
def test_it(model):
    model.ask("y")
def test_calls(model):
    assert model.calls == 0
""")
    found.assert_outcomes(errors=1, passed=1)
    assert f"reroll: {words}" in found.stdout.str()


def test_what_cannot_be_run_again_is_refused_in_words(run: Run) -> None:
    found = run("""
import unittest
@pytest.mark.reroll
class TestOld(unittest.TestCase):
    def test_it(self):
        pass
@pytest.mark.reroll
def test_parts(subtests):
    pass
""")
    found.assert_outcomes(errors=2)
    assert "a method of a unittest.TestCase, which cannot be set up anew" in found.stdout.str()
    assert "asks for subtests" in found.stdout.str()


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_setting_that_makes_no_sense_ends_the_run_in_words(run: Run, workers: str) -> None:
    found = run("@pytest.mark.reroll\ndef test_it(): pass", workers, ini="reroll_budget = many")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    assert "reroll: reroll_budget is a number, got 'many' [pytest]" in found.stderr.str() + found.stdout.str()


def test_a_test_may_skip_itself_but_not_only_now_and_then(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_never():
    pytest.skip("no key")
@pytest.mark.reroll
def test_known():
    pytest.xfail("later")
@pytest.mark.reroll
def test_sometimes(model):
    if model.ask("yn") == "no":
        pytest.skip("do not like it")
""")
    found.assert_outcomes(skipped=1, xfailed=1, failed=1)
    found.stdout.fnmatch_lines(["invalid*test_sometimes*invalid*do not like it"])


def test_a_test_that_is_expected_to_fail_may_be_red(run: Run) -> None:
    found = run("""
@pytest.mark.xfail(reason="the model is weak")
@pytest.mark.reroll
def test_it():
    assert False
""")
    found.assert_outcomes(xfailed=1)


def test_a_fixture_that_fails_at_first_is_an_error_and_later_an_invalid_trial(run: Run) -> None:
    found = run("""
@pytest.fixture
def broken():
    raise OSError("no network")
@pytest.fixture
def shaky(model):
    if model.ask("yn") == "no":
        raise OSError("lost it")
@pytest.fixture
def messy(model):
    yield
    raise OSError("not taken down")
@pytest.mark.reroll
def test_broken(broken): pass
@pytest.mark.reroll
def test_shaky(shaky): pass
@pytest.mark.reroll
def test_messy(messy): pass
""")
    found.assert_outcomes(errors=1, failed=2)
    found.stdout.fnmatch_lines(["invalid*test_shaky*in a fixture: OSError: lost it"])
    found.stdout.fnmatch_lines(["invalid*test_messy*the teardown of trial 1 failed: OSError: not taken down"])


def test_what_a_test_records_is_stored_with_its_prompt_before_the_verdict(run: Run, pytester: pytest.Pytester) -> None:
    found = run("""
@pytest.mark.reroll
def test_it(model, reroll_sample):
    answer = reroll_sample.record(model.ask("yyn"), prompt="Say yes", model="tiny", usd=0.001)
    if answer != "yes":
        reroll_sample.fail("it said no")
""")
    assert found.ret == 1
    with stored(pytester) as store:
        (made,) = store.decisions(rule="pytest/1")
        samples = store.decided_on(made)
        assert [s.sample.completion.text for s in samples[:3] if s.sample.completion] == ["yes", "yes", "no"]
        assert samples[0].sample.usage.usd == 0.001
        said = store.outcomes([samples[2].id])[samples[2].id]
        assert [(o.outcome, o.reason) for o in said.values()] == [("fail", "it said no")]
        assert store.get_request(samples[0].request_id).request.body["messages"][0]["content"] == "Say yes"


def test_a_run_that_somebody_stops_keeps_what_was_recorded_until_then(run: Run, pytester: pytest.Pytester) -> None:
    run("""
@pytest.mark.reroll
def test_it(model, reroll_sample):
    reroll_sample.record(model.ask("y"))
    if model.calls == 4:
        pytest.exit("enough")
""")
    with stored(pytester) as store:
        assert len(store.samples()) == 4
        assert not store.decisions(rule="pytest/1")


def test_a_key_that_a_test_lets_slip_is_neither_kept_nor_shown(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-1234567890")
    found = run("""
import os
@pytest.mark.reroll
def test_it(reroll_sample):
    key = os.environ["OPENAI_API_KEY"]
    reroll_sample.record(f"my key is {key}", prompt=f"use {key}")
    reroll_sample.fail(f"it said {key}")
""")
    found.assert_outcomes(failed=1)
    assert "it said [secret]" in found.stdout.str()
    with stored(pytester) as store:
        (sample, *_) = store.decided_on(store.decisions(rule="pytest/1")[0])
        assert sample.sample.completion
        assert sample.sample.completion.text == "my key is [secret]"
    for file in (pytester.path / ".reroll").iterdir():
        assert b"sk-very-secret" not in file.read_bytes()


def test_a_test_that_asks_for_samples_and_records_none_never_called_a_model(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_it(reroll_sample):
    assert True
def test_unmarked(reroll_sample):
    assert reroll_sample.record("text") == "text"
""")
    found.assert_outcomes(failed=1, passed=1)
    found.stdout.fnmatch_lines(["invalid*asks for reroll_sample and recorded no completion"])


def test_a_trial_that_the_test_calls_invalid_is_invalid(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_it(reroll_sample):
    reroll_sample.invalid("the server is busy")
""")
    found.stdout.fnmatch_lines(["invalid*SaysNothing: the server is busy"])


def test_a_test_that_looks_as_if_it_called_no_model_is_told_so(run: Run) -> None:
    found = run("""
@pytest.mark.reroll
def test_it(): pass
@pytest.mark.reroll
def test_cached(reroll_sample):
    reroll_sample.record("A long answer that no model would give twice in the very same words.")
""")
    found.assert_outcomes(passed=2)
    found.stdout.fnmatch_lines(["*a trial took less than a thousandth of a second; does this test call a model?"])
    found.stdout.fnmatch_lines(["*all 16 completions are the same; does a cache answer in place of the model?"])


def test_junit_and_github_have_the_numbers_and_nothing_is_read_as_markup(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run(
        """
@pytest.mark.reroll
@pytest.mark.parametrize("name", ["<b>|x|</b>"])
def test_it(name, record_property):
    record_property("mine", 1)
""",
        "--junitxml=junit.xml",
    )
    case = next(ElementTree.parse(pytester.path / "junit.xml").iter("testcase"))
    told = [(p.get("name"), p.get("value")) for p in case.iter("property")]
    assert told.count(("mine", "1")) == 1
    assert {("reroll_shade", "green"), ("reroll_passed", "16"), ("reroll_smallest_drop", "0.149")} <= set(told)
    table = summary.read_text()
    assert "🟢 green" in table
    assert "14.9 points below 95 %" in table
    assert "<b>" not in table
    assert "|x|" not in table


def test_a_store_that_cannot_be_used_takes_no_verdict_away(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / ".reroll").write_text("a file")
    found = run("@pytest.mark.reroll\ndef test_it(): pass")
    found.assert_outcomes(passed=1)
    assert "trials could not be stored: " in found.stdout.str()


def test_nothing_is_kept_where_that_is_asked_for(run: Run, pytester: pytest.Pytester) -> None:
    run("@pytest.mark.reroll\ndef test_it(): pass", "--reroll-store", "none").assert_outcomes(passed=1)
    assert not (pytester.path / ".reroll").exists()


def test_a_run_without_marked_tests_sees_nothing_of_it(run: Run, pytester: pytest.Pytester) -> None:
    found = run("def test_it(): pass")
    found.assert_outcomes(passed=1)
    assert "reroll" not in "".join(line for line in found.outlines if "plugins:" not in line)
    assert not (pytester.path / ".reroll").exists()


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import reroll.pytest_plugin; "
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('reroll') or '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['reroll', 'reroll.errors', 'reroll.pytest_plugin']"


# -- the cases of a project


TWO = """cases:
  - {id: good, input: {request: "good"}, checks: [{contains: "yes"}]}
  - {id: bad, set: control, input: {request: "bad"}, checks: [{contains: "no"}]}
  - {id: unchecked, input: {request: "x"}}
"""


def cases(pytester: pytest.Pytester, *arguments: object) -> Any:
    return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *map(str, arguments))


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("REROLL_", "GITHUB_", "OPENAI_"))]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("clean")
def test_the_cases_of_a_project_are_tests_that_count_this_run_only(pytester: pytest.Pytester) -> None:
    with in_background(answer("yes")) as (server, url):
        write_project(pytester.path / "greet", url, program="", cases=TWO)
        pytester.makepyfile("def test_not_asked_for(): assert False")
        found = cases(pytester, "--reroll", "greet", "--reroll-run", "first")
        found.assert_outcomes(passed=1, failed=1)
        found.stdout.fnmatch_lines(["green*greet::good*16 of 16 passed*", "red*greet::bad*0 of 2 passed*"])
        assert len(server.bodies) == 18
        cases(pytester, "--reroll", "greet", "--reroll-run", "first").assert_outcomes(passed=1, failed=1)
        assert len(server.bodies) == 18, "the same run goes on with what it has"
        cases(pytester, "--reroll", "greet", "-k", "good").assert_outcomes(passed=1, deselected=1)
        assert len(server.bodies) == 34, "another run starts from zero"
        cases(pytester, "--reroll", "greet::good").assert_outcomes(passed=1)
        cases(
            pytester,
            "--reroll",
            "greet",
            "test_the_cases_of_a_project_are_tests_that_count_this_run_only.py",
            "-k",
            "not_asked or good",
        ).assert_outcomes(passed=1, failed=1, deselected=1)
    with Store.open(pytester.path / "greet" / ".reroll" / "store.sqlite", create=False) as store:
        verdicts = [(d.case_id, d.verdict, len(store.decided_on(d))) for d in store.decisions(rule="pytest/1")]
    assert verdicts[:2] == [("good", "green", 16), ("bad", "red", 2)]


JUDGED = """cases:
  - {id: good, input: {request: "good"}, checks: [{judge: {model: "python:judging:judge", rubric: "It says yes."}}]}
"""


@pytest.mark.usefixtures("clean")
def test_a_case_that_a_model_judges_is_a_test_and_its_calls_are_kept_in_the_store(pytester: pytest.Pytester) -> None:
    pytester.mkdir("greet")
    (pytester.path / "greet" / "judging.py").write_text(
        'def judge(messages):\n    return \'{"reason": "It does.", "verdict": "pass"}\'\n'
    )
    with in_background(answer("yes")) as (_, url):
        write_project(pytester.path / "greet", url, program="", cases=JUDGED)
        found = cases(pytester, "--reroll", "greet")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["green*greet::good*16 of 16 passed*"])
    with Store.open(pytester.path / "greet" / ".reroll" / "store.sqlite") as store:
        assert len(store.samples(source="judge")) == 1, "equal answers are one question"


@pytest.mark.usefixtures("clean")
def test_cases_and_tests_share_alpha_and_a_run_over_all_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_py="""
import pytest
@pytest.mark.reroll
@pytest.mark.parametrize("k", range(4))
def test_it(k, reroll_sample):
    reroll_sample.record(f"answer {k}", prompt="which?")
    assert k < 3
"""
    )
    with in_background(answer("yes")) as (_, url):
        write_project(pytester.path / "greet", url, program="target: 0.9\n", cases=TWO)
        found = cases(pytester, "--reroll", "greet", "test_py.py", "-n2")
    found.assert_outcomes(passed=4, failed=2)
    found.stdout.fnmatch_lines(["6 tests: 2 red, 4 green; *", "Where all 6 tests *"])
    with stored(pytester) as store:
        made = store.decisions(rule="pytest/1")
        assert {d.case_id for d in made} == {f"test_py.py::test_it[{k}]" for k in range(4)}
        assert {d.evidence["share"] for d in made} == {0.05 / 6}
        assert len(store.decided_on(made[0])) == made[0].evidence["trials"]
        runs = {d.evidence["run"] for d in made}
    with Store.open(pytester.path / "greet" / ".reroll" / "store.sqlite", create=False) as store:
        of_cases = store.decisions(rule="pytest/1")
        assert {(d.evidence["run"], d.target, d.evidence["share"]) for d in of_cases} == {(*runs, 0.9, 0.05 / 6)}


@pytest.mark.usefixtures("clean")
def test_a_server_that_is_down_and_a_project_that_is_none_are_said_in_words(pytester: pytest.Pytester) -> None:
    write_project(pytester.path / "greet", "http://127.0.0.1:9", program="", cases=TWO)
    found = cases(pytester, "--reroll", "greet", "-k", "good")
    found.assert_outcomes(failed=1, deselected=1)
    assert "Traceback" not in found.stdout.str()
    found.stdout.fnmatch_lines(["reroll: *127.0.0.1*"])
    (pytester.path / "empty").mkdir()
    found = cases(pytester, "--reroll", "empty")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    assert "no program.yaml in this folder" in found.stderr.str() + found.stdout.str()
    (pytester.path / "greet" / "cases.yaml").write_text("cases: 7")
    found = cases(pytester, "--reroll", "greet")
    assert found.ret == pytest.ExitCode.INTERRUPTED
    assert "cases.yaml:1" in found.stdout.str()


@pytest.mark.usefixtures("clean")
def test_a_cap_on_money_needs_a_price(pytester: pytest.Pytester) -> None:
    with in_background(answer("yes")) as (server, url):
        write_project(pytester.path / "greet", url, program="", cases=TWO)
        found = cases(pytester, "--reroll", "greet", "-k", "good", "--reroll-max-usd", "1")
        assert not server.bodies
    assert "the price of openai:tiny" in found.stdout.str()


@pytest.mark.usefixtures("clean")
def test_calls_that_bring_nothing_back_are_invalid(pytester: pytest.Pytester) -> None:
    with in_background(by_number(lambda n: answer("yes") if n < 4 else error(400))) as (_, url):
        write_project(pytester.path / "greet", url, program="", cases=TWO)
        found = cases(pytester, "--reroll", "greet", "-k", "good")
    found.assert_outcomes(failed=1, deselected=1)
    assert json.dumps(found.outlines).count("invalid")
