"""Ctrl-C while judges are asked: they hear of it at once, and what it usually does waits for what is in flight."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from reroll.judge_loop import CtrlC


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was heard, in its order: `usual` is what listened to Ctrl-C before."""
    words: list[str] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: words.append("usual"))
    yield words
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c(said: list[str]) -> Iterator[CtrlC]:
    with contextlib.closing(CtrlC(lambda: said.append("stop"))) as listening:
        yield listening


def test_judges_stop_at_once_and_the_rest_follows_when_what_is_in_flight_is_stored(
    ctrl_c: CtrlC, said: list[str]
) -> None:
    with ctrl_c.held():
        press()
        assert said == ["stop"]
        said.append("stored")
    assert said == ["stop", "stored", "usual"]


def test_between_two_askings_both_hear_of_it_at_once(ctrl_c: CtrlC, said: list[str]) -> None:
    with ctrl_c.held():
        pass
    press()
    assert said == ["stop", "usual"]


def test_a_second_one_ends_what_is_waited_for(ctrl_c: CtrlC, said: list[str]) -> None:
    with ctrl_c.held():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert said == ["stop", "stop", "usual"]


def test_whoever_listens_later_is_told_after_the_judges(ctrl_c: CtrlC, said: list[str]) -> None:
    with ctrl_c.held():
        pass
    signal.signal(signal.SIGINT, lambda number, frame: said.append("a loop that began later"))
    with ctrl_c.held():
        press()
    assert said == ["stop", "a loop that began later"]


def test_closed_it_listens_no_more(ctrl_c: CtrlC, said: list[str]) -> None:
    with ctrl_c.held():
        pass
    ctrl_c.close()
    press()
    assert said == ["usual"]
