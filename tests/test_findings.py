"""What a command found is kept whole, linked to what it is about, and never at the cost of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reroll.cli import main
from reroll.errors import StoreError, UsageError
from reroll.findings import about, keep_finding, line_of
from reroll.store import Store
from reroll.store_rows_web import finding_bytes, finding_json

WORDS = 'I tried "Lunch with Ana next Friday at noon" and it failed'


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["init", str(tmp_path / "meetings")]) == 0
    capsys.readouterr()
    return tmp_path / "meetings"


def kept(folder: Path) -> Store:
    return Store.open(folder / ".reroll" / "store.sqlite")


def test_an_investigation_is_kept_as_it_was_printed_and_linked_to_its_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--no-forks", "--no-cause", "--no-fixes", "--quiet", "--json", "--project", str(folder)]
    assert main(["investigate", WORDS, *more]) == 0
    printed = json.loads(capsys.readouterr().out)
    with kept(folder) as store:
        [found] = store.findings()
        [report] = store.reports()
        assert store.finding_body(found.id) == printed
        assert (found.command, found.case_id, found.report_id) == ("investigate", "next-friday", report.id)
        assert found.line == printed["text"].partition(". ")[0] + "."
        assert found.verdict == printed["luck"]["verdict"]
        assert store.newest_of_reports([report.id])[report.id] == found


def test_a_section_is_printed_alone_and_the_whole_answer_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", "half-seven", "--quiet", "--json", "--project", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "reroll.luck/1"
    with kept(folder) as store:
        [found] = store.findings(command="rerun")
        assert store.finding_body(found.id)["schema"] == "reroll.answer/1"


def test_listings_leave_no_finding_and_the_demo_none_in_this_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["rerun", "half-seven", "--quiet", "--project", str(folder)]) == 0
    for words in (
        ["samples"],
        ["samples", "--group"],
        ["ledger"],
        ["ideas"],
        ["certify", "--explain", "--target", ".9"],
    ):
        assert main([*words, "--project", str(folder)]) == 0
    monkeypatch.chdir(folder)
    assert main(["demo", "--budget", "60", "--quiet"]) == 0
    with kept(folder) as store:
        assert [one.command for one in store.findings()] == ["rerun"]


def test_a_store_that_cannot_take_it_costs_a_line_and_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_finding("rerun", {"text": "x"}, tmp_path / "nowhere", None)
    assert "could not be kept for the pages" in capsys.readouterr().err
    keep_finding("samples", {"text": "x"}, tmp_path / "nowhere", None)
    assert capsys.readouterr().err == ""


def test_a_million_outcomes_are_packed_and_come_back_whole() -> None:
    said = ["pass", "fail", "invalid", "pass"] * 250_000
    packed = finding_bytes({"outcomes": said, "x": 1})
    assert len(packed) < 2000
    assert finding_json(packed) == {"outcomes": said, "x": 1}


def test_keys_in_use_are_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-1234567890")
    with Store.open(tmp_path / "store.sqlite") as store:
        id = store.add_finding("rerun", {"text": "it said sk-very-secret-key-1234567890"})
        assert "secret-key" not in json.dumps(store.finding_body(id))
        job, _ = store.ask_job(["rerun", "--", "a"], title="t", key="k", by="me")
        store.end_job(job.id, "failed", message="401: sk-very-secret-key-1234567890 is wrong")
        assert "secret-key" not in store.job(job.id).message


def test_what_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        for ask in (store.finding, store.finding_body, store.job, store.stop_job, store.revoke_token):
            with pytest.raises(UsageError, match="has the id `x`"):
                ask("x")
        with pytest.raises(UsageError, match="has the id `x`"):
            store.mark_report("x", "status", "mended", "ana")
        assert (store.findings(), store.jobs(), store.tokens(), store.report_marks(["x"])) == ([], [], [], {})
    with pytest.raises(StoreError, match="was closed"):
        store.jobs()


def test_the_newest_word_on_a_report_counts_and_all_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["rerun", "half-seven", "--quiet", "--project", str(folder)])
    with kept(folder) as store:
        [report] = store.reports()
        for status in ("open", "mended", "open"):
            store.mark_report(report.id, "status", status, "ana")
        store.mark_report(report.id, "owner", "ben", "ana")
        assert store.report_marks([report.id]) == {report.id: {"status": "open", "owner": "ben"}}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"text": "One. Two."}, "One."),
        ({"text": "99.5 % of runs work, see a.b.c"}, "99.5 % of runs work, see a.b.c"),
        ({"rate": {"failures": 2, "n": 5}}, "2 of 5 runs failed."),
        ({"rate": {"failures": 0, "n": 0}}, ""),
        ({}, ""),
    ],
)
def test_a_finding_has_one_plain_line(body: dict[str, object], line: str) -> None:
    assert line_of(body) == line
    assert about(body)["line"] == line
