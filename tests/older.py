"""What stores of earlier versions hold in every table that they have: a row each, as that version wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from reroll import store_schema
from reroll.store import Store
from reroll.store_rows import Evaluation, Origin

__all__ = ["add_rows", "has_what_was_added"]

SECRET = "rr_an-old-secret-of-32-letters-or-so"
# JSON packed with zstd: {"schema":"reroll.certify/1","verdict":"met"}
FINDING = bytes.fromhex(
    "28b52ffd202d6901007b22736368656d61223a227265726f6c6c2e636572746966792f31222c2276657264696374223a226d6574227d"
)
ROWS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "0001": {
        "reports": {
            "id": "rp_1",
            "program_id": "p1:0",
            "case_id": "a",
            "body": '{"words":"it failed","case_id":"a"}',
            "put_us": 1,
        },
        "checks": {"id": "k1:0", "first_us": 3},
    },
    "0003": {
        "probes": {"identity": "m", "version": "m-1", "probe": 1, "capabilities": '{"n":true}', "probed_us": 2_000_000}
    },
    "0004": {
        "findings": {
            "id": "f_1",
            "command": "certify",
            "case_id": "a",
            "program_id": "p1:0",
            "report_id": "rp_1",
            "verdict": "met",
            "line": "works",
            "body": FINDING,
            "made_us": 5,
        },
        "jobs": {
            "id": "j_1",
            "key": "jk1:0",
            "words": '["rerun","--","a"]',
            "title": "Running a again",
            "asked_by": "ana",
            "case_id": "a",
            "state": "done",
            "asked_us": 6,
            "changed_us": 7,
            "finding_id": "f_1",
            "message": "",
            "max_calls": 40,
            "usd": 0.25,
        },
        "job_questions": {"job_id": "j_1", "n": 0, "question": '{"q":1}', "answer": "pass", "by": "ana", "asked_us": 6},
        "report_marks": {"report_id": "rp_1", "what": "status", "value": "mended", "by": "ana", "at_us": 8},
        "access_tokens": {
            "id": "t_1",
            "hash": hashlib.sha256(SECRET.encode()).hexdigest(),
            "name": "ana",
            "scopes": '["read","run"]',
            "max_usd": 2.0,
            "made_us": 9,
        },
    },
    "0005": {
        "slack_events": {
            "event_id": "Ev1",
            "channel": "C1",
            "ts": "1.0",
            "kind": "mention",
            "body": '{"text":"why?"}',
            "seen_us": 10,
        },
        "slack_asks": {
            "id": "sa_1",
            "cause": "Ev1",
            "channel": "C1",
            "thread": "1.0",
            "asked_by": "U1",
            "what": "rerun",
            "state": "open",
            "about": "{}",
            "made_us": 10,
        },
        "slack_outbox": {
            "key": "k",
            "channel": "C1",
            "method": "chat.postMessage",
            "body": '{"text":"hi"}',
            "state": "waiting",
            "tries": 0,
            "next_us": 0,
            "problem": "",
            "made_us": 10,
        },
    },
    "0006": {"origins": {"sample_id": "s_two", "trace": "t1", "span": "s1", "response": "chatcmpl-1"}},
    "0007": {
        "watches": {"name": "w", "seen": 2, "history": 1, "body": '{"a":1}', "began_us": 11, "changed_us": 11},
        "watch_streams": {"watch": "w", "key": "k", "named": '{"case":"a"}', "body": '{"n":2}', "changed_us": 11},
        "watch_alarms": {
            "id": "wa_1",
            "watch": "w",
            "stream": "k",
            "kind": "worse",
            "state": "open",
            "body": '{"at":2}',
            "report_id": "rp_1",
            "raised_us": 12,
        },
        "watch_posts": {
            "key": "wa_1:0:alarm",
            "watch": "w",
            "body": '{"a":1}',
            "state": "waiting",
            "tries": 0,
            "next_us": 0,
            "problem": "",
            "made_us": 12,
        },
    },
    "0009": {
        "evaluations": {
            "key": b"k",
            "trace": "t1",
            "span": "s1",
            "response": "",
            "name": "right",
            "label": "fail",
            "comment": "",
            "sample_id": "s_two",
            "came_us": 13,
        },
    },
}


def add_rows(connection: Connection, version: str) -> None:
    """The rows that a store of this version may have had, in its own tables."""
    for since, tables in ROWS.items():
        if since <= version:
            for name, row in tables.items():
                connection.execute(store_schema.metadata.tables[name].insert(), row)


def has_what_was_added(store: Store, version: str) -> None:
    """All of it is read, through what the commands and pages read it by."""
    assert [(one.id, one.report.words) for one in store.reports()] == [("rp_1", "it failed")]
    if version >= "0003":
        assert [(one.version, one.capabilities) for one in store.probes("m")] == [("m-1", {"n": True})]
    if version >= "0004":
        (finding,) = store.findings(report_id="rp_1")
        assert (finding.id, finding.verdict, finding.line) == ("f_1", "met", "works")
        assert store.finding_body("f_1") == {"schema": "reroll.certify/1", "verdict": "met"}
        job = store.job("j_1")
        assert (job.words, job.state, job.usd, job.finding_id) == (("rerun", "--", "a"), "done", 0.25, "f_1")
        assert store.answer_of("j_1", 0) == "pass"
        assert store.report_marks(["rp_1"]) == {"rp_1": {"status": "mended"}}
        token = store.token_of(SECRET)
        assert token is not None
        assert (token.name, token.scopes, token.max_usd) == ("ana", ("read", "run"), 2.0)
    if version >= "0005":
        assert [event.event_id for event in store.open_events()] == ["Ev1"]
        ask = store.ask("sa_1")
        assert ask is not None
        assert (ask.what, ask.state, ask.thread) == ("rerun", "open", "1.0")
        assert [message.key for message in store.unsent()] == ["k"]
    if version >= "0006":
        assert store.origins(["s_one", "s_two"]) == {"s_two": Origin("t1", "s1", "chatcmpl-1")}
    if version >= "0007":
        watch = store.watch("w")
        assert watch is not None
        assert (watch.seen, watch.history, watch.body) == (2, 1, {"a": 1})
        assert [(one.key, one.body) for one in store.watched("w")] == [("k", {"n": 2})]
        assert [(one.id, one.state, one.body) for one in store.alarms_of(["rp_1"])] == [("wa_1", "open", {"at": 2})]
        assert [post.key for post in store.posts_due("w")] == ["wa_1:0:alarm"]
    if version >= "0009":
        assert store.evaluations(["s_two"]) == {"s_two": [Evaluation("t1", "s1", "", "right", "fail")]}
