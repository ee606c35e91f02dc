"""A watch end to end: calls in a store, judged, counted once, alarms with reports, whatever is killed when."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reroll import watch_rounds
from reroll.case import Case
from reroll.checking import Checker
from reroll.cli import main
from reroll.errors import FileError, StoreError, UsageError
from reroll.init import init_project
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from reroll.store_watch import KeptStream, NewAlarm, WatchStep
from reroll.watch_file import WatchFile, read_watch, secret_of_webhook
from reroll.watch_overview import lines, overview
from reroll.watch_rounds import Look, Said, Watcher, replay
from reroll.web.home import Home
from reroll.web.keeping_watch import Keeper
from tests import postgres
from tests.pages import environment

server, either_store = postgres.server, postgres.either_store
NOW = 1_900_000_000.0
RIGHT, WRONG = "the 27th", "the 20th"
FILE = """
false_alarms: {weeks: 1}
streams:
  - name: dates
    checks: [{contains: 27th}]
    baseline: 0.01
    errors: false
    silence: false
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "meetings"
    init_project(made)
    (made / "watch.yaml").write_text(FILE, encoding="utf-8")
    return made


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder / ".reroll" / "store.sqlite") as made:
        yield made


def calls(
    store: Store,
    texts: str,
    *,
    start: float = NOW - 9e5,
    gap: float = 60.0,
    first: int = 0,
    model_is: str = "m-1",
    **more: Any,
) -> list[str]:
    """One call for each letter: r right, w wrong, e an error; so many seconds apart."""
    samples = {
        "r": Sample(Completion(RIGHT), model=model_is),
        "w": Sample(Completion(WRONG), model=model_is),
        "e": Sample(error="500 after 3 tries", model=model_is),
    }
    place = {"program_id": "p1:0", "case_id": "next-friday", "source": "imported", **more}
    new = [
        NewSample(samples[letter], "r1:0", f"call {first + i}", 0, settled=start + i * gap, **place)
        for i, letter in enumerate(texts)
    ]
    return store.add_samples(new)


def watcher(folder: Path, store: Store, checker: Checker) -> Watcher:
    project = load_project(folder)
    return Watcher(project, read_watch(project), store, checker)


def look(folder: Path, store: Store, now: float = NOW) -> list[Said]:
    """Every look until there is nothing new, by a process that has just started."""
    said: list[Said] = []
    with Checker(folder) as checker:
        watching, more = watcher(folder, store, checker), True
        while more:
            found: Look = watching.look(now)
            said, more = [*said, *found.said], found.more
    return said


def words(said: list[Said]) -> list[str]:
    return [one.event.kind for one in said]


# ---------------------------------------------------------------- counted once


def test_a_rise_after_the_watch_began_opens_a_report_with_the_samples_that_raised_it(
    folder: Path, store: Store
) -> None:
    calls(store, "r" * 1500)
    assert words(look(folder, store)) == ["began"]
    ids = calls(store, "rwrwrwrwrwrw", start=NOW - 5000, first=1500)
    said = look(folder, store)
    assert words(said)[0] == "alarm"
    (alarm,) = store.alarms("meetings")
    assert alarm.state == "open"
    assert [one.id for one in store.of_seqs(alarm.body["samples"])][:2] == [ids[1], ids[3]]
    (report,) = store.reports()
    assert report.id == alarm.report_id
    assert report.report.words == said[0].words
    assert "of dates (m-1, program p1:0) failed; at most 1 % is normal." in report.report.words
    assert (report.report.case_id, report.report.saw, report.report.by) == ("next-friday", WRONG, "reroll watch")
    assert store.outcomes([ids[1]])[ids[1]], "what the checks said is kept with the sample"


def test_an_entry_that_no_call_is_of_is_said(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE + "  - {name: mails, cases: [mial-*]}\n", encoding="utf-8")
    calls(store, "rr")
    look(folder, store)
    shown = overview(store, read_watch(load_project(folder)), NOW)
    assert shown is not None
    assert "No call is of `mails` yet: it watches calls of cases named mial-*." in shown.caveats


