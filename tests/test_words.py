"""The reply says what was shown, in plain words, and nothing more."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.answer import CertifySection, NotExamined, Pair, Price, Reference, VariantRate
from reroll.compare import compare_path
from reroll.conclude import bounds, certify_section, luck_section, rate_of
from reroll.words import compare_reply, headline, luck_sentence, pair_bounds, reply

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


# -- comparisons


def compared(pairs: list[tuple[str, str]], margin: float | None = None) -> tuple[Pair, str]:
    found = compare_path(pairs, margin=margin)
    pair = Pair(
        "old",
        "new",
        found.verdict,
        found.difference,
        found.log_e_better,
        0.05,
        margin,
        found.smallest_drop,
        found.pairs_needed,
    )
    rates = [VariantRate(name, rate_of([p[i] for p in pairs], 0.05)) for i, name in enumerate(("old", "new"))]
    best = {"better": "new", "worse": "old"}.get(found.verdict)
    return pair, compare_reply(("old", "new"), rates, [pair], best, (), margin, "suite", 3)


def test_a_better_variant_is_said_to_be_better_and_by_how_much_at_most() -> None:
    pair, text = compared([("fail", "pass")] * 6 + [("pass", "pass")] * 14)
    assert text.startswith("On the same 3 requests: old failed 6 times in 20 and new failed 0 times in 20.")
    assert re.search(r"So new fails less often than old, by up to \d+ points\.$", text)
    assert pair_bounds(pair)[1] <= 0


def test_a_worse_variant_is_said_to_be_worse() -> None:
    pair, text = compared([("pass", "fail")] * 9)
    assert "So new fails more often than old" in text
    assert pair_bounds(pair)[0] >= 0
    assert "ruled out" not in text


def test_a_comparison_that_shows_nothing_says_what_it_could_not_have_missed() -> None:
    _, text = compared([("pass", "pass")] * 30)
    assert "That is too little to say which is better" in text
    assert "That new fails 13 points more often than old, or worse, is ruled out." in text


def test_no_different_is_said_with_its_margin_only() -> None:
    pair, text = compared([("pass", "pass")] * 90, margin=0.05)
    assert "So the two are no different, to within 5 points." in text
    assert pair_bounds(pair) == (-0.05, 0.05)


@given(st.lists(st.tuples(*[st.sampled_from(["pass", "pass", "fail", "invalid"])] * 2), max_size=60))
def test_no_comparison_says_more_than_its_verdict(pairs: list[tuple[str, str]]) -> None:
    pair, text = compared(pairs, margin=0.2)
    assert ("less often than" in text) == (pair.verdict == "better")
    assert ("fails more often than" in text) == (pair.verdict == "worse")
    assert ("no different" in text) == (pair.verdict == "no_different")
    assert text.count(". ") < 6


def test_answers_that_never_came_are_no_successes() -> None:
    _, text = compared([("pass", "invalid")] * 6)
    assert "new gave nothing that could be judged in 6 runs" in text
    _, text = compared([("pass", "invalid"), ("pass", "pass"), ("pass", "fail")])
    assert "new failed 1 time in 2 (1 more could not be judged)" in text


def test_an_unusual_chance_of_error_is_said_with_the_verdict_that_it_bought() -> None:
    outcomes: list[Any] = ["fail"] * 2
    for alpha, said in ((0.05, False), (0.3, True)):
        luck = luck_section(outcomes, Reference(0.02, "given"), None, alpha)
        assert luck.verdict == "worse_than_reference"
        assert ("(allowing a chance of 30 % to be wrong)" in luck_sentence(luck)) == said
