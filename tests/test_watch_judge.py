"""A watch whose calls a model judges: a share by chance, a cap a day, and what was not judged counts as nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.case import Case
from reroll.checking import Checker, no_judge
from reroll.errors import FileError, NotCompleted, StoreError
from reroll.init import init_project
from reroll.judge_calls import JudgeCalls
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from reroll.watch_file import judges_variant, read_watch
from reroll.watch_judging import BEFORE, LEFT_OUT, NO_JUDGE, OUT_OF_REACH, USED_UP
from reroll.watch_overview import Overview, lines, overview
from reroll.watch_rounds import Watcher, replay
from reroll.watch_sample import by_chance
from reroll.web.home import Home
from reroll.web.keeping_watch import Keeper
from tests.background import in_background, reroll_apart
from tests.fake_server import Act, FakeServer, error, hang
from tests.test_judge_calls import judging

NOW = 1_900_000_000.0
FILE = """
false_alarms: {{weeks: 1}}
{judge}
streams:
  - name: dates
    checks: [{{judge: {{model: "openai:judge", base_url: "{at}/v1", rubric: "It names the 27th."}}}}]
    baseline: 0.01
  - {{name: short, checks: [{{matches: "^.{{1,40}}$"}}], baseline: 0.01, errors: false, silence: false}}
"""
BY_MODEL = "dates, judged by a model"


def right(text: str) -> bool:
    return "27th" in text


class World:
    """A watched project, its store, and its judge."""

    def __init__(self, folder: Path, store: Store, judge: FakeServer) -> None:
        self.folder, self.store, self.judge, self.made = folder, store, judge, 0

    def calls(self, words: str, case_id: str = "next-friday") -> list[str]:
        """Production's calls, all different: r right, w wrong, e an error."""
        new = []
        for letter in words:
            self.made += 1
            text = f"the {'27th' if letter == 'r' else '20th'}, said {self.made}"
            sample = (
                Sample(error="500 after 3 tries", model="m-1")
                if letter == "e"
                else Sample(Completion(text), model="m-1")
            )
            place = {"program_id": "p1:0", "case_id": case_id, "source": "imported"}
            new.append(NewSample(sample, "r1:0", f"call {self.made}", 0, settled=NOW - 9e5 + 60 * self.made, **place))
        return self.store.add_samples(new)

    @contextlib.contextmanager
    def watching(self, asks: bool = True) -> Iterator[Watcher]:
        project = load_project(self.folder)
        told = read_watch(project)
        judges = JudgeCalls(self.store, self.folder, tries=1, variant=judges_variant(told))
        with judges, Checker(self.folder, judges=judges if asks else None) as checker:
            yield Watcher(project, told, self.store, checker)

    def look(self, now: float = NOW, asks: bool = True) -> None:
        with self.watching(asks) as watcher:
            while watcher.look(now).more:
                pass

    def shown(self, now: float = NOW) -> Overview:
        found = overview(self.store, read_watch(load_project(self.folder)), now)
        assert found is not None
        return found

    def stream(self, name: str = BY_MODEL) -> Any:
        (row,) = [row for row in self.shown().rows if row.named["name"] == name and row.what == "fail"]
        return row


@contextlib.contextmanager
def world(folder: Path, judge: str = "judge: {share: 0.5, calls: 500}", act: Act | None = None) -> Iterator[World]:
    """A watch that began before any call came."""
    with in_background(act or judging(right)) as (served, at):
        init_project(folder)
        (folder / "watch.yaml").write_text(FILE.format(judge=judge, at=at), encoding="utf-8")
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            made = World(folder, store, served)
            made.look()
            yield made


def test_the_sampled_calls_are_the_denominator_and_what_they_cost_is_said(tmp_path: Path) -> None:
    with world(tmp_path / "p") as here:
        ids = here.calls("rrrw" * 30 + "e" * 20)
        chosen = [by_chance(id, 0.5) for id in ids]
        here.look()
        answered = sum(chosen[:120])
        assert here.judge.calls == answered
        row, shown = here.stream(), here.shown()
        assert (row.n, shown.unjudged) == (sum(chosen), {LEFT_OUT: 140 - sum(chosen)})
        assert row.month_losses == sum(one and n % 4 == 3 for n, one in enumerate(chosen[:120]))
        assert here.stream("short").n == 140, "what asks no model is judged of every call"
        assert shown.judging is not None
        assert (shown.judging.today, shown.judging.ever, shown.judging.judge_calls) == (answered,) * 3
        said = "\n".join(lines(shown))
        assert f"{answered} of at most 500 today (UTC), {answered} in all; {answered} calls of judges in all" in said
        assert (
            f"note       {140 - sum(chosen)} calls were not judged, and count neither as passed nor as failed" in said
        )
        here.look()
        assert here.judge.calls == answered