def test_however_looks_are_cut_the_streams_are_the_same(folder: Path, store: Store) -> None:
    texts = "r" * 700 + "rrw" * 30
    for i in range(0, len(texts), 53):
        calls(store, texts[i : i + 53], start=NOW - 9e5 + 60 * i, first=i)
        look(folder, store)
    piece = store.watched("meetings"), [one.body for one in store.alarms("meetings")]
    with Store.open(":memory:") as whole:
        calls(whole, texts)
        look(folder, whole)
        assert {one.key: one.body for one in whole.watched("meetings")} == {one.key: one.body for one in piece[0]}
        assert [one.body for one in whole.alarms("meetings")] == piece[1]


def test_of_two_watches_of_the_same_calls_each_call_counts_once(folder: Path, store: Store) -> None:
    calls(store, "r" * 30)
    with Checker(folder) as checker:
        first, second = watcher(folder, store, checker), watcher(folder, store, checker)
        first.look(NOW)
        second.look(NOW)
        calls(store, "w" * 20, first=30, start=NOW - 3000)
        second.look(NOW)
        while first.look(NOW).more:
            pass
    streams = {one.named["what"]: one.body for one in store.watched("meetings")}
    assert streams["fail"]["n"] == 50
    assert len(store.alarms("meetings")) == 1
    assert len(store.reports()) == 1


def test_a_look_that_cannot_be_kept_counts_nothing_and_the_next_one_counts_all(folder: Path, store: Store) -> None:
    calls(store, "r" * 30)
    with Checker(folder) as checker:
        watching = watcher(folder, store, checker)
        keep, store.keep_look = store.keep_look, _fails  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            watching.look(NOW)
        store.keep_look = keep  # type: ignore[method-assign]
        watching.look(NOW)
    assert {one.body["n"] for one in store.watched("meetings")} == {30}


def _fails(*_: object) -> bool:
    raise StoreError("the disk is full")


def test_a_call_that_comes_twice_is_one(folder: Path, store: Store) -> None:
    calls(store, "rrw")
    calls(store, "rrw")
    look(folder, store)
    assert {one.body["n"] for one in store.watched("meetings")} == {3}


# ---------------------------------------------------------------- streams


def test_another_model_is_another_stream_held_against_the_one_before_and_it_says_so(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE.replace("baseline: 0.01", "baseline: {first: 500}"), encoding="utf-8")
    calls(store, "r" * 600)
    look(folder, store)
    calls(store, "w" * 8, first=600, start=NOW - 4000, model_is="m-2")
    said = look(folder, store)
    assert words(said)[:2] == ["began", "alarm"]
    assert "It follows dates (m-1, program p1:0): another model, so it has a baseline of its own." in said[0].words
    assert "was normal in the version before" in said[1].words


def test_changed_checks_begin_another_stream_and_a_changed_baseline_begins_anew(folder: Path, store: Store) -> None:
    calls(store, "r" * 30)
    look(folder, store)
    (folder / "watch.yaml").write_text(FILE.replace("27th", "the"), encoding="utf-8")
    calls(store, "r", first=30, start=NOW - 3000)
    (began,) = look(folder, store)
    assert "what judges it was changed" in began.words
    (folder / "watch.yaml").write_text(FILE.replace("27th", "the").replace("0.01", "0.05"), encoding="utf-8")
    calls(store, "r", first=31, start=NOW - 2000)
    (began,) = look(folder, store)
    assert "changed in watch.yaml" in began.words


def test_however_many_names_calls_come_with_what_is_kept_has_an_end(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_rounds, "MOST_STREAMS", 3)
    for i in range(8):
        calls(store, "r", first=i, program_id=f"p1:{i}", start=NOW - 5000 + i)
    look(folder, store)
    kept = store.watched("meetings")
    assert sum(one.body["n"] for one in kept) == 8
    assert [one.body["n"] for one in kept if "others" in one.named] == [5]


def test_the_file_in_the_documentation_is_one(folder: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "watching.md").read_text(encoding="utf-8")
    (folder / "watch.yaml").write_text(page.split("```yaml")[1].split("```")[0], encoding="utf-8")
    told = read_watch(load_project(folder))
    assert [one.name for one in told.streams] == ["dates", "helpful"]
    assert set(WatchFile.model_fields) == set(told.model_fields_set), "every key stands in it"


