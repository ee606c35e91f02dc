"""Runs that are no separate draws of one thing: what is said beside the verdict."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reroll.clustering import stretches_of
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import Act, answer, body, completion, error

CERTIFY = ("certify", "greet", "--json", "--quiet", "--project")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def unique(n: int, text: str) -> Act:
    return body({**completion(text), "id": f"chatcmpl-{n:032d}"})


def said(ran: dict[str, Any], words: str) -> bool:
    return any(words in caveat for caveat in ran["caveats"])


# ---------------------------------------------------------------- the test itself


@pytest.mark.parametrize("stretches", [1, 2, 3, 4, 5])
def test_the_chance_of_few_stretches_is_that_of_all_orders_counted_one_by_one(stretches: int) -> None:
    n, failures = 12, 5
    orders = list(combinations(range(n), failures))
    counted = [sum(i - 1 not in order for i in order) for order in orders]
    order = orders[counted.index(stretches)]
    found = stretches_of(["fail" if i in order else "pass" for i in range(n)])
    assert found is not None
    assert (found.failures, found.stretches) == (failures, stretches)
    assert found.chance == pytest.approx(sum(k <= stretches for k in counted) / comb(n, failures))
    assert found.usual == pytest.approx(sum(counted) / len(counted))


def test_separate_runs_are_hardly_ever_said_to_hang_on_one_another() -> None:
    rng = np.random.default_rng(7)
    strange = 0
    for _ in range(2000):
        found = stretches_of(np.where(rng.random(120) < 0.2, "fail", "pass").tolist())
        strange += found is not None and found.chance < 0.01
    assert strange <= 31  # 1 % of 2,000, and 2.5 standard deviations


def test_few_failures_or_few_passes_say_nothing_of_stretches() -> None:
    assert stretches_of([]) is None
    assert stretches_of(["fail"] * 4 + ["pass"] * 400) is None
    assert stretches_of(["fail"] * 400 + ["pass"] * 4) is None


def test_a_million_runs_are_no_number_too_large() -> None:
    found = stretches_of(["pass"] * 500_000 + ["fail"] * 1000 + ["pass"] * 499_000)
    assert found is not None
    assert 0 <= found.chance < 1e-100


# ---------------------------------------------------------------- what is said


def test_failures_that_come_together_are_said_to(capsys: Any, tmp_path: Path) -> None:
    with in_background(by_number(lambda n: unique(n, "no" if 20 <= n < 40 else "yes"))) as (_, url):
        ran = reroll(capsys, *CERTIFY, write_project(tmp_path, url), "--target", 0.9).json
    assert ran["verdict"] == "not_met"
    assert said(ran, "came in 1 stretch, where separate runs would have about")


def test_failures_by_chance_are_not_said_to_come_together(capsys: Any, tmp_path: Path) -> None:
    rng = random.Random(2)
    with in_background(by_number(lambda n: unique(n, "no" if rng.random() < 0.3 else "yes"))) as (_, url):
        ran = reroll(capsys, *CERTIFY, write_project(tmp_path, url), "--target", 0.6, "--budget", 60).json
    assert ran["rate"]["failures"] >= 5
    assert not said(ran, "stretch")


def test_answers_that_came_only_at_a_later_try_are_said_to(capsys: Any, tmp_path: Path) -> None:
    busy = error(429, headers={"retry-after": "0"})
    acts = by_number(lambda n: {3: error(500), 5: busy}.get(n, answer("yes")))
    with in_background(acts) as (_, url):
        ran = reroll(capsys, *CERTIFY, write_project(tmp_path, url), "--target", 0.8).json
    assert ran["verdict"] == "met"
    assert said(ran, "1 run brought an answer only at a later try")


def test_one_answer_again_and_again_is_said_unless_no_two_requests_are_the_same(capsys: Any, tmp_path: Path) -> None:
    with in_background(answer("yes")) as (_, url):
        project = write_project(tmp_path, url)
        ran = reroll(capsys, *CERTIFY, project, "--target", 0.9).json
        seeded = reroll(capsys, *CERTIFY, project, "--target", 0.9, "--fresh", "--seed", 1).json
    assert said(ran, "all 34 runs brought the very same answer")
    assert not said(seeded, "the very same answer")


def test_runs_of_long_ago_among_new_ones_are_dated(capsys: Any, tmp_path: Path) -> None:
    with in_background(answer("yes")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, *CERTIFY, project, "--target", 0.9, "--budget", 20)
        with contextlib.closing(sqlite3.connect(project / ".reroll" / "store.sqlite")) as store:
            store.execute("UPDATE samples SET settled_us = settled_us - 86400000000 * 30")
            store.execute("UPDATE checks SET first_us = first_us - 86400000000 * 30")
            store.commit()
        ran = reroll(capsys, *CERTIFY, project, "--target", 0.9).json
    assert (ran["verdict"], ran["rate"]["n"]) == ("met", 34)
    assert said(ran, "what the server changed meanwhile under the same name is mixed in")


def test_ordinary_requests_of_long_ago_are_no_silent_yardstick(capsys: Any, tmp_path: Path) -> None:
    cases = (
        'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{contains: "yes"}]}\n'
        '  - {id: plain, set: control, input: {request: "Hello"}, checks: [{contains: "yes"}]}\n'
    )
    told = ("rerun", "greet", "--json", "--quiet", "--budget", 30, "--project")
    with in_background(answer("yes")) as (_, url):
        project = write_project(tmp_path, url, program="", cases=cases)
        first = reroll(capsys, *told, project).json
        with contextlib.closing(sqlite3.connect(project / ".reroll" / "store.sqlite")) as store:
            store.execute("UPDATE samples SET settled_us = settled_us - 86400000000 * 30 WHERE case_id = 'plain'")
            store.execute("UPDATE checks SET first_us = first_us - 86400000000 * 31")
            store.commit()
        ran = reroll(capsys, *told[:4], "--budget", 0, "--project", project).json
    assert not said(first, "the ordinary requests were run")
    assert said(ran, "what changed in between looks like a difference of theirs")


def test_luck_that_is_asked_for_again_from_zero_adds_its_chances_of_error_up(capsys: Any, tmp_path: Path) -> None:
    told = ("rerun", "greet", "--json", "--quiet", "--fresh", "--project")
    with in_background(by_number(lambda n: unique(n, "no" if n % 2 else "yes"))) as (_, url):
        project = write_project(tmp_path, url)
        first = reroll(capsys, *told, project).json
        again = reroll(capsys, *told, project).json
        same = reroll(capsys, *told[:4], "--project", project).json
    assert not said(first, "has been asked")
    for ran in (again, same):
        assert said(ran, "whether it is luck has been asked of this case 2 times, each time from zero")
        assert said(ran, "adds up to 10 %")
