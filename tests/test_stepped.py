"""A program with steps is measured with them: every call counted, nothing that was paid for lost, nothing mixed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reroll.case import Case
from reroll.checking import Checker
from reroll.cli import main
from reroll.errors import ModelError, UsageError
from reroll.gate import gate_of
from reroll.models.conformance import check_model
from reroll.models.model import Capabilities, Draw, Model
from reroll.models.registry import open_model
from reroll.models.shared import SharedModel, stored_first
from reroll.models.stepped import SteppedModel, around, calls_at_most, is_cut
from reroll.program import Program, Request
from reroll.project import Project
from reroll.purse import Purse
from reroll.runner import draw_more
from reroll.sample import Attempt, Completion, Sample, Usage
from reroll.session import Options, Session, Spent, slots
from reroll.step_record import taken
from reroll.steps import FREE
from reroll.store import Store
from tests.background import by_number, in_background, in_turn, write_project
from tests.fake_server import answer, error

YES = [{"contains": "yes"}]
RETRY = {"step": "retry", "checks": YES, "times": 2}
CASE = Case.model_validate({"id": "greet", "input": {"request": "Say yes"}, "checks": YES})


class Saying:
    """A model that says its texts in turn, a cent a call; None: an error."""

    concurrency = 4
    priced = True

    def __init__(self, *texts: str | None, name: str = "saying", usd: float | None = 0.01) -> None:
        self.name = self.identity = name
        self.texts, self.usd = texts, usd
        self.draws: list[Draw] = []
        self.wait: asyncio.Event | None = None  # for all calls but the first, which is told by `second`
        self.second = asyncio.Event()

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        number = len(self.draws)
        self.draws.append(draw)
        if self.wait is not None and number:
            self.second.set()
            await self.wait.wait()
        await asyncio.sleep(0)
        text = self.texts[number % len(self.texts)]
        tries = (Attempt(1.0 + number, 0.5, 200),)
        if text is None:
            return Sample(error="http 500", attempts=tries)
        usage = Usage(9, 3, self.usd, 0)
        return Sample(Completion(text), attempts=tries, usage=usage, seed=draw.seed, raw=json.dumps({"n": number}))


def program(*steps: dict[str, Any], **more: Any) -> Program:
    return Program(program="greeting", model="saying", steps=steps, **more)


def asked(index: int = 0, seed: int | None = None, text: str = "Say yes") -> Draw:
    return Draw(Request("saying", None, {"messages": [{"role": "user", "content": text}]}), "greet", index, seed)


def drawn(
    folder: Path, inner: Model, steps: Sequence[dict[str, Any]], *draws: Draw, seconds: float = 5.0
) -> list[Sample]:
    """What comes back from this model with these steps around it, one draw after the other."""

    async def work() -> list[Sample]:
        with Checker(folder, seconds=seconds) as checker:
            model = around(inner, program(*steps), checker)
            return [await model.draw(one) for one in draws or (asked(),)]

    return asyncio.run(work())


def text_of(sample: Sample) -> str:
    assert sample.completion is not None, sample.error
    return sample.completion.text


# -- the model ---------------------------------------------------------------------------------------------------------


def test_a_program_without_steps_has_its_model_alone(tmp_path: Path) -> None:
    inner = Saying("yes")
    with Checker(tmp_path) as checker:
        assert around(inner, program(), checker) is inner
    assert calls_at_most(inner) == 1


def test_the_identity_tells_steps_from_none_and_from_others(tmp_path: Path) -> None:
    inner = Saying("yes")
    (tmp_path / "patches.py").write_text("def mend(text):\n    return text\n")
    python = {"step": "python", "function": "patches:mend"}

    def identity(*steps: dict[str, Any], **more: Any) -> str:
        with Checker(tmp_path) as checker:
            return around(inner, program(*steps, **more), checker).identity

    found = [identity(RETRY), identity({**RETRY, "times": 3}), identity(python), identity({"step": "vote", "n": 3})]
    assert all(one.startswith("saying#steps:") for one in found)
    assert len(set(found)) == 4
    assert identity(RETRY) == found[0] == identity({"times": 2, "checks": YES, "step": "retry"})
    (tmp_path / "patches.py").write_text("def mend(text):\n    return text + '!'\n")
    assert identity(python) != found[2]


def test_all_calls_of_a_draw_are_counted_and_kept(tmp_path: Path) -> None:
    inner = Saying("no", "nope", "yes")
    (sample,) = drawn(tmp_path, inner, [RETRY], asked(seed=640))
    assert text_of(sample) == "yes"
    assert (sample.calls, sample.usage) == (3, Usage(27, 9, 0.03, 0))
    assert [a.started for a in sample.attempts] == [1.0, 2.0, 3.0]
    assert [(d.index, d.again, d.seed) for d in inner.draws] == [(0, 0, 640), (0, 1, 641), (0, 2, 642)]
    took = taken(sample)
    assert took is not None
    assert [text_of(one) for one in took.drawn] == ["no", "nope", "yes"]
    assert [one.raw for one in took.drawn] == ['{"n": 0}', '{"n": 1}', '{"n": 2}']
    assert (took.calls, took.fired, took.stopped, took.cut) == (3, (0,), False, False)


def test_what_a_guard_withheld_is_kept(tmp_path: Path) -> None:
    (sample,) = drawn(tmp_path, Saying("a secret"), [{"step": "block", "when": {"completion": "secret"}, "says": "No"}])
    took = taken(sample)
    assert took is not None
    assert (text_of(sample), took.stopped, took.withheld, took.fired) == ("No", True, "a secret", (0,))


def test_an_answer_without_a_call_is_free_and_known_to_be(tmp_path: Path) -> None:
    inner = Saying("no")
    (sample,) = drawn(tmp_path, inner, [{"step": "answer", "when": {"input": "yes"}, "text": "yes"}])
    assert (text_of(sample), sample.calls, sample.usage, sample.attempts) == ("yes", 0, FREE, ())
    assert inner.draws == []


def test_an_error_in_the_middle_is_the_draw_s_and_keeps_what_came_before(tmp_path: Path) -> None:
    (sample,) = drawn(tmp_path, Saying("no", None), [RETRY])
    assert (sample.completion, sample.error, sample.calls) == (None, "http 500", 2)
    assert sample.usage == Usage(9, 3, 0.01, 0)
    took = taken(sample)
    assert took is not None
    assert text_of(took.drawn[0]) == "no"


def test_a_price_that_one_call_does_not_tell_is_not_known(tmp_path: Path) -> None:
    (sample,) = drawn(tmp_path, Saying("no", "yes", usd=None), [RETRY])
    assert sample.usage == Usage(18, 6, None, 0)


PATCHES = """
def mend(text):
    return text.strip().lower()

