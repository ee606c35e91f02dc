"""What a webhook is told of an alarm: signed, in order, again until it has it, and never to another address."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from reroll.store import Store
from reroll.store_watch import WatchStep
from reroll.webhook import deliver

SECRET = "a secret that is long enough"


@dataclass
class Receiver:
    """A webhook that answers as told, one status after another, and 200 from then on."""

    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 302 else {})


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    made = Receiver(list(statuses))
    app = web.Application()
    app.router.add_post("/{tail:.*}", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"{site.name}/alarms"
    try:
        yield made
    finally:
        await runner.cleanup()


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with two things to say."""
    with Store.open(":memory:") as made:
        made.watch("w", {})
        posts = {"wa1:0:alarm": {"words": "Since 12:00 é"}, "wa1:0:resolved": {"words": "Over"}}
        assert made.keep_look("w", 0, 1, WatchStep({}, posts=dict(posts)))
        yield made


def deliver_to(store: Store, *statuses: int, times: int = 1) -> tuple[Receiver, list[str]]:
    async def work() -> tuple[Receiver, list[str]]:
        async with receiving(*statuses) as receiver:
            problems = []
            for _ in range(times):
                problems.append(await deliver(store, "w", receiver.url, SECRET))
                _now(store)
            return receiver, problems

    return asyncio.run(work())


def _now(store: Store) -> None:
    """What waits for its next try is due."""
    for post in store.posts_due("w"):
        store.retry_post(post.seq, -100.0, "")


def test_it_is_signed_over_its_id_its_time_and_its_body(store: Store) -> None:
    receiver, problems = deliver_to(store)
    assert problems == [""]
    headers, body = receiver.got[0]
    assert json.loads(body) == {"words": "Since 12:00 é"}
    signed = f"{headers['x-reroll-id']}.{headers['x-reroll-timestamp']}.".encode() + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-reroll-signature"] == f"v1={expected}"
    assert SECRET not in str(headers)
    assert [headers["x-reroll-id"] for headers, _ in receiver.got] == ["wa1:0:alarm", "wa1:0:resolved"]
    assert store.posts_due("w") == []


def test_what_did_not_arrive_is_sent_again_under_the_same_id_and_what_follows_waits(store: Store) -> None:
    receiver, problems = deliver_to(store, 503, 429, times=3)
    assert problems == ["the webhook answered 503", "the webhook answered 429", ""]
    ids = [headers["x-reroll-id"] for headers, _ in receiver.got]
    assert ids == ["wa1:0:alarm"] * 3 + ["wa1:0:resolved"]


def test_it_is_not_tried_again_before_its_time(store: Store) -> None:
    async def work() -> int:
        async with receiving(503) as receiver:
            for _ in range(3):
                await deliver(store, "w", receiver.url, SECRET)
            return len(receiver.got)

    assert asyncio.run(work()) == 1


def test_a_redirect_is_not_followed_and_a_refusal_is_not_repeated(store: Store) -> None:
    receiver, _ = deliver_to(store, 302, 404, times=2)
    assert len(receiver.got) == 2
    assert store.posts_refused("w") == [
        ("wa1:0:alarm", "the webhook answered 302"),
        ("wa1:0:resolved", "the webhook answered 404"),
    ]


def test_where_nobody_listens_it_waits_and_the_address_is_not_told(store: Store) -> None:
    async def work() -> str:
        async with receiving() as receiver:
            url = receiver.url
        return await deliver(store, "w", f"{url}?token=hidden", SECRET)

    problem = asyncio.run(work())
    assert problem.startswith("the webhook cannot be reached (")
    assert "hidden" not in problem
    assert len(store.posts_due("w")) == 2


def test_of_two_processes_one_sends_it(store: Store) -> None:
    async def work() -> int:
        async with receiving() as receiver:
            await asyncio.gather(*(deliver(store, "w", receiver.url, SECRET) for _ in range(4)))
            return len(receiver.got)

    sent = asyncio.run(work())
    assert sent == 2 - len(store.posts_due("w"))