def test_calls_of_different_cases_are_judged_side_by_side_each_by_what_was_asked(tmp_path: Path) -> None:
    together, waiting = threading.Event(), []

    async def slow(request: web.Request) -> web.StreamResponse:
        waiting.append((await request.json())["messages"][1]["content"])
        if len(waiting) == 4:
            together.set()
        await asyncio.to_thread(together.wait, 60)
        return await judging(right)(request)

    with world(tmp_path / "p", "judge: {share: 1, calls: 500}", slow) as here:
        for n in range(4):
            here.store.put_case(Case(id=f"call-{n}", input={"request": f"Question {n}"}))
            here.calls("r", case_id=f"call-{n}")
        here.look()
        assert here.judge.calls == here.stream().n == 4
        assert all(any(f"Question {n}" in one for one in waiting) for n in range(4))


def test_no_more_are_asked_about_than_a_day_may_cost_and_the_next_day_has_its_own(tmp_path: Path) -> None:
    with world(tmp_path / "p", "judge: {share: 1, calls: 10}") as here:
        here.calls("r" * 25)
        here.look()
        assert (here.judge.calls, here.stream().n, here.shown().unjudged) == (10, 10, {USED_UP: 15})
        here.calls("r" * 3)
        here.look()
        assert here.judge.calls == 10
        here.calls("r" * 3)
        here.look(NOW + 86400)
        assert (here.judge.calls, here.stream().n) == (13, 13)


def test_calls_that_the_judge_fails_raise_an_alarm_with_a_report(tmp_path: Path) -> None:
    with world(tmp_path / "p", "judge: {share: 1, calls: 500}") as here:
        here.calls("r" * 300)
        here.look()
        assert here.store.alarms("meetings") == [], "no silence is heard of a share that has its end a day"
        here.calls("wr" * 12)
        here.look()
        (alarm,) = here.store.alarms("meetings")
        assert "calls of dates, judged by a model (m-1, program p1:0) failed" in alarm.body["words"]
        assert len(here.store.reports()) == 1


def test_a_judge_that_is_down_holds_up_no_other_stream_and_fails_no_call(tmp_path: Path) -> None:
    with world(tmp_path / "p", "judge: {share: 1, calls: 500}", error(503, "down")) as here:
        here.calls("r" * 40)
        here.look()
        assert here.stream("short").n == 40
        assert [row for row in here.shown().rows if row.named["name"] == BY_MODEL] == []
        assert here.shown().unjudged == {OUT_OF_REACH: 40}
        here.judge.acts = [judging(right)]
        here.calls("r" * 5)
        here.look()
        assert (here.stream().n, here.stream().month_losses) == (5, 0)


def test_why_a_judge_could_not_be_asked_is_said_once_as_long_as_it_is_so(tmp_path: Path) -> None:
    said: list[str] = []
    gone = error(404, "gone")
    with (
        world(tmp_path / "p", "judge: {share: 1, calls: 500}", gone) as here,
        Keeper(Home(here.folder, here.store), complain=said.append) as keeper,
    ):
        for act in (gone, gone, gone, judging(right), gone):
            here.judge.acts = [act]
            here.calls("r" * 10)
            keeper.look()
    words = (
        "the judge openai:judge brings nothing back; calls that a model should have judged are counted as not judged"
    )
    assert said == [words, words]


def test_a_reply_that_is_no_verdict_is_invalid_and_no_failure(tmp_path: Path) -> None:
    mute = judging(lambda text: "hm" if text.endswith("3") else right(text))
    with world(tmp_path / "p", "judge: {share: 1, calls: 500}", mute) as here:
        here.calls("r" * 10)
        here.look()
        assert (here.stream().n, here.stream().month_losses) == (10, 0)
        (invalid,) = [r for r in here.shown().rows if r.named["name"] == BY_MODEL and r.what == "invalid"]
        assert (invalid.month_calls, invalid.month_losses) == (10, 1)