def knows(text, about):
    return f"{text} to {about['input']} on {about['on']}"

def raises(text):
    return {}[text]

def loops(text):
    while True:
        pass

def nothing(text):
    return None

def leaves(text):
    import os
    os._exit(3)

def endless(text):
    return text * 10**6
"""


@pytest.mark.parametrize(
    ("function", "text", "words"),
    [
        ("mend", "yes", ""),
        ("knows", " YES  to Say yes on completion", ""),
        ("raises", "", "patch patches:raises crashed: KeyError(' YES ') at patches.py:9"),
        ("loops", "", "patch patches:loops took longer than 0.5 s and was stopped"),
        ("nothing", "", "patch patches:nothing returned None; it must return the new text"),
        ("leaves", "", "patch patches:leaves ended its process (exit code 3)"),
        ("endless", "", "patch patches:endless returned a text of 5,000,000 characters"),
    ],
)
def test_a_patch_in_python_ends_in_a_text_or_in_an_error(tmp_path: Path, function: str, text: str, words: str) -> None:
    (tmp_path / "patches.py").write_text(PATCHES)
    step = {"step": "python", "function": f"patches:{function}"}
    first, second = drawn(tmp_path, Saying(" YES "), [step], asked(0), asked(1), seconds=0.5)
    for sample in (first, second):  # the next draw has a child again
        assert words in (sample.error or "")
        assert bool(sample.error) == bool(words)
        assert not text or text_of(sample) == text
        assert sample.calls == 1


def test_a_patch_that_takes_too_long_three_times_in_a_row_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "patches.py").write_text(PATCHES)
    step = {"step": "python", "function": "patches:loops"}
    words = r"patch patches:loops took longer than 0\.1 s 3 times in a row; mend it"
    said = Saying("yes")
    with pytest.raises(UsageError, match=words):
        drawn(tmp_path, said, [step], *(asked(k) for k in range(4)), seconds=0.1)
    assert len(said.draws) == 3, "no further call is paid for"
    seldom = "def mend(text):\n    while text == 'no': pass\n    return text\n"
    (tmp_path / "patches.py").write_text(seldom)
    step = {"step": "python", "function": "patches:mend"}
    said = Saying("no", "no", "yes", "no", "no")
    found = drawn(tmp_path, said, [step], *(asked(k) for k in range(5)), seconds=0.1)
    assert [bool(sample.error) for sample in found] == [True, True, False, True, True]


def test_a_missing_patch_is_said_before_anything_is_called(tmp_path: Path) -> None:
    (tmp_path / "patches.py").write_text(PATCHES)
    with pytest.raises(UsageError, match=r"no function `mand`; did you mean `mend`\?"):
        drawn(tmp_path, Saying("yes"), [{"step": "python", "function": "patches:mand"}])


def test_checks_in_steps_run_as_those_of_cases_do(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def polite(text, sample):\n    return 'please' in text\n")
    (sample,) = drawn(
        tmp_path, Saying("no", "yes, please"), [{"step": "retry", "checks": [{"python": "checks:polite"}]}]
    )
    assert text_of(sample) == "yes, please"
    schema = {"type": "object", "required": ["a"]}
    with Checker(tmp_path) as checker:
        told = program({"step": "retry", "checks": [{"schema": True}]}, response=schema)
        model = around(Saying("{}", '{"a": 1}'), told, checker)
        assert text_of(asyncio.run(model.draw(asked()))) == '{"a": 1}'


def test_wrong_steps_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="program `greeting`: step 2: `step` is missing"):
        drawn(tmp_path, Saying("yes"), [RETRY, {}])


def test_a_recording_never_hands_out_a_row_twice(tmp_path: Path) -> None:
    rows = [{"case_id": "greet", "run": i, "completion": text} for i, text in enumerate(["no", "yes", "no", "no"])]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = open_model("recorded:r.jsonl", project=tmp_path)
    retry = {**RETRY, "times": 1}
    first, second = drawn(tmp_path, model, [retry], asked(0), asked(1))
    assert (text_of(first), first.calls) == ("yes", 2)
    assert (text_of(second), second.calls) == ("no", 2)
    with pytest.raises(ModelError, match="only 4 recorded"):
        drawn(tmp_path, model, [retry], asked(2))


def test_all_models_of_one_server_share_its_gate(tmp_path: Path) -> None:
    inner = Saying("yes")
    with Checker(tmp_path) as checker:
        model = around(SharedModel(inner, lambda draw: None), program(RETRY), checker)
        assert gate_of(model) is gate_of(inner)


def test_it_keeps_the_contract_of_a_model(tmp_path: Path) -> None:
    told = Program(program="p", model="bundled", params={"max_tokens": 8}, steps=(RETRY,))
    with Checker(tmp_path) as checker:
        model = around(open_model("bundled"), told, checker)
        asyncio.run(check_model(model, Draw(told.render({"request": "Hi"}), "greet", 0, seed=64)))


# -- shared completions ------------------------------------------------------------------------------------------------


def pair(
    folder: Path, inner: Model, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> tuple[Sample, Sample]:
    """A baseline's draw, and the same draw with other steps that shares what it got."""
    (one,) = drawn(folder, inner, before)
    shared = SharedModel(inner, stored_first({("greet", 0): (asked().request, one)}))
    (other,) = drawn(folder, shared, after)
    return one, other


