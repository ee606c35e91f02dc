"""Stored answers that are given out again tell nothing, and a call that hung is not as if it had not been made."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.replies import Replies, reply_name
from reroll.sample import Completion, Sample
from reroll.step_record import Taken, record
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import Act, body, completion, hang


def named(name: str, text: str = "yes") -> Act:
    return body({**completion(text), "id": name})


def unique(n: int, text: str = "yes") -> Act:
    return named(f"chatcmpl-{n:032d}", text)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


CERTIFY = ("certify", "greet", "--target", 0.9, "--json", "--quiet", "--project")


def test_one_answer_out_of_a_cache_again_and_again_is_one_run(capsys: Any, tmp_path: Path) -> None:
    with in_background(unique(1)) as (server, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, *CERTIFY, project)
        assert (ran.code, ran.json["verdict"], ran.json["rate"]["n"]) == (4, "undecided", 1)
        assert "that it had given before" in ran.json["stopped"]
        spent = server.calls
        assert spent < 30
        again = reroll(capsys, *CERTIFY, project)
    assert (again.code, again.json["rate"]["n"]) == (4, 1)
    assert server.calls - spent < 30
    assert any(f"{server.calls - 1} calls brought an answer that had come before" in c for c in again.json["caveats"])


def test_copies_among_fresh_answers_are_not_counted(capsys: Any, tmp_path: Path) -> None:
    with in_background(by_number(lambda n: unique(n - (n % 3 == 0)))) as (server, url):
        ran = reroll(capsys, *CERTIFY, write_project(tmp_path, url)).json
    assert (ran["verdict"], ran["rate"]["n"]) == ("met", 34)
    assert server.calls > 45


def test_two_variants_whose_answers_are_stored_are_not_compared(capsys: Any, tmp_path: Path) -> None:
    with in_background(by_number(lambda n: unique(n % 2, "yes" if n % 2 else "no"))) as (_, url):
        project = write_project(tmp_path, url)
        told = ("compare", "system.role=", "--case", "greet", "--yes", "--json", "--quiet", "--concurrency", 2)
        ran = reroll(capsys, *told, "--project", project)
    assert (ran.code, ran.json["pairs"][0]["verdict"]) == (4, "undecided")


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda n: named("x"), "no name that comes once"),
        (lambda n: named(f"chatcmpl-{n % 5}"), "a server with few names"),
        (lambda n: body({**completion("yes"), "id": "made-by-a-proxy-0001", "created": n}), "made at another time"),
        (lambda n: named("made-by-a-proxy-0001", f"yes {n}"), "it says something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_equal_names_alone_make_no_copy(act: Any, why: str, capsys: Any, tmp_path: Path) -> None:
    with in_background(by_number(act)) as (_, url):
        ran = reroll(capsys, *CERTIFY, write_project(tmp_path, url)).json
    assert (ran["verdict"], ran["rate"]["n"]) == ("met", 34), why


def test_an_id_that_the_answer_quotes_is_no_name_of_it() -> None:
    quoted = Sample(Completion("x"), raw=r'{"choices": [{"message": {"content": "{\"id\": \"0123456789abcdef\"}"}}]}')
    assert reply_name(quoted) is None
    replies = Replies()
    assert [replies.learn(quoted) for _ in range(2)] == [False, False]


def test_a_completion_that_was_shared_on_purpose_is_no_copy() -> None:
    made = Sample(Completion("x"), raw='{"id": "0123456789abcdef"}')
    shared = Sample(Completion("x"), raw='{"id": "0123456789abcdef"}', calls=0)
    replies = Replies()
    drawn = [Sample(Completion("x"), raw=record(Taken(calls))) for calls in ((made,), (shared,), (made,))]
    assert [replies.learn(one) for one in drawn] == [False, False, True]


def test_where_what_fails_hangs_stopping_and_going_on_never_shows_it_met(capsys: Any, tmp_path: Path) -> None:
    with in_background(by_number(lambda n: hang() if n % 6 == 5 else unique(n))) as (_, url):
        project = write_project(tmp_path, url)
        ran = [reroll(capsys, *CERTIFY, project, "--max-seconds", 0.6).json for _ in range(2)][-1]
    assert ran["verdict"] == "undecided"
    assert ran["rate"]["invalid"] >= 2
    assert ran["rate"]["n"] - ran["rate"]["invalid"] >= 7


def test_calls_that_wait_in_a_slow_servers_queue_did_not_hang(capsys: Any, tmp_path: Path) -> None:
    """Of 24 calls sent at once it serves nine, in whatever order it took them in, and after that nobody."""
    quick, crowd = 40, 24
    count = itertools.count()
    waiting: list[int] = []
    all_here: list[asyncio.Event] = []

    async def overloaded(request: web.Request) -> web.StreamResponse:
        n = next(count)
        if n >= quick:
            if not all_here:
                all_here.append(asyncio.Event())
            waiting.append(n)
            if len(waiting) == crowd:
                all_here[0].set()
            with contextlib.suppress(TimeoutError):  # so many are not under way yet: go on
                await asyncio.wait_for(all_here[0].wait(), 0.2)
            served = sorted(waiting)[2:crowd:3] + waiting[:1] if len(waiting) >= crowd else [n]
            if n not in served:
                await asyncio.Event().wait()
            if len(waiting) < crowd:
                waiting.remove(n)
        return await unique(n)(request)

    with in_background(overloaded) as (server, url):
        project = write_project(tmp_path, url)
        told = ("certify", "greet", "--target", 0.99, "--max-seconds", 3, "--concurrency", 40, "--json", "--quiet")
        ran = reroll(capsys, *told, "--project", project).json
    assert len(waiting) >= crowd
    assert ran["rate"]["invalid"] == 0
    assert server.calls > ran["rate"]["n"] >= quick + 9
    assert any("not come back" in caveat for caveat in ran["caveats"])
