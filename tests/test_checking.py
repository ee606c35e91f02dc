"""Python checks run in a child process that contains whatever they do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reroll.case import Case, surroundings_of
from reroll.check import Check, Outcome
from reroll.checking import Checker, no_judge
from reroll.errors import FileError, UsageError
from reroll.person import by_command
from reroll.program import Program
from reroll.sample import Completion, Sample

CHECKS = """
import os
import sys

calls = []


def polite(text, sample):
    return "please" in text


def reason(text, sample):
    return f"too long by {len(text) - 3}"


def both(text, sample):
    return text == sample["expected"], "compared with expected"


def sees(text, sample):
    return sample["input"]["who"] == "Ana" and sample["finish_reason"] == "stop"


def raises(text, sample):
    return {}["id"]


def deep(text, sample):
    return deep(text, sample)


def loops(text, sample):
    while True:
        pass


def eats(text, sample):
    return len(bytearray(1 << 40)) > 0


def leaves(text, sample):
    sys.exit(3)


def vanishes(text, sample):
    os._exit(3)


def prints(text, sample):
    print('{"id": 1, "holds": false}')
    os.write(1, b'{"id": 1, "holds": false}\\n')
    sys.stderr.write("noise")
    return True


def nothing(text, sample):
    pass


def nonsense(text, sample):
    return 3.5


def unprintable(text, sample):
    class Bad(Exception):
        def __repr__(self):
            raise RuntimeError

    raise Bad(Bad())


def secret(text, sample):
    return os.environ.get("REROLL_TEST_SECRET") is None and "HOME" not in os.environ


def writes(text, sample):
    with open("left-behind.txt", "w") as file:
        file.write("x")
    return True


def closes(text, sample):
    os.closerange(0, 100)
    return True


def reads(text, sample):
    return sys.stdin.read() == ""


def counts(text, sample):
    calls.append(text)
    return len(calls) == 1
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "checks.py").write_text(CHECKS)
    os.environ["REROLL_TEST_SECRET"] = "sk-secret"
    with Checker(folder, seconds=3, memory=1 << 29) as found:
        yield found
    del os.environ["REROLL_TEST_SECRET"]


def one(checker: Checker, function: str, text: str = "abc") -> Outcome:
    case = Case(id="a", input={"who": "Ana"}, expected="abc", checks=(Check.of("python", f"checks:{function}"),))
    return checker.judge(case, Program(program="p"), Sample(Completion(text)))[0]


@pytest.mark.parametrize(
    ("function", "outcome", "reason"),
    [
        ("polite", "fail", "checks:polite says no"),
        ("reason", "fail", "too long by 0"),
        ("both", "pass", "compared with expected"),
        ("sees", "pass", "checks:sees says yes"),
        ("raises", "invalid", "check checks:raises crashed: KeyError('id') at checks.py:{}"),
        ("deep", "invalid", "RecursionError"),
        ("eats", "invalid", "check checks:eats crashed: MemoryError() at checks.py:{}"),
        ("leaves", "invalid", "check checks:leaves crashed: SystemExit(3) at checks.py:{}"),
        ("vanishes", "invalid", "check checks:vanishes ended its process (exit code 3)"),
        ("prints", "pass", "checks:prints says yes"),
        ("nothing", "invalid", "check checks:nothing returned None; it must return True, False, a reason, or (bool"),
        ("nonsense", "invalid", "check checks:nonsense returned 3.5; it must return"),
        ("unprintable", "invalid", "check checks:unprintable crashed: Bad at checks.py:"),
        ("secret", "pass", "checks:secret says yes"),
        ("writes", "invalid", "crashed: OSError(27"),
        ("closes", "invalid", "check checks:closes"),
        ("reads", "pass", "checks:reads says yes"),
    ],
)
def test_whatever_a_python_check_does_is_an_outcome(checker: Checker, function: str, outcome: str, reason: str) -> None:
    # The line in the reason is the last one of the function: where each of them goes wrong.
    lines = CHECKS.split("\n")
    start = next((i for i, line in enumerate(lines) if line.startswith(f"def {function}(")), 0)
    found = one(checker, function)
    assert (found.outcome, found.broken) == (outcome, outcome == "invalid")
    assert reason.replace("{}", str(start + 2)) in found.reason
    assert one(checker, "polite", "yes please").outcome == "pass"  # and the next check runs


def test_a_check_that_never_ends_is_stopped_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    with Checker(tmp_path, seconds=0.5) as checker:
        found = one(checker, "loops")
        reason = "check checks:loops took longer than 0.5 s and was stopped"
        assert found == Outcome("invalid", reason, "python-1", broken=True)
        assert one(checker, "polite", "please").outcome == "pass"


def test_one_process_serves_all_checks_of_a_run(checker: Checker) -> None:
    assert [one(checker, "counts").outcome for _ in range(2)] == ["pass", "fail"]


def test_a_closed_checker_starts_again_when_it_is_asked(checker: Checker) -> None:
    checker.close()
    assert one(checker, "polite", "please").outcome == "pass"


