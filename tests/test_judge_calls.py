"""A model as a check: asked over its real wire, once for each question; stored, counted, capped, and never guessed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.judge_calls import JudgeCalls
from reroll.program import Program
from reroll.sample import Completion, Sample
from reroll.session import Spent
from reroll.store import Store
from tests.background import by_number, in_background, in_turn, reroll, write_project
from tests.fake_server import Act, FakeServer, answer, body, completion, error

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
        assert ran.json["stopped"].startswith("the judge openai:judge stopped answering: 8 calls in a row")
        drawn = product.calls
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        assert len(store.samples(source="draw")) == drawn


def test_the_cap_on_money_holds_for_judges_and_the_same_command_goes_on(tmp_path: Path, capsys: Any) -> None:
    def priced(text: str) -> dict[str, Any]:
        found = completion(text)
        found["usage"]["cost"] = 0.01
        return found

    verdict = json.dumps({"reason": "Fine.", "verdict": "pass"})
    with in_background(body(priced(verdict))) as (judge, at):
        with Store.open(tmp_path / "s.sqlite") as store, asking(store, tmp_path, at) as (calls, checker, case, program):
            calls.spent = capped = Spent(purse=Limited(0.05))
            checker.ahead(case, program, [Sample(completion=Completion(f"yes {n}")) for n in range(20)])
            judge_one = checker.judging(case, program)
            words = [judge_one(Sample(completion=Completion(f"yes {n}")))[0] for n in range(20)]
        assert judge.calls == capped.judge_calls == 5
    assert [one.outcome for one in words].count("pass") == 5
    left = [one for one in words if one.outcome == "invalid"]
    assert {one.reason for one in left} == {"the judge was not asked: the spending cap was reached"}
    assert all(one.broken for one in left)


class Limited:
    """A purse of five calls."""

    def __init__(self, cap: float) -> None:
        self.left = round(cap / 0.01)

    def add(self, usd: float | None, unknown: bool, calls: int = 1) -> None:
        self.left -= calls

    def shut(self, in_flight: int = 0) -> bool:
        return self.left - in_flight <= 0


@contextlib.contextmanager
def asking(store: Store, folder: Path, url: str) -> Iterator[tuple[JudgeCalls, Checker, Case, Program]]:
    check = Check.of("judge", {"model": "openai:judge", "base_url": f"{url}/v1", "rubric": "It says yes."})
    case = Case(id="greet", input={"request": "Say yes"}, checks=(check,))
    with JudgeCalls(store, folder, tries=1) as calls, Checker(folder, judges=calls) as checker:
        yield calls, checker, case, Program(program="p")
