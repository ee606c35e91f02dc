"""A report's whole life on one page, from what the store and the project's files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from reroll.applying import APPLIED, into_suite
from reroll.case import Case, Report
from reroll.check import Check
from reroll.init import init_project
from reroll.project import REPORTED, load_project
from reroll.store import Store
from reroll.store_watch import NewAlarm, WatchStep
from reroll.web.pages_life import Step, moments_of, steps_of
from reroll.web.reporting import said_once

CASE = Case(id="mail", input={"request": "Write to Ana"}, checks=(Check.of("contains", "Ana"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_project(tmp_path / "p")
    (tmp_path / "p" / REPORTED).parent.mkdir()
    written = "cases:\n- id: mail\n  input: {request: Write to Ana}\n  checks:\n  - contains: Ana\n"
    (tmp_path / "p" / REPORTED).write_text(written)
    return tmp_path / "p"


@pytest.fixture
def store(folder: Path) -> Store:
    return Store.open(folder / ".reroll" / "store.sqlite")


def steps(store: Store, folder: Path) -> dict[str, Step]:
    reports = [one for one in store.reports() if one.report.case_id == CASE.id]
    return {one.title: one for one in steps_of(store, load_project(folder), CASE, reports)}


def decided(store: Store, rule: str, verdict: str, **evidence: object) -> None:
    given = {"fix": {"id": "x1", "fix": "tone"}, **evidence}
    case = None if rule == APPLIED else CASE.id
    store.add_decision(rule=rule, question="fix", verdict=verdict, case_id=case, evidence=given)


def test_what_was_only_reported_says_what_each_next_step_takes(store: Store, folder: Path) -> None:
    store.put_report(Report(words="It forgot Ana", case_id=CASE.id, by="lena"))
    found = steps(store, folder)
    assert [one.done for one in found.values()] == [True, False, False, False, False, False]
    assert found["Reported"].said == "1 report, the first by lena"
    assert "reroll apply" in found["Held by a test"].said


def test_each_step_is_done_when_it_was_seen_to_be_done(store: Store, folder: Path) -> None:
    report = store.put_report(Report(words="It forgot Ana", case_id=CASE.id, by="lena"))
    store.add_finding("rerun", {}, case_id=CASE.id, line="3 of 10 failed")
    decided(store, "fix/1", "reject")
    assert steps(store, folder)["Mended"] == Step(
        "Mended", False, "1 trial of fixes, none accepted.", "/cases/mail/fixes"
    )
    decided(store, "fix/1", "accept")
    assert "accepted, and is not applied: `reroll apply tone`" in steps(store, folder)["Mended"].said
    decided(store, APPLIED, "applied", cases=[CASE.id])
    assert into_suite(load_project(folder), [CASE.id]) == (CASE.id,)
    store.mark_report(report, "status", "mended", "bo")
    decided(store, "pytest/1", "green")
    found = steps(store, folder)
    assert (found["Mended"].done, found["Held by a test"].done) == (True, True)
    assert found["Held by a test"].said == "`pytest --reroll .` runs it; the last run was green."
    happened = [one.said for one in moments_of(store, CASE, store.reports())]
    assert happened == [
        "The test of the suite was green",
        "bo set the status to “mended”",
        "The fix tone was applied",
        "rerun: 3 of 10 failed",
        "lena reported: “It forgot Ana”",
    ]


def test_a_fix_that_was_taken_out_again_mends_nothing_any_more(store: Store, folder: Path) -> None:
    undo = [{"part": "system.tone", "was": None, "is": "Be brief.", "behind": []}]
    decided(store, APPLIED, "applied", cases=[CASE.id], undo=undo)
    mended = steps(store, folder)["Mended"]
    assert (mended.done, mended.said) == (False, "The fix tone was applied, and is not in the program any more.")
    text = (folder / "program.yaml").read_text()
    (folder / "program.yaml").write_text(text.replace("system:", "system:\n  tone: Be brief.", 1))
    mended = steps(store, folder)["Mended"]
    assert (mended.done, mended.said) == (False, "The fix tone was applied; no trial has accepted it.")
    decided(store, "fix/1", "accept")
    mended = steps(store, folder)["Mended"]
    assert (mended.done, mended.said) == (True, "The fix tone was applied; it was accepted when it was tried.")


def test_a_test_that_is_red_holds_nothing(store: Store, folder: Path) -> None:
    assert into_suite(load_project(folder), [CASE.id]) == (CASE.id,)
    for shade in ("green", "red"):
        decided(store, "pytest/1", shade)
        held = steps(store, folder)["Held by a test"]
        assert (held.done, f"the last run was {shade}" in held.said) == (shade == "green", True)


def test_a_report_that_the_measuring_command_kept_again_is_one_and_keeps_its_name(store: Store) -> None:
    for by in ("lena", None):
        store.put_report(Report(words="It forgot Ana", case_id=CASE.id, by=by))
    store.put_report(Report(words="It forgot Bo", case_id=CASE.id))
    store.put_report(Report(words="2 of 9 failed", case_id=CASE.id, saw="{}", by="reroll watch"))
    store.put_report(Report(words="2 of 9 failed", case_id=CASE.id))  # the command was not told what was seen
    store.put_report(Report(words="2 of 9 failed", case_id="other"))
    assert [(place, one.report.words, one.report.by) for place, one in said_once(store.reports())] == [
        (1, "It forgot Ana", "lena"),
        (3, "It forgot Bo", None),
        (4, "2 of 9 failed", "reroll watch"),
        (6, "2 of 9 failed", None),
    ]


def test_a_fix_that_was_applied_for_another_case_mends_nothing_here(store: Store, folder: Path) -> None:
    decided(store, APPLIED, "applied", cases=["another"])
    assert not steps(store, folder)["Mended"].done


def test_an_alarm_of_the_watch_is_a_step_that_is_done_when_it_is_shown_to_be_over(store: Store, folder: Path) -> None:
    assert "watch.yaml" in steps(store, folder)["Watched"].said
    report = Report(words="Since 12:00, 3 of 4 calls failed.", case_id=CASE.id, by="reroll watch")
    store.watch("w", {})
    alarm = NewAlarm("wa1:0", "k", "worse", "open", 5.0, {"words": report.words}, (report, None))
    assert store.keep_look("w", 0, 1, WatchStep({}, alarms=[alarm]))
    assert steps(store, folder)["Watched"] == Step("Watched", False, report.words, "/watch")
    over = WatchStep({}, resolved=[("wa1:0", 9e9, {"over": "Over: it is back."})])
    assert store.keep_look("w", 1, 2, over)
    assert steps(store, folder)["Watched"] == Step("Watched", True, "Over: it is back.", "/watch")
    assert moments_of(store, CASE, store.reports())[0].said == "Over: it is back."