def test_a_look_that_was_not_kept_is_made_again_without_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> bool:
        raise StoreError("the disk is full", slug="store")

    with world(tmp_path / "p", "judge: {share: 1, calls: 12}") as here:
        here.calls("r" * 20)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "keep_look", full)
            with pytest.raises(StoreError):
                here.look()
        assert here.judge.calls == 12
        here.look()
        assert (here.judge.calls, here.stream().n, here.shown().unjudged) == (12, 12, {USED_UP: 8})


def test_a_watch_that_is_ended_while_it_asks_counts_nothing_of_the_look_and_goes_on_there(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.to_thread(go_on.wait, 60)
        return await judging(right)(request)

    with world(tmp_path / "p", "judge: {share: 1, calls: 500}", slow) as here, here.watching() as watcher:
        here.calls("r" * 40)

        def end() -> None:
            asked.wait(60)
            watcher.judges.ended = True
            watcher.judges.checker.judges.stop()  # type: ignore[union-attr]
            go_on.set()

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(NotCompleted):
            watcher.look(NOW)
        ending.join()
        assert [row for row in here.shown().rows if row.n] == []
        here.look()
        assert (here.stream().n, here.stream("short").n) == (40, 40)
        assert here.judge.calls <= 40 + 16, "only what was in flight may be asked again"


def test_ctrl_c_ends_a_watch_whose_judge_hangs_and_the_next_one_goes_on(tmp_path: Path) -> None:
    asked = threading.Event()

    async def hanging(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await hang()(request)

    with world(tmp_path / "p", "judge: {share: 1, calls: 500}", hanging) as here:
        here.calls("r" * 5)
        command = reroll_apart("watch", "--project", here.folder)
        try:
            assert asked.wait(60)
            command.send_signal(signal.SIGINT)
            _, err = command.communicate(timeout=30)
        finally:
            command.kill()
        assert (command.returncode, "Traceback" in err) == (0, False), err
        assert here.shown().rows == ()
        here.judge.acts = [judging(right)]
        here.look()
        assert here.stream().n == 5


def test_what_was_there_before_the_watch_began_is_not_asked_about(tmp_path: Path) -> None:
    with world(tmp_path / "p") as here:
        (here.folder / "watch.yaml").write_text(
            "watch: another\n" + (here.folder / "watch.yaml").read_text(), encoding="utf-8"
        )
        here.calls("r" * 20)
        here.look()
        assert here.judge.calls == 0
        assert here.shown().unjudged == {BEFORE: 20}


def test_a_replay_takes_the_verdicts_that_are_stored_and_asks_nobody(tmp_path: Path) -> None:
    with world(tmp_path / "p", "judge: {share: 1, calls: 30}") as here:
        here.calls("rw" * 20)
        here.look()
        project = load_project(here.folder)
        with Checker(here.folder, judges=no_judge) as checker:
            _, watcher, n = replay(project, read_watch(project), here.store, checker, NOW)
        (held,) = [h for h in watcher.streams.values() if h.named["name"] == BY_MODEL and h.named["what"] == "fail"]
        assert (n, held.stream.n, held.stream.losses, here.judge.calls) == (40, 30, 15, 30)
        assert sum(watcher.unjudged.values()) == 10


def test_without_judge_in_the_file_no_model_is_asked_and_that_is_said(tmp_path: Path) -> None:
    with world(tmp_path / "p") as here:
        path = here.folder / "watch.yaml"
        text = path.read_text().replace("judge: {share: 0.5, calls: 500}", "")
        path.write_text(text, encoding="utf-8")
        with pytest.raises(FileError, match=r"the checks of `dates` ask a model, which costs money: write how many"):
            read_watch(load_project(here.folder))
        checks = json.dumps(
            [{"judge": {"model": "openai:judge", "base_url": "http://127.0.0.1:9", "rubric": "polite"}}]
        )
        request = '{request: "Lunch with Ana next Friday at noon"}'
        (here.folder / "cases.yaml").write_text(
            f"cases:\n  - {{id: next-friday, input: {request}, checks: {checks}}}\n", encoding="utf-8"
        )
        path.write_text("watch: another\n", encoding="utf-8")
        here.look(asks=False)
        here.calls("rw" * 5)
        here.look(asks=False)
        assert here.shown().rows == ()
        assert here.shown().unjudged == {NO_JUDGE: 10}
        assert here.shown().caveats[0].startswith("10 calls were not judged, and count neither as passed nor as failed")
        assert here.judge.calls == 0