def test_calls_that_nothing_can_judge_are_counted_and_said(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text("streams: [{name: all, errors: false}]\n", encoding="utf-8")
    store.put_case(Case(id="call-1", input={"request": "x"}))
    calls(store, "rr", case_id="call-1")
    calls(store, "rw", first=2)
    look(folder, store)
    shown = overview(store, read_watch(load_project(folder)), NOW)
    assert shown is not None
    assert shown.rows[0].n == 2
    assert "2 calls were not judged, and count neither as passed nor as failed: nothing says" in shown.caveats[0]


def test_a_score_that_came_with_the_call_is_watched_as_a_loss(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(
        "false_alarms: {weeks: 1}\nstreams: [{name: graded, score: true, baseline: 0.1}]\n", encoding="utf-8"
    )
    scores = [0.9] * 900 + [0.3] * 30
    new = [
        NewSample(
            Sample(reward=score), "r1:0", f"call {i}", 0, "p1:0", "a", source="imported", settled=NOW - 9e5 + i * 600
        )
        for i, score in enumerate([*scores, 7.0])
    ]
    store.add_samples(new)
    assert "alarm" in words(look(folder, store))
    bodies = {one.named["what"]: one.body for one in store.watched("meetings")}
    assert bodies["loss"]["losses"] == pytest.approx(90 + 21)
    assert bodies["invalid"]["losses"] == 1, "a score outside 0 to 1 is none"


def test_times_in_the_future_count_as_now_and_bring_no_false_alarms_forward(folder: Path, store: Store) -> None:
    calls(store, "r" * 30, start=NOW + 1e8)
    look(folder, store)
    shown = overview(store, read_watch(load_project(folder)), NOW)
    assert shown is not None
    assert (shown.clock, shown.brought) == (NOW, 0.0)
    assert any("time in the future" in caveat for caveat in shown.caveats)
    assert any("All calls have the same time" in caveat for caveat in shown.caveats)


def test_a_stream_that_stops_is_told_once_and_is_heard_again(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE.replace("silence: false", "silence: true"), encoding="utf-8")
    calls(store, "r" * 100, start=NOW - 8e5, gap=3600.0)
    assert words(look(folder, store)) == ["began", "silent"]
    assert words(look(folder, store)) == []
    (alarm,) = store.alarms("meetings", state="open")
    assert alarm.kind == "silent"
    assert alarm.report_id is None
    calls(store, "r", start=NOW - 10, first=100)
    assert words(look(folder, store)) == ["spoke"]
    assert store.alarms("meetings", state="open") == []


def test_a_silence_is_over_when_a_later_version_is_heard_in_its_place(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE.replace("silence: false", "silence: true"), encoding="utf-8")
    calls(store, "r" * 100, start=NOW - 8e5, gap=3600.0)
    look(folder, store)
    calls(store, "r" * 5, start=NOW - 300, first=100, model_is="m-2")
    look(folder, store)
    (alarm,) = store.alarms("meetings")
    assert alarm.state == "resolved"
    assert "another is heard in its place" in alarm.body["over"]
    assert look(folder, store) == []


def test_an_alarm_stays_open_when_what_it_was_held_against_is_changed(folder: Path, store: Store) -> None:
    look(folder, store)
    calls(store, "r" * 500 + "w" * 8)
    look(folder, store)
    (folder / "watch.yaml").write_text(FILE.replace("0.01", "0.5"), encoding="utf-8")
    calls(store, "r", first=508, start=NOW - 8e5)
    look(folder, store)
    (kept,) = store.watched("meetings")
    assert kept.body["alarm"] is not None
    assert (kept.body["n"], kept.body["baseline"]["rate"]) == (509, 0.5)
    assert store.alarms("meetings", state="open")


# ---------------------------------------------------------------- history, replay, end of an alarm


def test_alarms_of_what_was_stored_before_tell_nobody_unless_they_go_on(folder: Path, store: Store) -> None:
    tell = FILE + "tell: {slack: C0123456789}\n"
    (folder / "watch.yaml").write_text(tell, encoding="utf-8")
    calls(store, "r" * 500 + "w" * 5 + "r" * 2000, start=NOW - 2503 * 60, gap=60)
    look(folder, store)
    assert [one.state for one in store.alarms("meetings")] == ["resolved"]
    assert store.reports() == []
    assert store.unsent() == []
    with Store.open(":memory:") as other:
        calls(other, "r" * 500 + "w" * 5)
        look(folder, other)
        assert [one.state for one in other.alarms("meetings")] == ["open"]
        assert len(other.reports()) == 1
        (message,) = other.unsent()
        assert message.channel == "C0123456789"
        assert message.body["text"].startswith("Since ")


def test_an_alarm_is_over_when_it_is_shown_and_both_are_told_once(folder: Path, store: Store) -> None:
    secret = "webhook: https://alarms.example.org/x, secret: WATCH_SECRET"
    (folder / "watch.yaml").write_text(FILE + f"tell: {{{secret}}}\n", encoding="utf-8")
    look(folder, store)
    calls(store, "r" * 500 + "w" * 8)
    look(folder, store)
    calls(store, "r" * 100, start=NOW - 8e5, first=508)
    assert words(look(folder, store)) == []
    assert store.alarms("meetings", state="open")
    calls(store, "r" * 600, start=NOW - 7e5, first=608)
    said = look(folder, store)
    assert words(said) == ["resolved"]
    (alarm,) = store.alarms("meetings")
    assert alarm.state == "resolved"
    assert alarm.body["over"] == said[0].words
    told = store.posts_due("meetings")
    assert [post.body["what"] for post in told] == ["alarm", "resolved"]
    assert told[0].key == f"{alarm.id}:alarm"


def test_a_replay_says_when_it_would_have_fired_in_the_order_of_time_and_keeps_nothing(
    folder: Path, store: Store
) -> None:
    calls(store, "w" * 6, start=NOW - 9e5 + 500 * 600, gap=600, first=500)  # imported first, and later
    calls(store, "r" * 500, gap=600)
    before = _tables(folder)
    project = load_project(folder)
    with Checker(folder) as checker:
        said, _, n = replay(project, read_watch(project), store, checker, NOW)
    assert n == 506
    assert words(said)[:2] == ["began", "alarm"]
    assert said[1].event.time > NOW - 9e5 + 500 * 600
    assert _tables(folder) == before


def _tables(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / ".reroll" / "store.sqlite")) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: file.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_the_overview_says_the_months_rate_its_allowance_and_what_is_open(folder: Path, store: Store) -> None:
    # 100 calls, 2 wrong; the program's target is 99 %
    (folder / "watch.yaml").write_text(FILE + "target: 0.99\n", encoding="utf-8")
    calls(store, ("r" * 49 + "w") * 2, start=NOW - 7000)
    look(folder, store)
    shown = overview(store, read_watch(load_project(folder)), NOW)
    assert shown is not None
    row = shown.rows[0]
    assert row.budget_words == "99 % this month: 200 % spent"
    assert row.rate_words.startswith("2 of 100 calls failed: 2 % (")
    assert json.loads(json.dumps(shown.json()))["streams"][0]["spent"] == pytest.approx(2)
    assert any("200 % spent" in line for line in lines(shown))
    assert overview(store, WatchFile(watch="another"), NOW) is None


# ---------------------------------------------------------------- money


def test_an_alarm_is_investigated_once_within_what_its_watch_may_spend_in_a_week(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE + "investigate: {max_usd: 2, budget: 100}\n", encoding="utf-8")
    _sold(folder)
    home = Home(folder, store)
    with Keeper(home) as keeper:
        while keeper.look():
            pass
        calls(store, "r" * 500 + "w" * 8, start=time.time() - 9e5)
        while keeper.look():
            pass
        (job,) = store.jobs()
        assert job.words[0] == "investigate"
        assert "--budget=100" in job.words
        assert "--max-usd=2" in job.words
        (alarm,) = store.alarms("meetings")
        assert (alarm.job, alarm.job_id, job.report_id) == ("asked", job.id, alarm.report_id)
        store.end_job(job.id, "done", usd=1.5)
        assert keeper._spent() == 1.5
        keeper.ask_jobs()
        assert len(store.jobs()) == 1
        for words, dollars in (("a", 0.25), ("b", None)):  # what it cost is not known: all that it may have cost
            made, _ = store.ask_job([words], title=words, key=words, by="reroll watch", max_usd=dollars or 0.25)
            store.end_job(made.id, "done", usd=dollars)
        assert keeper._spent() == 2.0
        calls(store, "w" * 8, start=time.time() - 5e5, first=508, model_is="m-2")
        keeper.look()
        said = [str(one.job) for one in store.alarms("meetings")]
        assert said == ["not investigated: the $2.00 that watch.yaml allows in 7 days are spent", "asked"]
        assert len(store.jobs()) == 3


def _sold(folder: Path) -> None:
    """The program's model is one that costs money; it is never called."""
    path = folder / "program.yaml"
    path.write_text(re.sub(r"(?m)^model: .*$", "model: openai:gpt-4o", path.read_text("utf-8")), encoding="utf-8")


def test_whoever_died_between_asking_and_writing_it_down_does_not_pay_twice(folder: Path, store: Store) -> None:
    (folder / "watch.yaml").write_text(FILE + "investigate: {max_usd: 2}\n", encoding="utf-8")
    with Keeper(Home(folder, store)) as keeper:
        keeper.look()
        calls(store, "r" * 500 + "w" * 8, start=time.time() - 9e5)
        end, store.end_claim = store.end_claim, _fails  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            keeper.look()
        store.end_claim = end  # type: ignore[method-assign]
        (job,) = store.jobs()
        store.end_job(job.id, "done", usd=0.5)
        assert not store.claim_alarm(store.alarms("meetings")[0].id, 60.0), "another has it for a while"
        _make_stale(folder)
        keeper.look()
        assert [one.id for one in store.jobs()] == [job.id]
        assert store.alarms("meetings")[0].job_id == job.id


def _make_stale(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".reroll" / "store.sqlite")) as file:
        file.execute("UPDATE watch_alarms SET claimed_us = 1")
        file.commit()


