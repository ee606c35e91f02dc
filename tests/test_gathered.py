"""What a page knows of a case: the longest answer stands, what others examined is added, nothing is taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reroll.answer import CauseSection, NotExamined
from reroll.cli import main
from reroll.store import Store
from reroll.web.gathered import MOST, Gathered, earlier_cause, gathered
from reroll.web.home import Home
from reroll.web.pages_inbox import Card, cards_of

ASKED = "Dinner with Omar on Friday at half seven"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "meetings")]) == 0
    return tmp_path / "meetings"


def asked(folder: Path, *words: str) -> None:
    assert main([*words, "--seed", "7", "--quiet", "--yes", "--project", str(folder)]) in (0, 1, 3)


def known(folder: Path, report_id: str | None = None) -> Gathered:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        return gathered(store, "half-seven", report_id)


def test_a_few_runs_more_take_nothing_back_and_are_shown_beside_it(folder: Path) -> None:
    asked(folder, "investigate", "--case", "half-seven", "--no-forks", "--no-fixes", "--budget", "300")
    before = known(folder)
    assert before.luck is not None
    assert isinstance(before.cause, CauseSection)
    asked(folder, "rerun", "half-seven", "--fresh", "--budget", "4")
    after = known(folder)
    assert after.again is not None
    assert before.answer is not None
    told = before.answer.alpha_total + after.again[1].alpha_total  # what stands beside it may be wrong as well
    assert after.finding == before.finding
    assert after.answer == replace(before.answer, alpha_total=min(1.0, told))
    assert after.again[0].command == "rerun"
    assert len(after.again[1].outcomes) <= 4
    assert before.again is None


def test_what_the_longest_answer_left_out_is_taken_from_another_and_its_error_chance_is_added(folder: Path) -> None:
    asked(folder, "investigate", "--case", "half-seven", "--no-forks", "--no-fixes", "--budget", "300")
    short = known(folder)
    assert short.answer is not None
    assert short.luck is not None
    assert isinstance(short.cause, CauseSection)
    more = str(short.luck.rate.n + 60)
    asked(folder, "certify", "half-seven", "--target", "0.4", "--fresh", "--budget", more)
    whole = known(folder)
    if whole.finding == short.finding:  # it was decided in fewer runs
        pytest.fail("the certificate took fewer runs than the answer before; ask for more")
    assert whole.finding is not None
    assert whole.finding.command == "certify"
    assert whole.cause == short.cause
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        alone = store.finding_body(whole.finding.id)
    assert isinstance(alone["alpha_total"], float)
    assert whole.answer is not None
    more_claims = short.cause.alpha + short.luck.reference.alpha  # the certificate had spent as much on luck, unused
    assert whole.answer.alpha_total == pytest.approx(min(1.0, alone["alpha_total"] + more_claims))


def test_a_certificate_takes_nothing_back_of_what_was_found_before_it(folder: Path) -> None:
    asked(folder, "investigate", "--case", "half-seven", "--no-forks", "--no-fixes", "--budget", "300")
    before = known(folder)
    assert before.luck is not None
    assert before.luck.verdict == "worse_than_reference"
    assert before.cause is not None
    cards = [{"fix": "a", "verdict": "accept"}]
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        body = {"schema": "reroll.try/1", "alpha": 0.05, "fixes": cards, "best": "a"}
        store.add_finding("try", body, case_id="half-seven", program_id=before.finding and before.finding.program_id)
    asked(folder, "certify", "half-seven", "--target", "0.99")
    after = known(folder)
    assert after.finding is not None
    assert after.finding.command == "certify", "it has as many runs, and is newer"
    assert after.luck is not None
    assert (after.luck.verdict, after.luck.reference_rate) == (before.luck.verdict, before.luck.reference_rate)
    assert (after.cause, after.cards) == (before.cause, cards)
    assert after.answer is not None
    assert before.answer is not None
    assert after.answer.cost.calls >= before.answer.cost.calls > 0, "the page is made of both"
    for words in (
        "this was not just one unlucky try",
        "you may not say “99 % reliable”",
        before.cause.brief,
        "help: a.",
    ):
        assert words in after.answer.text
    assert after.answer.text.startswith(card(folder).line)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        assert "to compare with" not in store.finding_body(after.finding.id)["text"], "certify was not asked that"


def test_verdicts_on_fixes_that_stand_on_the_page_count_among_its_claims(folder: Path) -> None:
    asked(folder, "rerun", "half-seven", "--budget", "10")
    before = known(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        cards = [{"fix": "a", "verdict": "accept"}, {"fix": "b", "verdict": "undecided"}]
        body = {"schema": "reroll.try/1", "alpha": 0.05, "fixes": cards, "best": "a"}
        store.add_finding("try", body, case_id="half-seven", program_id=before.finding and before.finding.program_id)
    after = known(folder)
    assert before.answer is not None
    assert after.answer is not None
    assert after.answer.alpha_total == pytest.approx(before.answer.alpha_total + 0.05)


def test_very_many_short_answers_leave_the_longest_where_it_is(folder: Path) -> None:
    asked(folder, "investigate", "--case", "half-seven", "--no-forks", "--no-cause", "--no-fixes", "--budget", "300")
    asked(folder, "rerun", "half-seven", "--fresh", "--budget", "4")
    before = known(folder)
    assert before.finding is not None
    assert before.again is not None
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        body = store.finding_body(before.again[0].id)
        for _ in range(MOST):
            store.add_finding("rerun", body, case_id="half-seven", program_id=before.finding.program_id)
    assert known(folder).finding == before.finding


def test_an_answer_to_another_program_is_not_mixed_in(folder: Path) -> None:
    asked(folder, "investigate", "--case", "half-seven", "--no-forks", "--no-fixes", "--budget", "300")
    program = folder / "program.yaml"
    program.write_text(program.read_text().replace("temperature: 1", "temperature: 0.9"))
    asked(folder, "rerun", "half-seven", "--budget", "10")
    now = known(folder)
    assert now.finding is not None
    assert now.finding.command == "rerun"
    assert now.answer is not None
    assert isinstance(now.answer.cause, NotExamined)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        earlier = earlier_cause(store, "half-seven")
    assert earlier is not None, "what was found before the program changed is still what was found"
    assert earlier[0].command == "investigate"
    program.write_text(program.read_text().replace("temperature: 0.9", "temperature: 0.8"))
    asked(folder, "rerun", "half-seven", "--budget", "0")
    assert known(folder).finding == now.finding, "an answer without a run takes the place of none"
    assert (card(folder).line, card(folder).changed) == (now.finding.line, "the program")


def test_the_home_page_says_of_a_case_what_its_own_page_says_first(folder: Path) -> None:
    assert card(folder) == Card("half-seven", ASKED, "not measured yet", "")
    asked(folder, "rerun", "half-seven", "--budget", "0")
    assert card(folder) == Card("half-seven", ASKED, "not measured yet", "")
    asked(folder, "rerun", "half-seven", "--budget", "30")
    asked(folder, "rerun", "half-seven", "--fresh", "--budget", "3")  # fewer: the page goes on with the longer one
    finding = known(folder).finding
    assert finding is not None
    assert "3 more times" not in finding.line
    assert card(folder) == Card("half-seven", ASKED, finding.line, "")
    cases = folder / "cases.yaml"
    cases.write_text(cases.read_text().replace("half seven", "half eight"))
    assert (card(folder).line, card(folder).changed) == (finding.line, "the request")


def card(folder: Path) -> Card:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        return next(one for one in cards_of(Home(folder, store)) if one.id == "half-seven")
