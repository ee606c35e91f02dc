"""Jobs, findings, marks and tokens in both databases: asked once, run by one, taken over, ended by whoever has it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from reroll.check import Outcome
from reroll.sample import Completion, Sample
from reroll.store import Store
from tests import postgres

KEEP = {"title": "t", "by": "ana"}


server, store = postgres.server, postgres.either_store


def test_however_many_ask_at_once_there_is_one_job_and_the_next_one_comes_after_its_end(store: Store) -> None:
    def ask(k: int) -> tuple[str, bool]:
        job, new = store.ask_job(["rerun", "--", "a"], key="same", **KEEP)
        return job.id, new

    with ThreadPoolExecutor(8) as people:
        asked = list(people.map(ask, range(24)))
    assert len({id for id, _ in asked}) == 1
    assert sum(new for _, new in asked) == 1
    other, new = store.ask_job(["rerun", "--", "b"], key="other", **KEEP)
    assert new
    assert [job.id for job in store.jobs()] == [other.id, asked[0][0]]
    assert store.end_job(asked[0][0], "done", finding_id="f_x", usd=0.25)
    assert not store.end_job(asked[0][0], "failed")
    again, new = store.ask_job(["rerun", "--", "a"], key="same", **KEEP)
    assert new
    assert again.words == ("rerun", "--", "a")


def test_one_of_many_workers_has_a_job_until_it_falls_silent(store: Store) -> None:
    job, _ = store.ask_job(["rerun", "--", "a"], key="k", **KEEP)
    with ThreadPoolExecutor(8) as workers:
        had = list(workers.map(lambda k: store.claim_job(job.id, f"w{k}"), range(16)))
    assert sum(had) == 1
    first = f"w{had.index(True)}"
    assert store.beat(job.id, first, {"calls": 3, "strip": "pfp"}) is False
    assert store.job(job.id).progress == {"calls": 3, "strip": "pfp"}
    assert store.stale_jobs(60) == []
    assert [one.id for one in store.stale_jobs(-1)] == [job.id]
    assert store.claim_job(job.id, "second", stale_seconds=-1)
    assert store.beat(job.id, first) is None  # it has it no more
    assert not store.end_job(job.id, "done", worker=first)
    store.stop_job(job.id)
    assert store.beat(job.id, "second") is True
    assert store.end_job(job.id, "stopped", worker="second")
    assert store.beat(job.id, "second") is None


def test_the_first_answer_to_a_question_counts_and_an_open_one_is_asked_once(store: Store) -> None:
    assert store.open_question("j") is None
    assert store.ask_person("j", {"text": "a"}) == 0
    assert store.ask_person("j", {"text": "a again"}) == 0  # the worker that asked was lost
    assert store.open_question("j") == (0, {"text": "a again"})
    assert store.answer_of("j", 0) is None
    assert store.answer_question("j", 0, "pass", "ana")
    assert not store.answer_question("j", 0, "fail", "ben")
    assert (store.answer_of("j", 0), store.open_question("j")) == ("pass", None)
    assert store.ask_person("j", {"text": "b"}) == 1


def test_findings_come_newest_first_and_whole(store: Store) -> None:
    bodies = [{"case": "a", "n": k, "outcomes": ["pass", "fail"] * k} for k in range(3)]
    ids = [
        store.add_finding("rerun", body, case_id="a", verdict="undecided", line=f"line {k}")
        for k, body in enumerate(bodies)
    ]
    store.add_finding("cause", {"x": "é\0\ud83d"}, case_id="b", report_id="r")
    assert [one.id for one in store.findings(case_id="a")] == ids[::-1]
    assert [store.finding_body(id) for id in ids] == bodies
    assert [one.line for one in store.findings(command=("rerun", "cause"), case_id="a", limit=1)] == ["line 2"]
    assert list(store.newest_of_reports(["r", "none"])) == ["r"]


def test_a_token_is_known_by_its_secret_alone_and_spends_what_its_jobs_cost(store: Store) -> None:
    id, secret = store.new_token("ci", ("run",), 5.0)
    found = store.token_of(secret)
    assert found is not None
    assert (found.id, found.scopes, found.max_usd) == (id, ("read", "run"), 5.0)
    assert store.token_of(secret + "x") is None
    assert store.spent_by_token(id) == 0.0
    never, _ = store.ask_job(["rerun", "--", "c"], key="m", token_id=id, max_usd=2.0, **KEEP)
    store.stop_job(never.id)  # before it began
    assert store.spent_by_token(id) == 0.0
    job, _ = store.ask_job(["rerun", "--", "a"], key="k", token_id=id, max_usd=2.0, **KEEP)
    assert store.spent_by_token(id) == 2.0  # while it runs, all that it may cost
    store.end_job(job.id, "done", usd=0.5)
    assert store.spent_by_token(id) == 0.5
    other, _ = store.ask_job(["rerun", "--", "b"], key="l", token_id=id, **KEEP)
    store.end_job(other.id, "done", usd=None)
    assert store.spent_by_token(id) is None
    store.revoke_token(id)
    store.revoke_token(id)
    assert store.token_of(secret) is None


def test_a_glance_says_the_worst_of_all_checks_and_why(store: Store) -> None:
    place = {"request_id": "r", "series": "s", "program_id": "p", "case_id": "a"}
    ids = [store.add_sample(Sample(Completion(f"{k}")), idx=k, **place) for k in range(4)]
    store.add_outcomes(ids[0], [("k1", Outcome("pass", "", "one")), ("k2", Outcome("fail", "bad", "two"))])
    store.add_outcomes(ids[1], [("k1", Outcome("pass", "", "one")), ("k2", Outcome("pass", "", "two"))])
    store.add_outcomes(ids[2], [("k1", Outcome("pass", "", "one"))])
    store.add_outcomes(ids[3], [("k2", Outcome("fail", "bad", "two"))])  # by one check only: were it counted, and
    # those left open that pass it, the share that fails would be too high
    rows = store.judged_after("a", ["k1", "k2"])
    assert [(code, why) for *_, code, why in rows] == [(2, "two\x1fbad"), (0, None), (None, None), (None, None)]
    assert [row[0] for row in store.judged_after("a", ["k1"], rows[1][0])] == [rows[2][0], rows[3][0]]
    assert [row[4] for row in store.judged_of([rows[2][0]], ["k1"])] == [0]
    [count] = store.case_counts()
    assert (count.case_id, count.n) == ("a", 4)