def test_a_step_that_draws_nothing_costs_nothing_where_the_completion_is_shared(tmp_path: Path) -> None:
    inner = Saying("YES")
    one, other = pair(tmp_path, inner, [], [{"step": "rewrite", "replace": [["YES", "yes"]]}])
    assert (text_of(one), text_of(other)) == ("YES", "yes")
    assert (other.calls, other.usage, other.attempts) == (0, FREE, ())
    assert len(inner.draws) == 1


def test_only_further_calls_are_made_and_counted(tmp_path: Path) -> None:
    inner = Saying("no", "yes")
    _, other = pair(tmp_path, inner, [], [RETRY])
    assert (text_of(other), other.calls, other.usage.usd) == ("yes", 1, 0.01)
    assert len(inner.draws) == 2


def test_a_changed_request_is_not_answered_by_what_another_one_got(tmp_path: Path) -> None:
    inner = Saying("no", "yes")
    _, other = pair(tmp_path, inner, [], [{"step": "rewrite", "on": "input", "text": "Please"}])
    assert (text_of(other), other.calls) == ("yes", 1)


def test_a_baseline_with_steps_shares_all_its_calls(tmp_path: Path) -> None:
    inner = Saying("no", "yes", "never")
    block = {"step": "block", "when": {"completion": "yes"}, "says": "stop"}
    one, other = pair(tmp_path, inner, [RETRY], [RETRY, block])
    assert (text_of(one), text_of(other)) == ("yes", "stop")
    assert (one.calls, other.calls, len(inner.draws)) == (2, 0, 2)
    inner = Saying("no", "yes", "fresh")
    _, other = pair(tmp_path, inner, [RETRY], [RETRY, {"step": "best", "n": 2, "checks": [{"contains": "fresh"}]}])
    assert (text_of(other), other.calls) == ("yes", 3)  # the second draft: fresh, no, yes


