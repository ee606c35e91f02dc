"""A model as a check: asked over its real wire, once for each question; stored, counted, capped, and never guessed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.auditing import judged_anew_at_most
from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.judge_calls import JudgeCalls
from reroll.models.prices import price
from reroll.program import Program
from reroll.project import load_project
from reroll.purse import Purse
from reroll.sample import Completion, Sample, Usage
from reroll.session import Spent
from reroll.store import Store
from reroll.web.actions import offer
from reroll.web.home import Home
from tests.background import by_number, in_background, in_turn, reroll, reroll_apart, write_project
from tests.fake_server import Act, FakeServer, answer, completion, error, hang

ANSWER = re.compile(r"\[([0-9a-f]{16}) answer begins\]\n(.*)\n\[\1 answer ends\]", re.DOTALL)
QUICK = ("--concurrency", 4, "--quiet")


def judging(says: Callable[[str], Any]) -> Act:
    """A judge that reads the very answer it is shown; a text is its whole reply, True and False its verdict."""

    async def act(request: web.Request) -> web.StreamResponse:
        found = ANSWER.search((await request.json())["messages"][1]["content"])
        assert found, "the answer was not quoted"
        said = says(found[2])
        if isinstance(said, bool):
            said = json.dumps(
                {"reason": f"It {'says' if said else 'does not say'} yes.", "verdict": "pass" if said else "fail"}
            )
        return await answer(said)(request)

    return act


def fair(text: str) -> bool:
    return text.startswith("yes")


def cases(url: str, more: str = "", **settings: Any) -> str:
    judge = {"model": "openai:judge", "base_url": f"{url}/v1", "rubric": "It says yes.", **settings}
    return (
        'cases:\n  - {id: greet, input: {request: "Say yes"}, '
        f"checks: [{{name: agrees, judge: {json.dumps(judge)}}}{more}]}}\n"
    )


@contextlib.contextmanager
def world(folder: Path, product: Act, judge: Act, **settings: Any) -> Iterator[tuple[Path, FakeServer, FakeServer]]:
    """A project whose answers are judged by another server: folder, product, judge."""
    more = settings.pop("more", "")
    with in_background(product) as (made, url), in_background(judge) as (judged, at):
        yield write_project(folder, url, cases=cases(at, more, **settings)), made, judged


def rerun(capsys: Any, folder: Path, *more: object) -> Any:
    return reroll(capsys, "rerun", "greet", "--project", folder, "--json", *QUICK, *more)


def numbered(start: str = "yes") -> Act:
    """Answers that are all different."""
    return by_number(lambda n: answer(f"{start} {n}"))


def test_a_judge_decides_and_every_call_of_it_is_counted_and_kept(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", by_number(lambda n: answer(f"{'yes' if n % 3 else 'no'} {n}")), judging(fair)) as (
        folder, product, judge,
    ):  # fmt: skip
        found = rerun(capsys, folder, "--budget", 30).json
        assert found["rate"]["invalid"] == 0
        assert found["verdict"] == "worse_than_reference"
        assert found["cost"]["calls"] == product.calls
        assert found["cost"]["judge_calls"] == judge.calls == product.calls
        assert found["cost"]["attempts"] == 2 * product.calls
        again = rerun(capsys, folder, "--budget", 30).json
        assert (again["cost"]["calls"], again["cost"]["judge_calls"]) == (0, 0)
        assert again["rate"] == found["rate"]
    listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
    assert len(listed) == product.calls, "the judge's replies are no runs of the case"
    assert {one["shown"]["reason"] for one in listed} == {"the judge: It says yes.", "the judge: It does not say yes."}
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        assert len(store.samples(source="judge", case_id="greet")) == judge.calls
        assert store.find_quotation("It says yes.") == []


def test_the_terminal_says_what_the_judge_took_and_that_nobody_held_it_against_a_person(
    tmp_path: Path, capsys: Any
) -> None:
    with world(tmp_path / "p", in_turn("yes 1", "no 2"), judging(fair)) as (folder, _, _):
        ran = reroll(capsys, "rerun", "greet", "--project", folder, *QUICK, "--budget", 8)
    words = " ".join(ran.out.split())
    assert "2 judge calls" in words
    assert "the word of openai:judge, which was held against no person's labels" in words
    assert "`reroll check agrees --label 40`" in words


def test_many_runs_of_few_answers_that_were_judged_once_each_are_said_to_be(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", in_turn("yes", "yes indeed"), judging(fair)) as (folder, _, _):
        few = rerun(capsys, folder, "--budget", 40).json
    assert any("brought 2 different answers, each of them judged once" in caveat for caveat in few["caveats"])
    with world(tmp_path / "q", numbered(), judging(fair)) as (folder, _, _):
        many = rerun(capsys, folder, "--budget", 40).json
    assert many["rate"]["n"] >= 20
    assert not any("judged once" in caveat for caveat in many["caveats"])


def test_equal_answers_are_judged_once_also_by_a_later_command(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", in_turn("yes", "no", "yes"), judging(fair)) as (folder, product, judge):
        rerun(capsys, folder)
        assert (product.calls >= 5, judge.calls) == (True, 2)
        drawn = product.calls
        rerun(capsys, folder, "--fresh")
        assert (product.calls >= drawn + 5, judge.calls) == (True, 2)


def test_another_rubric_is_another_check_and_judges_what_is_stored_anew(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", in_turn("yes", "no"), judging(fair)) as (folder, _, judge):
        rerun(capsys, folder, "--budget", 4)
        text = (folder / "cases.yaml").read_text()
        (folder / "cases.yaml").write_text(text.replace("It says yes.", "It clearly says yes."))
        found = rerun(capsys, folder, "--budget", 4).json
        assert judge.calls == 4
        assert any("drawn before this check existed" in caveat for caveat in found["caveats"])


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (answer("I think it is fine."), "the judge's reply is no verdict"),
        (answer(None, message={"content": None, "refusal": "I cannot judge."}), "the judge refused"),
        (answer('{"reason": "x", "verdict": "pass"}', finish_reason="length"), "cut off by max_tokens"),
        (error(400, "no response_format here"), "brought nothing back: http 400: no response_format here"),
    ],
)
def test_a_judge_that_gives_no_verdict_is_invalid_and_soon_said_so(
    act: Act, why: str, tmp_path: Path, capsys: Any
) -> None:
    with world(tmp_path / "p", numbered(), act) as (folder, product, _):
        said = rerun(capsys, folder, "--budget", 40).complaint
        assert why in said
        assert "failed to run on all" in said
        assert product.calls < 20
        listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
    assert {one["shown"]["reason"] for one in listed} == {"no judge has judged this yet"}


def test_what_could_not_be_read_is_asked_again_by_the_next_command_only(tmp_path: Path, capsys: Any) -> None:
    def says(text: str) -> Any:
        return fair(text) if number["mended"] or not text.endswith("2") else "hm"

    number = {"mended": False}
    with world(tmp_path / "p", in_turn("yes 1", "yes 2", "yes 3", "no 4"), judging(says)) as (folder, _, judge):
        found = rerun(capsys, folder, "--budget", 4).json
        assert (found["rate"]["n"], found["rate"]["invalid"]) == (4, 1)
        assert any("could not run on 1 run (the judge's reply is no verdict" in said for said in found["caveats"])
        assert judge.calls == 4
        number["mended"] = True
        found = rerun(capsys, folder, "--budget", 0).json
        assert (found["rate"]["n"], found["rate"]["invalid"]) == (4, 0)
        assert judge.calls == 5


def test_a_judge_that_goes_away_ends_the_command_and_nothing_drawn_is_lost(tmp_path: Path, capsys: Any) -> None:
    gone = by_number(lambda n: judging(fair) if n <= 6 else error(404, "gone"))
    with world(tmp_path / "p", numbered(), gone) as (folder, product, _):
        ran = rerun(capsys, folder, "--budget", 60)
        assert ran.code == 4
        assert ran.json["stopped"].startswith("the judge openai:judge stopped answering: ")
        drawn = product.calls
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        assert len(store.samples(source="draw")) == drawn


def test_the_cap_on_money_holds_for_judges_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    verdict = answer(json.dumps({"reason": "Fine.", "verdict": "pass"}))
    samples = [Sample(completion=Completion(f"yes {n}")) for n in range(20)]
    said = []
    with in_background(verdict) as (judge, at), Store.open(tmp_path / "s.sqlite") as store:
        for cap in (5, 100):  # in calls
            with asking(store, tmp_path, at, "openai:gpt-4o-mini") as (calls, checker, case, program):
                model: Any = calls.model_of(case.checks[0])
                model._provider = "openai"  # whose price list this address is not on
                each = price("gpt-4o-mini", Usage(9, 3), "openai", 4)
                assert each
                calls.spent, calls.concurrency = Spent(purse=Purse(store, cap * each)), 1
                checker.ahead(case, program, samples)
                said.append([checker.judging(case, program)(one)[0] for one in samples])
                assert calls.spent.usd == pytest.approx(calls.spent.judge_calls * each)
    assert judge.calls == 20
    assert [sum(one.outcome == "pass" for one in words) for words in said] == [5, 20]
    left = [one for one in said[0] if one.outcome == "invalid"]
    assert {one.reason for one in left} == {"the judge was not asked: the spending cap was reached"}
    assert all(one.broken for one in left)


def test_a_time_that_is_up_leaves_the_rest_for_the_same_command(tmp_path: Path) -> None:
    with (
        in_background(judging(fair)) as (judge, at),
        Store.open(tmp_path / "s.sqlite") as store,
        asking(store, tmp_path, at) as (calls, checker, case, program),
    ):
        calls.spent = Spent(ends=0.0)
        (said,) = checker.judge(case, program, Sample(completion=Completion("yes")))
    assert judge.calls == 0
    assert said.reason == "the judge was not asked: the time was up"
    assert calls.spent.cut_short


def test_runs_that_no_judge_was_asked_about_do_not_look_like_a_broken_check(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", numbered(), hang()) as (folder, _, _):
        found = rerun(capsys, folder, "--budget", 8, "--max-seconds", 0.2)
        assert found.code == 4
        assert found.json["rate"]["invalid"] == found.json["rate"]["n"] > 0
        assert found.json["stopped"].startswith("the time was up")


# -- going on ----------------------------------------------------------------------------------------------------------


def until_the(number: int, then: Act) -> tuple[Act, threading.Event]:
    """A fair judge until its so-many-th call, which is told and then treated otherwise, as all after it."""
    reached = threading.Event()

    def choose(count: int) -> Act:
        if count >= number:
            reached.set()
            return then
        return judging(fair)

    return by_number(choose), reached


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ended_while_it_judges_it_goes_on_and_asks_nothing_twice(how: int, tmp_path: Path, capsys: Any) -> None:
    act, reached = until_the(6, hang())
    with world(tmp_path / "p", numbered(), act) as (folder, product, judge):
        command = reroll_apart(
            "rerun", "greet", "--project", folder, "--concurrency", 2, "--budget", 12, "--json", "--quiet"
        )
        try:
            assert reached.wait(60)
            command.send_signal(how)
            out, _ = command.communicate(timeout=60)
        finally:
            command.kill()
        judge.acts = [judging(fair)]
        before, drawn = judge.calls, product.calls
        assert 6 <= before <= 7
        if how == signal.SIGINT:
            assert json.loads(out)["stopped"] == "stopped by you; the same command goes on from here"
        found = rerun(capsys, folder, "--budget", 12 - drawn).json
        assert found["rate"]["invalid"] == 0
        assert judge.calls == before + found["cost"]["judge_calls"]
        # Those in flight when the command was ended are asked anew, and no other.
        assert product.calls - found["cost"]["judge_calls"] in (4, 5)


def test_check_asks_again_only_about_what_a_judge_has_judged(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", in_turn("yes 1", "no 2"), judging(fair)) as (folder, _, judge):
        rerun(capsys, folder, "--budget", 6)
        listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
        label = {"sample": listed[0]["shown"]["id"], "outcome": "pass", "by": "ana"}
        (folder / "labels.jsonl").write_text(json.dumps(label) + "\n")
        text = (folder / "cases.yaml").read_text()
        (folder / "cases.yaml").write_text(text.replace("It says yes.", "It clearly says yes."))
        before = judge.calls
        ran = reroll(capsys, "check", "agrees", "--again", 6, "--project", folder, "--json")
        assert "no run of these cases has a label" in ran.complaint
        assert judge.calls == before


def test_a_judge_whose_replies_are_kept_on_the_way_is_not_said_to_agree_with_itself(
    tmp_path: Path, capsys: Any
) -> None:
    """A cache answers what was asked again: that is no second word."""
    kept: dict[bytes, bytes] = {}

    async def cached(request: web.Request) -> web.StreamResponse:
        asked = await request.read()
        if asked not in kept:
            said = completion(json.dumps({"reason": "It says so.", "verdict": "pass"}))
            kept[asked] = json.dumps({**said, "id": f"chatcmpl-{len(kept):032d}"}).encode()
        return web.Response(body=kept[asked], content_type="application/json")

    with world(tmp_path / "p", in_turn("yes 1", "yes 2"), cached) as (folder, _, judge):
        rerun(capsys, folder, "--budget", 8)
        listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
        label = {"sample": listed[0]["shown"]["id"], "outcome": "pass", "by": "ana"}
        (folder / "labels.jsonl").write_text(json.dumps(label) + "\n")
        before = judge.calls
        for _ in range(2):
            ran = reroll(capsys, "check", "agrees", "--again", 2, "--project", folder, "--json")
            assert ran.json["self_agreement"]["value"] is None, ran.json["self_agreement"]
    assert judge.calls > before


def test_ctrl_c_while_check_asks_again_keeps_what_was_in_flight(tmp_path: Path, capsys: Any) -> None:
    asked, pressed = threading.Event(), threading.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if judge.calls == 6 + 6:
            asked.set()
        await asyncio.to_thread(pressed.wait, 60)
        return await judging(fair)(request)

    with world(tmp_path / "p", numbered(), judging(fair)) as (folder, _, judge):
        rerun(capsys, folder, "--budget", 6)
        listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
        lines = [json.dumps({"sample": one["shown"]["id"], "outcome": "pass", "by": "ana"}) for one in listed[:2]]
        (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
        judge.acts = [slow]
        command = reroll_apart("check", "agrees", "--again", 6, "--project", folder)
        try:
            assert asked.wait(60)
            command.send_signal(signal.SIGINT)
            pressed.set()
            out, err = command.communicate(timeout=60)
        finally:
            command.kill()
        assert (command.returncode, out) == (4, "")
        assert err.startswith("reroll: stopped by you")
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        again = [one for one in store.samples(source="judge") if one.series != "judge"]
        assert [one.sample.completion is not None for one in again] == [True] * 6, "they were paid for"


# -- who may be the judge, and where ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["bundled", "recorded:a.jsonl", "http://127.0.0.1:9/ask"])
def test_what_cannot_judge_is_refused_before_any_call(model: str, tmp_path: Path, capsys: Any) -> None:
    with in_background(answer("yes")) as (product, url):
        judge = f"judge: {{model: '{model}', rubric: polite}}"
        cases = f"cases:\n  - {{id: greet, input: {{request: hi}}, checks: [{{{judge}}}]}}\n"
        folder = write_project(tmp_path / "p", url, cases=cases)
        assert "cannot be the judge" in rerun(capsys, folder).complaint
        assert product.calls == 0


def test_a_function_of_the_project_may_stand_for_a_judge_and_judges_anew_when_it_changes(
    tmp_path: Path, capsys: Any
) -> None:
    source = "import json\n\ndef judge(messages):\n    assert 'says yes' in messages[0]['content']\n"
    source += "    return json.dumps({'reason': 'So it is.', 'verdict': 'VERDICT'})\n"
    with in_background(answer("yes")) as (_, url):
        judge = "{model: 'python:own:judge', rubric: It says yes.}"
        cases = f"cases:\n  - {{id: greet, input: {{request: hi}}, checks: [{{judge: {judge}}}]}}\n"
        folder = write_project(tmp_path / "p", url, cases=cases)
        (folder / "own.py").write_text(source.replace("VERDICT", "pass"))
        found = rerun(capsys, folder, "--budget", 8).json
        assert (found["rate"]["failures"], found["cost"]["judge_calls"]) == (0, 1)
        (folder / "own.py").write_text(source.replace("VERDICT", "fail"))
        sys.modules.pop("own")  # as in a process of its own
        found = rerun(capsys, folder, "--budget", 8).json
        assert found["rate"]["failures"] == found["rate"]["n"] > 0
        assert found["cost"]["judge_calls"] == 1


def test_a_judge_that_judges_its_own_answers_is_named(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", numbered(), judging(fair), model="openai:tiny") as (folder, _, _):
        found = rerun(capsys, folder, "--budget", 4).json
    assert any(caveat.startswith("openai:tiny judges its own answers") for caveat in found["caveats"])


def test_each_check_has_its_own_outcomes_beside_the_judges(tmp_path: Path, capsys: Any) -> None:
    more = ", {name: short, matches: '^.{1,6}$'}"
    with world(tmp_path / "p", in_turn("yes", "yes indeed", "no"), judging(fair), more=more) as (folder, _, judge):
        reroll(capsys, "certify", "greet", "--target", 0.9, "--project", folder, "--json", *QUICK, "--budget", 9)
        assert judge.calls == 3, "asked also about answers that another check fails"
        answers = [one["shown"] for one in reroll(capsys, "samples", "--project", folder, "--json").json["samples"]]
        assert {one["text"]: one["outcome"] for one in answers} == {"yes": "pass", "yes indeed": "fail", "no": "fail"}


def test_the_price_is_said_with_the_judges_calls(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", numbered(), judging(fair)) as (folder, product, judge):
        said = reroll(capsys, "rerun", "greet", "--project", folder, "--budget", 50, agree=False).complaint
        assert "up to 50 calls" in said
        assert "price unknown with 50 calls of the judge" in said
        assert product.calls == judge.calls == 0


def test_the_price_counts_the_stored_runs_that_another_rubric_judges_anew(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", numbered(), judging(fair)) as (folder, _, judge):
        drawn = rerun(capsys, folder, "--budget", 12).json["rate"]["n"]
        before = judge.calls
        text = (folder / "cases.yaml").read_text()
        (folder / "cases.yaml").write_text(text.replace("It says yes.", "It clearly says yes."))
        price = reroll(capsys, "rerun", "greet", "--project", folder, "--budget", 5, agree=False).complaint
        assert f"with {5 + drawn} calls of the judge ({drawn} of them about runs that are stored)" in price
        assert judge.calls == before
        found = rerun(capsys, folder, "--budget", 5).json
        assert found["cost"]["judge_calls"] == judge.calls - before == drawn + found["cost"]["calls"]
        price = reroll(capsys, "rerun", "greet", "--project", folder, "--budget", 5, agree=False).complaint
        assert "with 5 calls of the judge;" in price


@pytest.mark.parametrize(("command", "anew"), [("audit", 3 * 33), ("cause", 5 * 8), ("investigate", 5 * 8)])
def test_the_price_counts_what_is_judged_anew(command: str, anew: int, tmp_path: Path, capsys: Any) -> None:
    words: dict[str, tuple[object, ...]] = {
        "audit": ("audit", "greet"),
        "cause": ("cause", "greet"),
        "investigate": ("investigate", "--case", "greet", "--cause"),
    }
    with world(tmp_path / "p", numbered(), judging(fair)) as (folder, product, judge):
        said = reroll(capsys, *words[command], "--project", folder, "--budget", 50, agree=False).complaint
        price = f"{50 + anew} calls of the judge ({anew} of them about the same answers again)"
        assert f"price unknown with {price}" in said
        assert product.calls == judge.calls == 0
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            shown = offer(
                Home(folder, store, None), load_project(folder), command, budget=50, case="greet", cause="yes"
            )
        assert f"up to 50 calls and {50 + anew} of the judge" in shown.price


# -- a judge under suspicion -------------------------------------------------------------------------------------------


def flaky(request_number: int) -> Act:
    """Passes and fails the same answer in turn."""
    return judging(lambda text: request_number % 2 == 0)


def test_an_audit_asks_the_judge_anew_and_names_it_where_it_contradicts_itself(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", numbered(), by_number(flaky)) as (folder, _, judge):
        found = reroll(
            capsys, "audit", "greet", "--project", folder, "--arms", "PJ", "--json", "--yes", "--quiet", "--seed", 4
        ).json
        assert found["verdict"] == "checker"
        drawn = next(arm["n"] for arm in found["arms"] if arm["id"] == "P")
        assert found["cost"]["judge_calls"] == judge.calls >= 2 * drawn
        assert judge.calls <= 300 + judged_anew_at_most(300), "more than the price said"
        before = judge.calls
        again = reroll(
            capsys, "audit", "greet", "--project", folder, "--arms", "PJ", "--json", "--yes", "--quiet", "--seed", 4
        ).json
        assert again["verdict"] == "checker"
        more = next(arm["n"] for arm in again["arms"] if arm["id"] == "P") - drawn
        assert judge.calls - before == 4 * more, "what was asked anew is stored like all else"


def test_check_asks_the_judge_again_when_told_so(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", in_turn("yes 1", "no 2"), judging(fair)) as (folder, _, judge):
        rerun(capsys, folder, "--budget", 6)
        listed = reroll(capsys, "samples", "--project", folder, "--json").json["samples"]
        lines = [json.dumps({"sample": one["shown"]["id"], "outcome": "pass", "by": "ana"}) for one in listed[:2]]
        (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
        assert judge.calls == 2
        plain = reroll(capsys, "check", "agrees", "--project", folder, "--json").json
        assert judge.calls == 2
        asked = reroll(capsys, "check", "agrees", "--again", 6, "--project", folder, "--json")
        assert asked.json["self_agreement"]["value"] == 1.0
        assert "The judge was asked 2 times again." in asked.err
        assert judge.calls == 4
        assert plain["labels"] == 2
        found = rerun(capsys, folder, "--budget", 6).json
        assert not any("no person's labels" in caveat for caveat in found["caveats"])


@contextlib.contextmanager
def asking(
    store: Store, folder: Path, url: str, model: str = "openai:judge"
) -> Iterator[tuple[JudgeCalls, Checker, Case, Program]]:
    check = Check.of("judge", {"model": model, "base_url": f"{url}/v1", "rubric": "It says yes."})
    case = Case(id="greet", input={"request": "Say yes"}, checks=(check,))
    with JudgeCalls(store, folder, tries=1) as calls, Checker(folder, judges=calls) as checker:
        yield calls, checker, case, Program(program="p")