def test_without_a_cap_nothing_is_spent_and_calls_of_no_case_are_not_guessed_at(folder: Path, store: Store) -> None:
    with Keeper(Home(folder, store)) as keeper:
        keeper.look()
        calls(store, "r" * 500 + "w" * 8, start=time.time() - 9e5, case_id="call-7")
        keeper.look()
        assert store.alarms("meetings")[0].job is None
        assert store.jobs() == []
    (folder / "watch.yaml").write_text("watch: other\n" + FILE + "investigate: {max_usd: 2}\n", encoding="utf-8")
    with Keeper(Home(folder, store)) as keeper:
        keeper.look()
        assert str(store.alarms("other")[0].job).startswith("not investigated: the calls are of no case")
        assert store.jobs() == []


# ---------------------------------------------------------------- both databases


def test_a_look_is_kept_whole_or_not_at_all_in_both_databases(either_store: Store) -> None:
    store = either_store
    assert store.watch("w") is None
    kept = store.watch("w", {"account": {}})
    assert kept is not None
    assert (kept.seen, kept.history) == (0, 0)
    step = WatchStep({"account": {"n": 1}}, streams=[KeptStream("k", {"name": "é\0"}, {"n": 1})])
    step.alarms = [NewAlarm("wa1:0", "k", "worse", "open", 5.0, {"words": "x"})]
    step.posts = {"wa1:0:alarm": {"words": "x"}}
    step.slack = {"wa1:0:alarm": ("C1", {"text": "x"})}
    assert store.keep_look("w", 0, 7, step)
    assert not store.keep_look("w", 0, 9, step)
    changed = WatchStep({"account": {"n": 2}}, streams=[KeptStream("k", {}, {"n": 2})])
    changed.resolved = [("wa1:0", 9.0, {"over": "y"})]
    assert store.keep_look("w", 7, 9, changed)
    assert store.watched("w") == [KeptStream("k", {"name": "é\0"}, {"n": 2})]
    (alarm,) = store.alarms("w")
    assert (alarm.state, alarm.resolved_us, alarm.body) == ("resolved", 9_000_000, {"words": "x", "over": "y"})
    assert len(store.unsent()) == 1
    (post,) = store.posts_due("w")
    assert store.claim_post(post.seq, 60.0)
    assert not store.claim_post(post.seq, 60.0)
    store.retry_post(post.seq, 0.0, "no")
    assert store.claim_post(post.seq, 60.0)
    store.end_post(post.seq, "refused", "no")
    assert store.posts_refused("w") == [("wa1:0:alarm", "no")]
    assert store.posts_due("w") == []


