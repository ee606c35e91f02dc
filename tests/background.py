"""A fake server in a thread of its own, so that commands can be run as a person runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from aiohttp import web
from sqlalchemy import event

from reroll import store_sqlite
from reroll.cli import main
from tests.fake_server import Act, FakeServer, answer, serving

T = TypeVar("T")


@contextlib.contextmanager
def in_background(*acts: Act) -> Iterator[tuple[FakeServer, str]]:
    """A running fake server and its address, from a thread."""
    with in_thread(serving(*acts)) as served:
        yield served


@contextlib.contextmanager
def in_thread(serving: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What is served, from a thread."""
    started: threading.Event = threading.Event()
    held: dict[str, Any] = {}

    async def serve() -> None:
        async with serving as served:
            held.update(served=served, loop=asyncio.get_running_loop(), done=asyncio.Event())
            started.set()
            await held["done"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield held["served"]
    finally:
        held["loop"].call_soon_threadsafe(held["done"].set)
        thread.join(20)


def by_number(choose: Callable[[int], Act]) -> Act:
    """An act that depends on how many calls there have been (from 1)."""
    count = 0

    async def act(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        return await choose(count)(request)

    return act


def in_turn(*texts: str) -> Act:
    """Answers in turn, over and over."""
    return by_number(lambda n: answer(texts[(n - 1) % len(texts)]))


CASE = 'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{name: says-yes, contains: "yes"}]}\n'


def write_project(folder: Path, url: str, program: str = "reference_rate: 0.02\n", cases: str = CASE) -> Path:
    """A project whose model is the server at `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f"program: greeting\nmodel: openai:tiny\nbase_url: {url}/v1\nsystem: {{role: Be kind.}}\n"
    (folder / "program.yaml").write_text(head + program)
    (folder / "cases.yaml").write_text(cases)
    return folder


class Ran:
    """What a command left behind: exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, f"not exactly one JSON object on stdout: {self.out!r}"
        return json.loads(lines[0])

    @property
    def complaint(self) -> str:
        """The one sentence of a user's error: exit 2, nothing on stdout, no traceback."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if line.startswith("reroll: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


MEASURING = ("investigate", "rerun", "certify")


def agreed(arguments: tuple[object, ...]) -> list[str]:
    """The command with a yes to its price: nobody knows what the fake server's model costs."""
    yes = ["--yes"] if arguments[0] in MEASURING else []
    return [str(a) for a in arguments] + yes


def reroll(capsys: Any, *arguments: object, agree: bool = True) -> Ran:
    """Run a command in this process."""
    capsys.readouterr()
    code = main(agreed(arguments) if agree else [str(a) for a in arguments])
    done = capsys.readouterr()
    return Ran(code, done.out, done.err)


def reroll_apart(*arguments: object, **popen: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "reroll", *agreed(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


@contextlib.contextmanager
def no_room(pages: int = 0) -> Iterator[None]:
    """Stores that are opened meanwhile may grow by so many pages; then they are full, as SQLite says of a disk."""
    connect = store_sqlite.connect

    def cramped(*arguments: Any, **named: Any) -> Any:
        engine = connect(*arguments, **named)

        @event.listens_for(engine, "connect")
        def _cap(connection: Any, record: Any) -> None:
            now = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {now + pages}")

        return engine

    with mock.patch.object(store_sqlite, "connect", cramped):
        yield
