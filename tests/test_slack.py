"""Slack as people use it, against a fake one: reports, answers, buttons, follow-ups, and nothing twice or lost."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reroll.init import init_project
from reroll.store import Store
from tests import fake_slack as fake
from tests.fake_slack import FakeSlack
from tests.pages import no_job_goes_on, until

pytest.importorskip("slack_bolt", reason="slack-bolt is not installed here; `pip install 'reroll[slack]'`")

ROOM, ANA, BEN = "C1", "UANA", "UBEN"
WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
MENTION = f"<@{fake.ME}>"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake.fake_slack() as made:
        yield made
        assert not made.problems, made.problems


@pytest.fixture
def home(tmp_path: Path) -> Path:
    init_project(tmp_path / "meetings")
    return tmp_path / "meetings"


@dataclass
class Running:
    """`reroll slack` as a process."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    url: str = ""

    def post(self, body: dict[str, Any], **more: Any) -> float:
        """Send it as Slack does; seconds until it was acknowledged."""
        status, _, seconds = fake.post(self.url, body, **more)
        assert status == 200, self.log.read_text()
        return seconds

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


def environment(slack: FakeSlack) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SLACK_BOT_TOKEN": fake.BOT_TOKEN,
        "SLACK_APP_TOKEN": fake.APP_TOKEN,
        "SLACK_SIGNING_SECRET": fake.SIGNING,
        "REROLL_SLACK_API": f"{slack.base}/api/",
    }


@contextlib.contextmanager
def answering(slack: FakeSlack, folder: Path, *words: str, says: str = r"at (http://\S+);") -> Iterator[Running]:
    """`reroll slack` until the block ends; jobs are stopped with it."""
    log = folder / "slack.log"
    command = [sys.executable, "-m", "reroll.cli", "slack", "--project", str(folder), *words]
    with log.open("ab") as told:
        before = log.stat().st_size
        process = subprocess.Popen(command, stderr=told, env=environment(slack))
    made = Running(process, folder, log)
    try:
        until(lambda: bool(re.search(says, log.read_text()[before:])) or process.poll() is not None)
        found = re.search(says, log.read_text()[before:])
        assert found, log.read_text()
        made.url = found[1] if found.groups() else ""
        yield made
    finally:
        process.terminate()
        process.wait(20)
        no_job_goes_on(folder)
    said = log.read_text()
    assert "Traceback" not in said, said[-4000:]
    assert not any(secret in said for secret in (fake.BOT_TOKEN, fake.APP_TOKEN, fake.SIGNING))


def texts(slack: FakeSlack, channel: str = ROOM) -> list[str]:
    return [str(one["text"]) for one in slack.ours(channel)]


def whole(message: dict[str, Any]) -> str:
    """All that a message shows."""
    return " ".join(re.findall(r'"text": "((?:[^"\\]|\\.)*)"', __import__("json").dumps(message, ensure_ascii=False)))


def buttons(message: dict[str, Any]) -> dict[str, str]:
    """What its buttons do, by their action."""
    blocks = message.get("blocks") or []
    return {e["action_id"]: e["value"] for b in blocks if b["type"] == "actions" for e in b["elements"]}


def test_the_whole_way_from_a_mention_to_six_sentences(slack: FakeSlack, home: Path) -> None:
    ts = slack.say(ROOM, ANA, f"{MENTION} {WORDS}")
    mention = fake.event("app_mention", ROOM, ANA, f"{MENTION} {WORDS}", ts, "Ev1")
    with answering(slack, home, "--port", "0", "--budget", "60", "--pages", "https://reroll.example.org/") as running:
        assert running.post(mention) < 1.0
        assert running.post(mention) < 1.0  # Slack's retry
        until(lambda: any("files" in one for one in slack.ours(ROOM)), 90)
        measured, figure = slack.ours(ROOM)
        assert measured["thread_ts"] == figure["thread_ts"] == ts
        assert "free: the model runs here" in measured["told"]["text"]
        print(whole(measured))
