"""Progress: in place and seldom on a terminal, few plain lines elsewhere, never on stdout."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reroll import listening
from reroll.answer import ProgressEvent
from reroll.cli import main
from reroll.render.ink import Pen
from reroll.render.live import Progress, progress_line

EVENT = ProgressEvent(
    phase="case",
    case_id="next-friday",
    calls=14,
    budget=400,
    failures=6,
    invalid=0,
    estimate=6 / 14,
    low=0.193,
    high=0.695,
    question="worse than the usual 3.6 %?",
    usd=0.0,
    seconds=2.13,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain(width: int = 200) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=False), file


def test_the_line_says_where_the_run_stands() -> None:
    line = progress_line(EVENT, Pen(plain()[0])).plain
    assert line == (
        "next-friday · 14 of 400 calls · 6 failed · 43 % (19–70 %) · "
        "deciding: worse than the usual 3.6 %? · $0.00 · 2.1 s"
    )
    odd = replace(EVENT, invalid=2, estimate=None, usd=None, question="", case_id="a\nb\x1b[2J")
    assert progress_line(odd, Pen(plain()[0])).plain == (
        "a b<ESC>[2J · 14 of 400 calls · 6 failed · 2 unjudged · price unknown · 2.1 s"
    )


def test_calls_that_are_no_runs_of_the_case_are_counted_without_failures() -> None:
    spent = replace(EVENT, failures=None, estimate=None, question="", doing="where is it lost?")
    assert progress_line(spent, Pen(plain()[0])).plain == (
        "next-friday · 14 of 400 calls · where is it lost? · $0.00 · 2.1 s"
    )


def test_where_nobody_watches_a_line_comes_every_few_seconds_and_with_each_phase() -> None:
    console, file = plain()
    clock = Clock()
    with Progress(console, clock=clock) as progress:
        for calls in range(1, 101):
            clock.now += 0.125
            progress.update(replace(EVENT, phase="controls", case_id="6 control cases", calls=calls))
        for calls in range(1, 31):
            clock.now += 0.125
            progress.update(replace(EVENT, calls=calls))
    found = [" ".join(line.split()[:6]) for line in file.getvalue().splitlines()]
    assert found == [
        "6 control cases · 1 of",
        "6 control cases · 41 of",
        "6 control cases · 81 of",
        "6 control cases · 100 of",
        "next-friday · 1 of 400 calls",
        "next-friday · 30 of 400 calls",
    ]
    assert "\x1b" not in file.getvalue()
    assert "\r" not in file.getvalue()


def test_quiet_shows_nothing_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for terminal in (True, False):
        file = io.StringIO()
        with Progress(Console(file=file, force_terminal=terminal), quiet=True) as progress:
            progress.update(EVENT)
        assert file.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_without_a_console_it_is_stderr_and_stdout_stays_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.update(EVENT)
        print('{"schema": "reroll.answer/1"}')
    out, err = capsys.readouterr()
    assert out == '{"schema": "reroll.answer/1"}\n'
    assert err.startswith("next-friday · 14 of 400 calls")


def test_on_a_terminal_the_line_stays_one_line_redrawn_seldom_and_gone_at_the_end() -> None:
    file = io.StringIO()
    stdout = sys.stdout
    with Progress(Console(file=file, force_terminal=True, width=60, _environ={})) as progress:
        for calls in range(3000):
            progress.update(replace(EVENT, calls=calls))
        assert sys.stdout is stdout
    text = file.getvalue()
    assert text.count("next-friday") < 100  # thousands of updates, some frames a second
    frames = re.split(r"\r|\x1b\[2K|\x1b\[1A", text)
    assert all(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", f).rstrip("\n")) <= 60 for f in frames)
    assert "\x1b[?25h" in text  # the cursor is shown again
    assert text.rstrip().endswith("\x1b[2K")


def test_a_failure_inside_gives_the_terminal_back() -> None:
    file = io.StringIO()

    def interrupted() -> None:
        with Progress(Console(file=file, force_terminal=True)) as progress:
            progress.update(EVENT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "\x1b[?25h" in file.getvalue()


def test_ascii_where_the_screen_has_no_more() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with Progress(Console(file=file, width=200)) as progress:
        progress.update(replace(EVENT, case_id="nächster-freitag"))
    file.seek(0)
    assert file.read().startswith("n\\xe4chster-freitag - 14 of 400 calls - 6 failed - 43 % (19-70 %)")


def test_a_line_never_takes_the_calls_of_a_search_for_runs_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[ProgressEvent] = []
    monkeypatch.setattr(listening, "_listeners", [heard.append])
    assert main(["init", str(tmp_path / "meetings")]) == 0
    at = ("--project", str(tmp_path / "meetings"), "--budget", "90", "--seed", "3", "--quiet", "--yes")
    assert main(["cause", "next-friday", *at]) == 0
    searching = [event for event in heard if "part" in event.question or "stay" in event.question]
    assert searching
    assert {event.failures for event in searching} == {None}
    assert all(re.fullmatch(r"as it is \d+ of \d+ runs? failed", event.doing) for event in searching)
    counted = [event for event in heard if event.failures is not None and event.phase == "case"]
    assert all(event.calls <= 60 for event in counted), "runs of the request as it is, and nothing else"