# -- sessions ----------------------------------------------------------------------------------------------------------


def session(
    folder: Path, store: Store, checker: Checker, inner: Model, *steps: dict[str, Any], **options: Any
) -> Session:
    made = program(*steps)
    project = Project(folder, made, (CASE,), (), ())
    store.put_program(made)
    cap = options.get("max_usd")
    model = around(inner, made, checker)
    purse = None if cap is None else Purse(store, cap, most_calls=calls_at_most(model))
    return Session(project, store, model, checker, Options(**options), spent=Spent(purse=purse))


def run_here(folder: Path, work: Callable[[Store, Checker], Any]) -> Any:
    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        return work(store, checker)


def test_costs_count_calls_and_budgets_count_draws(tmp_path: Path) -> None:
    def work(store: Store, checker: Checker) -> None:
        one = session(tmp_path, store, checker, Saying("no", "yes"), RETRY, concurrency=1)
        one.runs(CASE)  # the checks are known before the first draw
        asyncio.run(draw_more(one, [slots(one, CASE)], 5))
        cost = one.spent.cost()
        assert (cost.calls, cost.samples, cost.attempts) == (10, 5, 10)
        assert cost.usd == pytest.approx(0.10)
        runs = one.runs(CASE)
        assert runs.words() == ["pass"] * 5
        kept = store.samples(payload=True)
        assert [took.calls for s in kept if (took := taken(s.sample))] == [2] * 5
        assert [s.sample.usage.usd for s in kept] == [0.02] * 5

    run_here(tmp_path, work)


def test_what_was_measured_without_steps_stays_apart_and_stays(tmp_path: Path) -> None:
    def work(store: Store, checker: Checker) -> None:
        inner = Saying("no")
        bare, with_steps = session(tmp_path, store, checker, inner), session(tmp_path, store, checker, inner, RETRY)
        assert len(bare.runs(CASE)) == len(with_steps.runs(CASE)) == 0
        asyncio.run(draw_more(bare, [slots(bare, CASE)], 2))
        asyncio.run(draw_more(with_steps, [slots(with_steps, CASE)], 3))
        assert (len(bare.runs(CASE)), len(with_steps.runs(CASE))) == (2, 3)
        assert slots(bare, CASE).request_id == bare.project.program.render(CASE.input).id("saying")

    run_here(tmp_path, work)