def test_history_that_goes_on_is_opened_in_both_databases(either_store: Store) -> None:
    store = either_store
    store.watch("w", {})
    step = WatchStep({}, alarms=[NewAlarm("wa1:0", "k", "worse", "history", 5.0, {"words": "x"}, job=None)])
    assert store.keep_look("w", 0, 1, step)
    step = WatchStep({}, alarms=[NewAlarm("wa1:0", "k", "worse", "open", 5.0, {"words": "x"}, job="wanted")])
    assert store.keep_look("w", 1, 2, step)
    (alarm,) = store.alarms("w", state="open")
    assert store.jobs_wanted("w") == [alarm]
    assert store.claim_alarm("wa1:0", 60.0)
    assert not store.claim_alarm("wa1:0", 60.0)
    store.end_claim("wa1:0", "asked", "j_1")
    assert store.jobs_wanted("w") == []


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("streams: [{name: a, baseline: 2}]", "strictly between 0 and 1"),
        ("streams: [{name: a}, {name: a}]", "two streams are called `a`"),
        ("streams: [{name: a, score: true, checks: [{equals: x}]}]", "in one way"),
        ("streams: [{name: a, checks: [{person: true}]}]", "nobody is there to ask"),
        (
            "streams: [{name: a, checks: [{judge: {model: m, rubric: r}}]}]",
            "the checks of `a` ask a model, which costs money",
        ),
        ("streams: [{name: a, chekcs: []}]", "did you mean `checks`"),
        ("false_alarms: {weeks: 8, calls: 100}", "either `weeks` or `calls`"),
        ("tell: {webhook: https://x.example/y}", "belong together"),
        ("tell: {webhook: 'http://x.example/y', secret: S}", "needs https://"),
        ("tell: {webhook: 'https://u:p@x.example/y', secret: S}", "without user or password"),
        ("tell: {webhook: 'file:///etc/passwd', secret: S}", "needs an address"),
        ("tell: {slack: general}", "needs the id of a channel"),
        ("investigate: {}", "`max_usd` is missing"),
        ("- a", "holds no keys"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(folder: Path, text: str, problem: str) -> None:
    (folder / "watch.yaml").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"watch\.yaml") as error:
        read_watch(load_project(folder))
    assert problem in str(error.value)


