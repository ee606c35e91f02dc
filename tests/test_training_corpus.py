"""The bundled model's corpus: its truth is a product of exact distributions, and its prompts keep the contract."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from training import corpus as c
from training import examples, scenarios
from training import surface as s
from training.tokenizer import Tokenizer, learn
from training.wordings import HELD, TRAIN

SEEDS = range(60)


def drawn(seed: int) -> tuple[c.Program, c.Request]:
    r = random.Random(seed)
    program = c.draw_program(r)
    return program, c.draw_request(r, program.today, TRAIN["name"])


@pytest.mark.parametrize("seed", SEEDS)
def test_every_piece_of_an_answer_has_a_distribution_that_sums_to_one(seed: int) -> None:
    for _, alternatives in c.answer_parts(*drawn(seed)):
        assert math.isclose(sum(p for _, p, _ in alternatives), 1.0, abs_tol=1e-12)
        assert all(p >= 0 for _, p, _ in alternatives)
        assert sum(ok for _, _, ok in alternatives) == 1
        assert len({text for text, _, _ in alternatives}) == len(alternatives)


@pytest.mark.parametrize("seed", range(12))
def test_the_failure_rate_is_the_mass_of_all_wrong_answers(seed: int) -> None:
    program, request = drawn(seed)
    answers = {"": 1.0}
    for _, alternatives in c.answer_parts(program, request):
        answers = {a + text: q * p for a, q in answers.items() for text, p, _ in alternatives if q * p > 0}
    right = c.right_answer(program, request)
    assert math.isclose(
        sum(p for a, p in answers.items() if a != right), c.failure_rate(program, request), abs_tol=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_are_compact_json_with_the_keys_in_the_usual_order(seed: int) -> None:
    program, request = drawn(seed)
    text = c.right_answer(program, request)
    assert list(json.loads(text)) == list(c.FIELDS)
    assert json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) == text


def test_the_example_projects_request_has_the_answer_that_people_mean() -> None:
    case = next(case for case in examples.CASES if case.id == "next-friday")
    assert case.text == "Lunch with Ana next Friday at noon"
    expected = {"date": "2026-11-27", "time": "12:00", "duration_min": 60, "attendees": ["Ana"]}
    assert json.loads(c.right_answer(scenarios.BASE, case.request)) == expected
    assert c.dates(scenarios.BASE, case.request) == ("2026-11-27", "2026-11-20")


@pytest.mark.parametrize(
    ("lever", "low", "high"),
    [
        ("baseline", 0.30, 0.40),
        ("contrastive note", 0.0, 0.15),
        ("date description: good", 0.0, 0.10),
        ("date description: misleading", 0.65, 0.85),
        ("example: stale", 0.60, 0.80),
        ("example: covering", 0.0, 0.10),
        ("document: irrelevant", 0.30, 0.40),
    ],
)
def test_levers_move_the_constructed_rate_of_next_friday(lever: str, low: float, high: float) -> None:
    request = c.Request(date_kind="next", day=4)
    assert low <= c.failure_rate(scenarios.LEVERS[lever], request) <= high


def test_helping_here_hurts_there() -> None:
    on_friday = c.Request(date_kind="on", day=4)
    note, covering = scenarios.LEVERS["contrastive note"], scenarios.LEVERS["example: covering"]
    assert c.mistakes(note, on_friday)["length"] > 10 * c.mistakes(scenarios.BASE, on_friday)["length"]
    assert c.mistakes(covering, on_friday)["date"] > 10 * c.mistakes(scenarios.BASE, on_friday)["date"]


def test_saying_it_twice_helps_a_bit_more() -> None:
    request = c.Request(date_kind="next", day=4)
    rates = [c.mistakes(replace(scenarios.BASE, rules=n), request)["date"] for n in range(3)]
    assert rates[0] > rates[1] > rates[2] > 0


def test_control_cases_rarely_fail() -> None:
    for case in examples.CASES:
        if case.set == "control":
            assert c.failure_rate(scenarios.BASE, case.request) <= 0.02


def test_next_monday_said_on_wednesday_has_one_reading() -> None:
    request = c.Request(date_kind="next", day=0)
    assert not c.is_ambiguous(scenarios.BASE, request)
    assert c.dates(scenarios.BASE, request)[0] == "2026-11-23"


def test_rendering_keeps_the_contract() -> None:
    system = c.system_message(
        ["You turn a request into one meeting.", "Today is Wednesday 2026-11-18."],
        [("policy", "Half seven means 19:30.")],
        [("date", "string, date", "ISO date."), ("time", "string", None), ("duration_min", None, "minutes")],
    )
    prompt = c.Prompt(system, (("Coffee with Ben", "{}"),), "Lunch with Ana")
    assert c.render(prompt) == (
        "<|system|>You turn a request into one meeting.\nToday is Wednesday 2026-11-18.\n"
        "Document policy: Half seven means 19:30.\nFields:\n- date (string, date): ISO date.\n- time (string)\n"
        "- duration_min: minutes<|end|>\n"
        "<|user|>Coffee with Ben<|end|>\n<|assistant|>{}<|end|>\n"
        "<|user|>Lunch with Ana<|end|>\n<|assistant|>"
    )


def test_the_canonical_style_writes_the_example_projects_program() -> None:
    system = s.system_text(scenarios.BASE, random.Random(1), s.CALM)
    assert system == examples.FIXES[0].prompt("").system


def test_held_out_wordings_are_not_trained_on() -> None:
    for kind, held in HELD.items():
        assert held, kind
        assert not set(held) & set(TRAIN[kind]), kind


def test_typos_never_touch_names_or_numbers() -> None:
    r = random.Random(2)
    text = s.misspell_some("Lunch with Zelda next Friday at 15:00", r, 1.0, ("Zelda",))
    assert "Zelda" in text
    assert "15:00" in text
    assert "Friday" not in text


def test_the_same_seed_draws_the_same_prompt() -> None:
    def once() -> str:
        r = random.Random(5)
        program = c.draw_program(r)
        request = c.draw_request(r, program.today, TRAIN["name"])
        return s.head(program, r, s.Style()) + s.request_text(request, r, s.Style())

    assert once() == once()


@pytest.mark.parametrize(
    "text", ["Zoë can't meet at 7:30—okay?", "a  b\tc\n\nd  ", "<|user|>hi<|end|>\n", "日本語 25,000.50 €"]
)
def test_the_tokenizer_gives_back_what_it_was_given(text: str) -> None:
    tok = Tokenizer(learn(["Lunch with Ana next Friday at noon"] * 30, 40))
    assert tok.decode(tok.encode(text)) == text


@pytest.mark.parametrize("name", [*TRAIN["name"], *HELD["name"]])
def test_a_name_is_spelt_with_the_same_letters_wherever_it_stands(name: str) -> None:
    tok = Tokenizer(learn([*s.WORDS, *(f" {word} {word.capitalize()} {word.upper()}" for word in s.WORDS)] * 30, 3000))
    for way in (name, name.upper(), name.lower()):
        for text in (f"with {way}, at", f'":["{way}","{way}"]'):
            assert list(way) in [
                [tok.decode([i]) for i in tok.encode(text)][j : j + len(way)] for j in range(len(text))
            ]