def test_a_cap_on_money_holds_for_the_most_that_a_draw_may_take(tmp_path: Path) -> None:
    def work(store: Store, checker: Checker) -> None:
        one = session(tmp_path, store, checker, Saying("no"), RETRY, max_usd=0.10, concurrency=1)
        asyncio.run(draw_more(one, [slots(one, CASE)], 50))
        assert one.spent.usd == pytest.approx(0.09)  # 3 draws of 3 calls; a fourth could take more than is left

    run_here(tmp_path, work)


def test_a_draw_that_is_stopped_between_its_calls_is_kept_and_not_counted(tmp_path: Path) -> None:
    def work(store: Store, checker: Checker) -> None:
        inner = Saying("no", "yes")
        one = session(tmp_path, store, checker, inner, RETRY, concurrency=1)

        async def stopped() -> None:
            inner.wait = asyncio.Event()
            going = asyncio.ensure_future(draw_more(one, [slots(one, CASE)], 3))
            await inner.second.wait()
            one.stopped = True
            for drawing in one.drawing:
                drawing.cancel()
            await going

        asyncio.run(stopped())
        (kept,) = store.samples(payload=True)
        assert is_cut(kept.sample)
        assert kept.sample.error == "stopped in the middle, after 1 call"
        assert (kept.source, kept.sample.usage.usd, one.spent.calls) == ("cut", 0.01, 1)
        assert len(one.runs(CASE)) == 0
        # The same command goes on from there.
        inner.wait, one.stopped = None, False
        asyncio.run(draw_more(one, [slots(one, CASE)], 2))
        assert one.runs(CASE).words() == ["pass", "pass"]

    run_here(tmp_path, work)


# -- commands ----------------------------------------------------------------------------------------------------------

STEPS = "steps:\n  - {step: retry, checks: [{contains: 'yes'}], times: 1}\n"


@pytest.fixture
def told(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    def run(*words: str) -> tuple[int, Any]:
        code = main([*words, "--json", "--yes"])
        out = capsys.readouterr()
        return code, json.loads(out.out) if out.out else out.err

    return run


def test_rerun_measures_the_whole_program(tmp_path: Path, told: Any) -> None:
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path, url, program="reference_rate: 0.02\n" + STEPS)
        words = ("rerun", "greet", "--project", str(project), "--budget", "12", "--concurrency", "1")
        _, found = told(*words)
        assert (found["rate"]["failures"], found["rate"]["n"]) == (0, 12)
        assert found["cost"]["calls"] == server.calls == 2 * found["cost"]["samples"]
        assert "#steps:" in found["model"]
        before = server.calls
        _, again = told(*words)  # goes on from there: undecided so far
        assert (again["rate"]["n"], again["cost"]["calls"], server.calls) == (24, 24, before + 24)


def test_a_key_that_is_refused_in_the_middle_loses_nothing(tmp_path: Path, told: Any) -> None:
    acts = by_number(lambda n: answer("no") if n == 1 else error(401))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url, program=STEPS)
        code, _ = told("rerun", "greet", "--project", str(project), "--budget", "4", "--concurrency", "1")
    assert code != 0
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        kept = store.samples(payload=True)
    took = taken(kept[0].sample)
    assert took is not None
    assert text_of(took.drawn[0]) == "no"
    assert kept[0].source == "cut"


def test_compare_tells_steps_from_none(tmp_path: Path, told: Any) -> None:
    with in_background(in_turn("no")) as (_, url):
        write_project(tmp_path / "a", url, program="")
        write_project(tmp_path / "b", url, program="steps:\n  - {step: rewrite, text: 'yes'}\n")
        _, found = told(
            "compare", "baseline", str(tmp_path / "b" / "program.yaml"), "--project", str(tmp_path / "a"), "--case",
            "greet", "--budget", "40",
        )  # fmt: skip
    rates = [one["rate"]["estimate"] for one in found["variants"]]
    assert rates == [1.0, 0.0]