def test_the_secret_comes_from_the_environment_and_a_short_one_is_refused() -> None:
    told = WatchFile.model_validate({"tell": {"webhook": "https://x.example/y", "secret": "WATCH_SECRET"}})
    with pytest.raises(UsageError, match="WATCH_SECRET is not set"):
        secret_of_webhook(told, {})
    with pytest.raises(UsageError, match="fewer than 16"):
        secret_of_webhook(told, {"WATCH_SECRET": "short"})
    assert secret_of_webhook(told, {"WATCH_SECRET": "s" * 16}) == "s" * 16


# ---------------------------------------------------------------- the command


def test_the_command_looks_once_and_prints_one_json_object(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    calls(store, "r" * 40, start=time.time() - 4000)
    at = ["--project", str(folder)]
    assert main(["watch", "--once", "--json", *at]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "reroll.watch/1"
    assert shown["streams"][0]["n"] == 40
    assert [event["kind"] for event in shown["events"]] == ["began"]
    assert main(["watch", "--replay", "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["streams"][0]["n"] == 40
    assert main(["watch", "--replay", *at]) == 0
    assert "it would have raised 0" in capsys.readouterr().out
    assert main(["watch", "--replay", "--once", *at]) == 2
    (folder / "watch.yaml").write_text("stream: []\n", encoding="utf-8")
    assert main(["watch", "--once", *at]) == 2
    assert "watch.yaml:1" in capsys.readouterr().err


def test_killed_and_started_again_it_counts_each_call_once_and_a_signal_ends_it_cleanly(
    folder: Path, store: Store
) -> None:
    line = [sys.executable, "-m", "reroll", "watch", "--project", str(folder)]
    calls(store, "r" * 20, start=time.time() - 2000)
    seen = 20
    for round in range(2):
        process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        assert process.stderr is not None
        assert "Watching" in process.stderr.readline()
        calls(store, "r" * 300, start=time.time() - 1000, gap=1.0, first=seen)
        seen += 300
        _until(lambda: sum(one.body["n"] for one in store.watched("meetings")) > 0)
        last = round == 1
        if last:
            _until(lambda seen=seen: {one.body["n"] for one in store.watched("meetings")} == {seen})  # type: ignore[misc]
        os.kill(process.pid, signal.SIGTERM if last else signal.SIGKILL)
        _, problem = process.communicate(timeout=30)
        assert process.returncode == (0 if last else -signal.SIGKILL), problem


def _until(holds: Any) -> None:
    end = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)
