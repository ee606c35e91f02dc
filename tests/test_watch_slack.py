"""An alarm of the watch reaches its channel on Slack, once, and so does its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reroll.init import init_project
from tests.fake_slack import FakeSlack, fake_slack
from tests.test_slack import Place, whole
from tests.test_watch import FILE, NOW, calls, look

ROOM = "C0123456789"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as running:
        yield running
        assert not running.problems, running.problems


def test_an_alarm_is_posted_once_and_its_end_too_though_slack_was_down_meanwhile(
    slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reroll.slack.delivery.FIRST", 0.0)
    folder = tmp_path / "meetings"
    init_project(folder)
    (folder / "watch.yaml").write_text(FILE + f"tell: {{slack: {ROOM}}}\n", encoding="utf-8")
    slack.down = True
    with Place(slack, folder) as first:
        look(folder, first.store)
        calls(first.store, "r" * 500 + "w" * 8)
        look(folder, first.store)
        first.go_on()
        assert len(first.store.unsent()) == 1
    slack.down = False
    with Place(slack, folder) as second:
        second.go_on()
        second.go_on()
        (alarm,) = slack.ours(ROOM)
        assert "calls" in whole(alarm)
        assert "failed" in whole(alarm)
        calls(second.store, "r" * 700, start=NOW - 8e5, first=508)
        look(folder, second.store)
        second.go_on()
        second.go_on()
        _, over = slack.ours(ROOM)
        assert whole(over) != whole(alarm)
        assert second.store.unsent() == []