def test_show_has_the_final_answer(tmp_path: Path, capsys: Any, told: Any) -> None:
    with in_background(in_turn("no", "yes")) as (_, url):
        project = write_project(tmp_path, url, program=STEPS)
        told("rerun", "greet", "--project", str(project), "--budget", "2")
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        (first, *_) = store.samples()
    assert main(["show", first.id, "--project", str(project)]) == 0
    assert "yes" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["tokens", "turns"])
def test_forks_looks_at_no_tokens_through_steps(tmp_path: Path, by: str, capsys: Any) -> None:
    with in_background(in_turn("no")) as (_, url):
        project = write_project(tmp_path, url, program=STEPS)
        main(["rerun", "greet", "--project", str(project), "--budget", "2", "--json", "--yes"])
        with Store.open(project / ".reroll" / "store.sqlite") as store:
            (first, *_) = store.samples()
        capsys.readouterr()
        assert main(["forks", first.id, "--by", by, "--yes", "--project", str(project)]) == 2
        assert "[steps]" in capsys.readouterr().err


def test_futures_of_a_program_with_steps_are_the_model_s_alone_and_say_so(tmp_path: Path, told: Any) -> None:
    (tmp_path / "program.yaml").write_text(
        "program: p\nmodel: bundled\nparams: {max_tokens: 2}\nsteps:\n  - {step: rewrite, text: 'never'}\n"
    )
    (tmp_path / "cases.yaml").write_text('cases:\n  - {id: a, input: {request: "Hi"}, checks: [{contains: "a"}]}\n')
    _, found = told("futures", "a", "--project", str(tmp_path), "--budget", "30", "--draws", "0", "--width", "0.9")
    assert found["caveats"][0].startswith("the program's steps are left out here")
    assert all(one["text"] != "never" for one in found["completions"])


def test_the_bundled_model_through_every_kind_of_step(tmp_path: Path) -> None:
    (tmp_path / "patches.py").write_text(PATCHES)
    steps = [
        {"step": "rewrite", "on": "input", "replace": [["Hi", "Lunch with Ana"]]},
        {"step": "block", "on": "input", "when": {"input": "zzz"}},
        {"step": "answer", "when": {"input": "yyy"}, "text": "no"},
        {"step": "rewrite", "strip_fences": True},
        {"step": "best", "n": 2, "checks": [{"matches": "[{]"}]},
        {"step": "vote", "n": 3},
        {"step": "retry", "checks": [{"matches": "."}], "times": 2},
        {"step": "python", "function": "patches:mend"},
        {"step": "block", "when": {"completion": "zzz"}},
    ]

    async def work() -> list[Sample]:
        inner = open_model("bundled")
        with Checker(tmp_path) as checker:
            told = Program(program="p", model="bundled", params={"max_tokens": 12}, steps=steps)
            model = around(inner, told, checker)
            try:
                request = told.render({"request": "Hi"})
                return [await model.draw(Draw(request, "a", i, seed=64 * i)) for i in range(2)]
            finally:
                await model.close()

    for sample in asyncio.run(work()):
        assert sample.error is None
        assert isinstance(sample.completion, Completion)
        assert sample.completion.text == sample.completion.text.strip().lower()
        assert 3 <= sample.calls <= 18
        assert sample.usage.usd == 0.0
        took = taken(sample)
        assert took is not None
        assert took.calls == sample.calls


def test_a_stepped_model_says_what_it_is(tmp_path: Path) -> None:
    with Checker(tmp_path) as checker:
        model = around(Saying("yes"), program(RETRY), checker)
    assert isinstance(model, SteppedModel)
    assert repr(model) == f"<{model.identity}>"
    assert (model.name, model.priced, model.concurrency, model.most_calls) == ("saying", True, 4, 3)
