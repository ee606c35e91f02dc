"""The reply says what was shown, in plain words, and nothing more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.answer import CertifySection, NotExamined, Price, Reference
from reroll.conclude import certify_section, luck_section
from reroll.words import bounds, headline, reply

CONTROLS = Reference(0.036, "controls", 0, 100, 0.05)
GIVEN = Reference(0.02, "given")
NONE = Reference(None, "none")
NO_TARGET = NotExamined("no target", Price(None, None))


def said(outcomes: list[str], reference: Reference = CONTROLS, target: float | None = 0.99) -> str:
    return reply(luck_section(outcomes, reference, target, 0.05), certify_section(outcomes, target, 0.05))


def test_a_case_that_fails_half_the_time_is_not_just_bad_luck() -> None:
    text = said(["fail", "pass"] * 5)
    assert text.startswith("I ran this request 10 more times and it failed 5 times, about 5 times in 10;")
    assert "Ordinary requests fail at most 3.6 % of the time, so this was not just one unlucky try." in text
    assert "may not say “99 % reliable”" in text


def test_a_given_reference_is_called_the_projects_own_number() -> None:
    assert "The project gives 2 % as its usual failure rate, so this was not just" in said(["fail", "fail"], GIVEN)


def test_a_case_that_never_fails_fits_bad_luck_and_says_what_may_be_claimed() -> None:
    text = said(["pass"] * 34)
    assert "it worked every time; the true failure rate is at most 11 %" in text
    assert "fits plain bad luck" in text
    assert re.search(r"no more than 90 % may be claimed, and about 321 more runs would decide it", text)


def test_without_a_reference_nothing_is_said_about_luck() -> None:
    text = said(["fail"] * 6 + ["pass"] * 6, NONE, None)
    assert "Whether that is more than usual I cannot say" in text
    assert "unlucky" not in text


def test_without_a_reference_runs_that_all_work_are_not_reproduced() -> None:
    assert "I could not reproduce the failure." in said(["pass"] * 70, NONE, None)


def test_too_few_runs_say_so_and_how_many_more_would_tell() -> None:
    text = said(["pass", "fail", "pass"])
    assert "too little to tell bad luck from a cause; about" in text
    assert "What a second try is worth takes more runs to say." in text


def test_no_run_at_all_claims_nothing() -> None:
    assert said([]).startswith("No fresh run has been made, so nothing is known yet.")


def test_runs_that_nobody_could_judge_are_mentioned() -> None:
    assert "2 runs gave nothing to judge" in said(["invalid", "fail", "fail", "invalid", "pass", "fail"])
    assert "no run gave an answer that could be judged" in said(["invalid"] * 3)


def test_a_met_target_may_be_said() -> None:
    assert "For this request you may say “99 % reliable”." in said(["pass"] * 355)


outcome_lists = st.lists(st.sampled_from(["pass", "fail", "invalid"]), max_size=80)
references = st.sampled_from([CONTROLS, GIVEN, NONE])


@given(outcome_lists, references, st.sampled_from([None, 0.5, 0.9, 0.99]))
def test_every_reply_has_at_most_six_sentences_and_no_claim_beyond_its_verdict(
    outcomes: list[str], reference: Reference, target: float | None
) -> None:
    luck = luck_section(outcomes, reference, target, 0.05)  # type: ignore[arg-type]
    certify = certify_section(outcomes, target, 0.05)  # type: ignore[arg-type]
    text = reply(luck, certify)
    assert 1 <= len(re.findall(r"[.](?: |$)", text)) <= 6
    assert ("not just one unlucky try" in text) == (luck.verdict == "worse_than_reference")
    assert ("fits plain bad luck" in text) == (luck.verdict == "bad_luck")
    assert ("could not reproduce" in text) == (luck.verdict == "not_reproduced")
    met = isinstance(certify, CertifySection) and certify.verdict == "met"
    assert ("you may say" in text) == met
    assert not re.search(r"logprob|token|p-value|e-value|confidence", text)
    low, high = bounds(luck, certify)
    assert 0 <= low <= high <= 1
    assert headline(luck)


@pytest.mark.parametrize("target", [0.9, 0.99])
def test_the_stated_range_always_agrees_with_the_verdicts(target: float) -> None:
    luck = luck_section(["fail", "fail"], CONTROLS, target, 0.05)
    low, _ = bounds(luck, certify_section(["fail", "fail"], target, 0.05))
    assert low >= 0.036
