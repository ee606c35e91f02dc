"""What a command writes as JSON and what it shows on a screen give the same interval, with the verdict beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.answer import CertifySection, LuckSection, Rate, Reference
from reroll.conclude import agreeing, bounds
from reroll.evidence import Est
from reroll.numbers import interval_words
from reroll.words import between_points
from tests.background import in_background, in_turn, reroll, write_project
from tests.fake_server import Act, answer

CHECKS = 'checks: [{name: yes, contains: "yes"}, {name: short, matches: "^.{0,9}$"}]'
CASES = "cases:\n" + "".join(
    f'  - {{id: {name}, set: {kind}, input: {{request: "{name}"}}, {CHECKS}}}\n'
    for name, kind in (("one", "case"), ("two", "case"), ("three", "control"), ("four", "control"))
)
SINGLE = [
    ("certify", "one", "--target", 0.99),
    ("certify", "one", "--target", 0.9),
    ("rerun", "one"),
    ("investigate", "--case", "one", "--no-forks", "--no-cause", "--no-fixes", "--target", 0.99),
    ("investigate", "--case", "one", "--no-forks", "--no-cause", "--no-fixes", "--target", 0.5),
]
SEVERAL = [
    ("certify", "--about", "suite", "--target", 0.99),
    ("certify", "--about", "suite", "--target", 0.3),
    ("certify", "--about", "population", "--target", 0.99),
    ("certify", "one", "--each-check", "--target", 0.99),
]
RIGHT, NOW_AND_THEN = ("yes",), ("yes", "yes", "no")


@pytest.fixture(params=[RIGHT, NOW_AND_THEN], ids=["always right", "now and then wrong"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    with in_background(in_turn(*request.param)) as (_, url):
        yield write_project(tmp_path, url, cases=CASES)


def by_role(as_it_is: str, changed: str | None = None) -> Act:
    """One answer to the program as it is, and one to the changed one."""

    async def act(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        brief = body["messages"][0]["content"] == "Be brief."
        return await answer(changed if brief and changed is not None else as_it_is)(request)

    return act


def both(capsys: Any, project: Path, *arguments: Any) -> tuple[Any, str]:
    """The JSON, and the page of the same runs, its lines put together."""
    shared = (*arguments, "--project", project, "--concurrency", 1)
    plain = reroll(capsys, *shared, "--budget", 40, "--json").json
    return plain, " ".join(reroll(capsys, *shared, "--budget", 0).out.split())


def said(rate: dict[str, Any]) -> str:
    return f"({interval_words(rate['low'], rate['high'])})"


@pytest.mark.parametrize("arguments", SINGLE, ids=lambda words: " ".join(map(str, words)))
def test_one_request_s_interval_is_the_same_in_json_and_on_the_screen(
    project: Path, capsys: Any, arguments: tuple[Any, ...]
) -> None:
    plain, page = both(capsys, project, *arguments)
    luck, certify = plain.get("luck") or plain, plain.get("certify") or plain
    assert row(page, "This request fails").endswith(said(luck["rate"]))
    if "certify" in plain:
        assert luck["rate"] == certify["rate"]
    if "second_try_works" in luck and luck["rate"]["failures"]:
        assert row(page, "A second try works").endswith(said(luck["second_try_works"]))


@pytest.mark.parametrize("arguments", SEVERAL, ids=lambda words: " ".join(map(str, words)))
def test_intervals_about_several_requests_or_checks_are_the_same_in_json_and_on_the_screen(
    project: Path, capsys: Any, arguments: tuple[Any, ...]
) -> None:
    plain, page = both(capsys, project, *arguments)
    label = {"suite": "This set fails", "population": "Such requests fail", "case": "Any check fails"}[plain["about"]]
    assert row(page, label).endswith(said(plain["rate"]))
    for one in plain["checks"]:
        assert row(page, f"`{one['check']}` fails").endswith(said(one["certify"]["rate"]))
    for one in plain["cases"] if plain["about"] == "suite" else ():
        assert row(page, one["id"], last=True).endswith(said(one["rate"]))


@pytest.mark.parametrize(("texts", "word"), [(("yes",), "no_different"), (("yes", "no"), "worse")])
def test_the_difference_of_two_variants_is_the_same_in_json_and_on_the_screen(
    tmp_path: Path, capsys: Any, texts: tuple[str, ...], word: str
) -> None:
    with in_background(by_role(*texts)) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        plain, page = both(
            capsys, project, "compare", "system.role=Be brief.", "--case", "one", "--margin", 0.2, "--yes"
        )
    (pair,) = plain["pairs"]
    assert pair["verdict"] == word
    assert f"({between_points(pair['difference']['low'], pair['difference']['high'])})" in page


def row(page: str, label: str, *, last: bool = False) -> str:
    """What stands beside the label on the axis, up to its interval."""
    found = re.findall(rf"{re.escape(label)} [^()]*\([^()]*%\)", page)
    return str(found[-1 if last else 0])


@pytest.mark.parametrize(
    ("luck_word", "word", "ends", "alpha"),
    [
        ("worse_than_reference", "not_met", (0.1, 0.6), 0.1),  # the reference is the higher of the two ends
        ("undecided", "not_met", (0.05, 0.6), 0.06),
        ("undecided", "undecided", (0.02, 0.6), 0.05),
        ("bad_luck", "undecided", (0.02, 0.2), 0.09),
    ],
)
def test_an_interval_takes_the_ends_and_the_alpha_of_the_verdicts_that_narrowed_it(
    luck_word: Any, word: Any, ends: tuple[float, float], alpha: float
) -> None:
    rate = Rate(5, 20, 0, 0.25, 0.02, 0.6, 0.05)
    reference = Reference(0.1, "given")
    luck = LuckSection(luck_word, rate, 0.1, 1.0, Est(0.75, 0.4, 0.98, 20), reference, 0.05, 0, 0.04)
    certify = CertifySection(word, 0.95, "case", rate, None, 0, None, 0.01)
    one, other = agreeing(luck, certify)
    assert isinstance(other, CertifySection)
    assert one.rate == other.rate
    assert (one.rate.low, one.rate.high) == pytest.approx(ends)
    assert one.rate.alpha == pytest.approx(alpha)
    assert one.second_try_works == Est(0.75, 1 - one.rate.high, 1 - one.rate.low, 20)
    assert bounds(one, other) == (one.rate.low, one.rate.high)
    assert agreeing(one, other) == (one, other)  # once more changes nothing
