"""Association over fresh samples: found where it is strong, and held to one error chance over all words."""

from __future__ import annotations

import numpy as np

from reroll.association import LAST_LOOK, aligned, associations, look_alpha, look_at, look_from, word_test


def samples(rng: np.random.Generator, n: int, effect: float) -> list[tuple[list[str], str]]:
    found = []
    for _ in range(n):
        words = [f"w{i}" if rng.random() < 0.6 else f"other{i}" for i in range(12)]
        fails = rng.random() < 0.3 + effect * (words[4] == "w4")
        found.append((words, "fail" if fails else "pass"))
    return found


FAILING = [f"w{i}" for i in range(12)]


def test_the_word_that_goes_with_failure_is_named_first() -> None:
    found = associations(FAILING, samples(np.random.default_rng(1), 128, 0.6), np.random.default_rng(2), least=0.2)
    assert found[0].position == 5
    assert found[0].token == "w4"
    assert found[0].difference.value is not None
    assert found[0].difference.value > 0.4
    assert found[0].p_value <= 0.05


def test_where_no_word_matters_one_is_named_in_at_most_one_case_in_twenty() -> None:
    named = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 7])
        named += bool(associations(FAILING, samples(rng, 60, 0.0), rng, least=0.0))
    assert named <= 8  # 3 expected: more than 8 has probability 0.003


def test_words_are_found_again_after_an_insertion() -> None:
    assert aligned(["a", "b", "c"], ["new", "a", "b", "c"]).all()


def test_too_few_samples_or_only_one_outcome_say_nothing() -> None:
    rng = np.random.default_rng(3)
    assert associations(FAILING, [], rng) == ()
    assert associations(FAILING, [(FAILING, "fail")] * 50, rng) == ()
    assert associations(FAILING, [(FAILING, "invalid")] * 50, rng) == ()


def test_the_error_chances_of_all_looks_sum_to_no_more_than_alpha() -> None:
    looks = [32 << k for k in range(7)]
    assert looks[-1] == LAST_LOOK
    assert sum(look_alpha(0.05, n) for n in looks) <= 0.05
    assert max(looks, key=lambda n: look_alpha(0.05, n)) == 128, "the default is where most of it is spent"
    assert [look_at(n) for n in looks] == [look_from(n) for n in looks] == looks


def test_samples_after_a_look_change_nothing_until_the_next_one() -> None:
    drawn = samples(np.random.default_rng(1), 64, 0.6)
    one, more = (word_test(FAILING, drawn[:n], np.random.default_rng(0)) for n in (32, 63))
    assert one.words == more.words
    assert (one.samples, more.samples) == (32, 32)
    assert word_test(FAILING, drawn, np.random.default_rng(0)).samples == 64


def test_looking_at_every_look_names_a_word_without_cause_in_at_most_alpha_of_cases() -> None:
    wrong = 0
    for seed in range(40):
        drawn = samples(np.random.default_rng([seed, 9]), 128, 0.0)
        tests = [word_test(FAILING, drawn[:n], np.random.default_rng(0), least=0.0) for n in (32, 64, 128)]
        wrong += any(t.verdict in ("associated", "weak") for t in tests)
    assert wrong <= 5  # 2 expected at most: more than 5 has probability 0.014


def test_a_strong_word_is_associated_and_a_weaker_one_weak() -> None:
    strong = word_test(FAILING, samples(np.random.default_rng(1), 128, 0.6), np.random.default_rng(0), least=0.2)
    assert strong.verdict == "associated"
    assert strong.shown(strong.words[0])
    assert strong.words[0].token == "w4"
    assert strong.p_value == strong.words[0].p_value
    weak = word_test(FAILING, samples(np.random.default_rng(1), 128, 0.6), np.random.default_rng(0), least=0.5)
    assert weak.verdict == "weak"


def test_a_request_that_is_shown_to_fail_nearly_always_is_doomed_whatever_its_words() -> None:
    drawn = [(FAILING[: k % 12], "pass" if k == 7 else "fail") for k in range(64)]
    found = word_test(FAILING, drawn, np.random.default_rng(0))
    assert found.verdict == "doomed"
    assert not any(found.shown(word) for word in found.words)


def test_how_many_more_samples_would_decide_is_the_distance_to_a_look() -> None:
    few = word_test(FAILING, samples(np.random.default_rng(1), 20, 0.6), np.random.default_rng(0))
    assert (few.verdict, few.samples, few.more) == ("undecided", 0, 12)
    open_ = word_test(FAILING, samples(np.random.default_rng(4), 40, 0.35), np.random.default_rng(0))
    assert open_.verdict == "undecided"
    assert open_.more is not None
    assert look_at(40 + open_.more) == 40 + open_.more
    alike = word_test(FAILING, [(FAILING, "fail" if k % 2 else "pass") for k in range(64)], np.random.default_rng(0))
    assert (alike.verdict, alike.p_value, alike.more, alike.untested) == ("undecided", None, None, 12)
