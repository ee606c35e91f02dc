"""What the store remembers of Slack, in both databases: events taken once, asks changed once, messages sent by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from reroll.store import Store
from tests import postgres

ASK = {"channel": "C1", "thread": "1.1", "asked_by": "UANA", "what": "investigate", "state": "offered"}


server, store = postgres.server, postgres.either_store


def test_an_event_is_taken_once_by_its_id_and_once_by_its_message(store: Store) -> None:
    with ThreadPoolExecutor(8) as many:
        taken = list(
            many.map(lambda _: store.take_event("Ev1", "C1", "1.1", "mention", {"text": "é\0\ud83d"}), range(16))
        )
    assert sum(taken) == 1
    assert not store.take_event("Ev2", "C1", "1.1", "mention", {})
    assert store.take_event("Ev3", "C1", "1.1", "message", {})
    assert [event.event_id for event in store.open_events()] == ["Ev1", "Ev3"]
    store.end_event("Ev1")
    assert [event.event_id for event in store.open_events()] == ["Ev3"]
    assert not store.take_event("Ev1", "C1", "1.1", "mention", {})


def test_an_event_asks_for_one_thing_and_of_many_who_start_it_one_does(store: Store) -> None:
    asked = store.add_ask("Ev1", about={"told": {"case": "a"}}, **ASK)
    assert store.add_ask("Ev1", about={}, **ASK) == asked
    with ThreadPoolExecutor(8) as many:
        started = list(many.map(lambda _: store.change_ask(asked.id, was="offered", state="running"), range(16)))
    assert sum(started) == 1
    other = store.add_ask("Ev2", case_id="a", report_id="r", **{**ASK, "thread": "2.1"})
    assert [one.id for one in store.asks()] == [other.id, asked.id]
    assert [one.id for one in store.asks(thread=("C1", "1.1"))] == [asked.id]
    assert [one.id for one in store.asks(states=("running",))] == [asked.id]
    assert store.asks(report_id="r") == [other]
    assert store.ask_of("Ev2") == other
    assert store.ask("w_none") is None


def test_what_was_spent_counts_what_runs_with_all_that_it_may_cost(store: Store) -> None:
    keep = {"title": "t", "by": "slack:UANA"}
    job, _ = store.ask_job(["rerun"], key="k", **keep)
    asked = store.add_ask("Ev1", **ASK)
    assert store.spent_on_slack(0, asked_by="UANA") == 0.0  # only offered
    store.change_ask(asked.id, was="offered", state="running", job_id=job.id, max_usd=2.0)
    assert store.spent_on_slack(0, asked_by="UANA") == 2.0
    store.end_job(job.id, "done", usd=0.5)
    assert store.spent_on_slack(0, channel="C1") == 0.5
    assert store.spent_on_slack(0, asked_by="UBEN") == 0.0
    assert store.spent_on_slack(1 << 60, asked_by="UANA") == 0.0  # longer ago
    other, _ = store.ask_job(["rerun", "b"], key="l", **keep)
    store.add_ask("Ev2", job_id=other.id, **{**ASK, "state": "running"})
    assert store.spent_on_slack(0, asked_by="UANA") is None


def test_a_message_is_said_once_and_sent_by_one(store: Store) -> None:
    assert store.send("a", "C1", "post", {"text": "hello"})
    assert not store.send("a", "C1", "post", {"text": "hello again"})
    assert store.send("b", "C1", "post", {"text": "later"})
    first, _ = store.unsent()
    assert (first.key, first.body, first.tries) == ("a", {"text": "hello"}, 0)
    with ThreadPoolExecutor(8) as many:
        claimed = list(many.map(lambda _: store.claim_message(first.seq, 60), range(16)))
    assert sum(claimed) == 1
    assert store.claim_message(first.seq, -1)  # whoever had it is silent
    store.retry_message(first.seq, 60, "ratelimited")
    assert not store.claim_message(first.seq, 60)  # not yet
    store.end_message(first.seq, "sent", ts="1.2")
    assert [one.key for one in store.unsent()] == ["b"]
    kept = store.message("a")
    assert kept is not None
    assert (kept.ts, kept.body, kept.tries) == ("1.2", {}, 2)


def test_no_key_that_is_in_use_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-very-secret")
    store.take_event("Ev1", "C1", "1.1", "mention", {"text": "it is xoxb-very-secret"})
    store.send("a", "C1", "post", {"text": "xoxb-very-secret"})
    store.add_ask("Ev1", about={"words": "xoxb-very-secret"}, **ASK)
    shown = repr([store.open_events(), store.unsent(), store.asks()])
    assert "xoxb-very-secret" not in shown
    assert shown.count("[secret]") == 3