def test_threads_may_share_a_checker(checker: Checker) -> None:
    found: list[Outcome] = []
    threads = [threading.Thread(target=lambda: found.append(one(checker, "both"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [o.outcome for o in found] == ["pass"] * 8


def test_any_text_reaches_a_check_unchanged(tmp_path: Path) -> None:
    text = "\x00 \ud800 é 漢 \u2028\r\n" + "x" * 300_000
    (tmp_path / "checks.py").write_text(
        f"def whole(text, sample):\n    return len(text) == {len(text)} and text[2] == '\\ud800', text[:3]\n"
    )
    with Checker(tmp_path) as checker:
        found = one(checker, "whole", text)
    assert found.outcome == "pass", found.reason
    found.reason.encode()


@pytest.mark.parametrize(
    ("source", "check", "message"),
    [
        (None, "checks:f", "checks.py: there is no such file, and the check `python: checks:f` is in it"),
        ("def polite(t, s): ...", "checks:polit", "checks.py: no function `polit`; did you mean `polite`?"),
        ("", "checks:f", "checks.py: no function `f`; it has none"),
        ("x = (\n", "checks:f", "checks.py:1: not Python: '(' was never closed"),
        (
            "\nimport nowhere_at_all\ndef f(t, s): ...",
            "checks:f",
            "checks.py:2: cannot be loaded: ModuleNotFoundError(",
        ),
        ("import os\nos._exit(4)\ndef f(t, s): ...", "checks:f", "checks.py: cannot be loaded: it ended its process"),
    ],
)
def test_a_checks_file_that_cannot_run_is_an_error_before_any_call(
    tmp_path: Path, source: str | None, check: str, message: str
) -> None:
    if source is not None:
        (tmp_path / "checks.py").write_text(source)
    case = Case(id="a", checks=(Check.of("not", {"python": check}),))
    with Checker(tmp_path) as checker, pytest.raises(FileError) as caught:
        checker.ids(case, Program(program="p"))
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_checks_file_that_never_finishes_loading_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def f(t, s): ...\nwhile True: pass\n")
    with Checker(tmp_path, load_seconds=0.5) as checker, pytest.raises(FileError, match=r"longer than 0.5 s to load"):
        checker.ids(Case(id="a", checks=(Check.of("python", "checks:f"),)), Program(program="p"))


def test_judge_checks_are_refused_where_no_model_may_be_asked(tmp_path: Path) -> None:
    case = Case(id="a", checks=(Check.of("judge", {"model": "openai:m", "rubric": "polite?"}),))
    with Checker(tmp_path) as checker, pytest.raises(UsageError, match="judged by a model, and this command asks none"):
        checker.judge(case, Program(program="p"), Sample(Completion("x")))


def test_a_page_shows_what_no_judge_has_judged_as_such(tmp_path: Path) -> None:
    case = Case(id="a", checks=(Check.of("judge", {"model": "openai:m", "rubric": "polite?"}),))
    with Checker(tmp_path, judges=no_judge) as checker:
        (said,) = checker.judge(case, Program(program="p"), Sample(Completion("x")))
    assert (said.outcome, said.reason, said.broken) == ("invalid", "no judge has judged this yet", True)


def test_ids_follow_all_that_decides_an_outcome(tmp_path: Path) -> None:
    source = tmp_path / "checks.py"
    source.write_text("def f(t, s): return True\n")
    program = Program(program="p", response={"type": "object"})
    case = Case(
        id="a",
        expected="x",
        checks=[{"equals": "{expected}"}, {"schema": True}, {"name": "n", "python": "checks:f"}, {"contains": "y"}],
    )

    def ids(case: Case = case, program: Program = program) -> list[str]:
        with Checker(tmp_path) as checker:
            return checker.ids(case, program)

    before = ids()
    renamed = case.model_copy(update={"checks": tuple(Check.of(c.kind, c.value, "other") for c in case.checks[:1])})
    assert ids(renamed)[0] == before[0]
    assert ids(case.model_copy(update={"expected": "z"})) == [
        ids(Case(id="a", checks=[{"equals": "z"}]))[0],
        *before[1:],
    ]
    changed = ids(program=Program(program="p", response={"type": "array"}))
    assert [a == b for a, b in zip(before, changed, strict=True)] == [True, False, True, True]
    source.write_text("def f(t, s): return False\n")
    assert [a == b for a, b in zip(before, ids(), strict=True)] == [True, True, False, True]


def test_a_mended_checks_file_is_read_again_by_the_next_checker_and_has_another_id(tmp_path: Path) -> None:
    source, case = tmp_path / "checks.py", Case(id="a", checks=(Check.of("python", "checks:f"),))
    said, ids = [], []
    for body in ("{}['id']", "True"):
        source.write_text(f"def f(t, s): return {body}\n")
        with Checker(tmp_path) as checker:
            said += checker.judge(case, Program(program="p"), Sample(Completion("x")))
            ids += checker.ids(case, Program(program="p"))
    assert [(o.outcome, o.broken) for o in said] == [("invalid", True), ("pass", False)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("command", "outcome", "broken"),
    [("echo pass", "pass", False), ("echo unsure", "invalid", False), ("echo maybe", "invalid", True),
     ("false", "invalid", True)],
)  # fmt: skip
def test_a_persons_doubt_is_their_verdict_and_a_failed_command_is_broken(
    tmp_path: Path, command: str, outcome: str, broken: bool
) -> None:
    case = Case(id="a", checks=(Check.of("person", True),))
    with Checker(tmp_path, person=by_command(command)) as checker:
        (found,) = checker.judge(case, Program(program="p"), Sample(Completion("x")))
    assert (found.outcome, found.broken) == (outcome, broken)


def test_a_stored_request_brings_its_own_response_schema() -> None:
    raw = '{"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}}'
    assert surroundings_of(Case(id="a"), Program(program="p", raw=raw)).response == {"type": "object"}
    assert surroundings_of(Case(id="a"), Program(program="p", raw="{}")).response is None
