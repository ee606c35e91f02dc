"""The tour says nothing that the bundled model does not do: every claim of a step is held against its runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reroll.evidence import interval
from reroll.lessons import LESSONS, lesson
from reroll.playground import Playground, Run, example, parting, spread
from reroll.web.pages_learn import AWKWARD, CASE, SHOWS
from tests.pages import browser, needs_chromium, run, served, tab


@pytest.fixture(scope="module")
def play() -> Iterator[Playground]:
    made = Playground()
    yield made
    made.close()


def wrong(runs: list[Run]) -> int:
    return sum(one.outcome != "pass" for one in runs)


def test_the_same_seed_gives_the_same_runs_and_another_gives_others(play: Playground) -> None:
    first, again, other = (play.runs(CASE, 12, seed) for seed in (1, 1, 2))
    assert [r.text for r in first] == [r.text for r in again]
    assert [r.outcome for r in first] != [r.outcome for r in other]


def test_the_request_fails_now_and_then_and_five_runs_leave_almost_everything_open(play: Playground) -> None:
    runs = play.runs(CASE, 300, 3)
    assert 0.25 < wrong(runs) / len(runs) < 0.5
    low, high = interval(2, 5)
    assert high - low > 0.7


def test_at_temperature_0_this_request_never_fails_and_half_seven_always(play: Playground) -> None:
    assert wrong(play.runs(CASE, 20, 4, temperature=0.0)) == 0
    assert wrong(play.runs("half-seven", 20, 4, temperature=0.0)) == 20
    hot, warm = play.runs(CASE, 200, 5, temperature=1.6), play.runs(CASE, 200, 5)
    assert wrong(hot) > wrong(warm) + 40


def test_the_awkward_wording_moves_chances_to_the_wrong_token_where_they_part(play: Playground) -> None:
    plain, awkward = play.runs(CASE, 60, 6, top=True), play.runs(CASE, 60, 6, wording=AWKWARD, top=True)
    at, found = parting([*plain, *awkward])
    assert set(found) >= {"27", "20"}
    one, two = (dict(spread(next(r for r in runs if len(r.tokens) > at).tokens[at])) for runs in (plain, awkward))
    assert one["20"] + 0.1 < two["20"]
    assert one["27"] > two["27"] + 0.1
    assert abs(one["27"] - 0.5) > abs(two["27"] - 0.5)  # flatter: nearer to even


def test_one_token_decides(play: Playground) -> None:
    _at, found = parting(play.runs(CASE, 120, 7, top=True))
    total, failed = found["20"]
    assert failed > 0.95 * total
    total, failed = found["27"]
    assert failed < 0.15 * total


@pytest.mark.parametrize(("fix", "cures"), [("hard-code", False), ("describe-date", True)])
def test_the_patch_cures_the_request_alone_and_the_description_others_too(
    play: Playground, fix: str, cures: bool
) -> None:
    [tried] = [one for one in example().fixes if one.fix == fix]
    assert wrong(play.runs(CASE, 100, 8, fixes=[tried])) < 20 < wrong(play.runs(CASE, 100, 8))
    like = [c.id for c in example().cases if c.of == CASE and c.set == "neighbour"]
    before = sum(wrong(play.runs(id, 60, 9)) for id in like)
    after = sum(wrong(play.runs(id, 60, 9, fixes=[tried])) for id in like)
    assert (after < 0.5 * before) is cures
    assert cures or after == before  # it does not fire there at all


def test_every_step_says_something_before_the_guess_and_after_it() -> None:
    assert [one.name for one in LESSONS] == list(SHOWS)
    assert lesson("dud") is not None
    assert lesson("nothing") is None
    for one in LESSONS:
        assert one.question.endswith("?")
        assert one.before
        assert one.after
        assert (one.ask == "choice") is bool(one.choices)


@pytest.mark.parametrize("guess", ["", "9" * 40, "<script>"])
@pytest.mark.parametrize("step", ["again", "rate", "dud"])
def test_no_guess_breaks_a_step(step: str, guess: str) -> None:
    assert SHOWS[step](guess, 1)["verdict"]


@pytest.mark.xdist_group("pages")
@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_whole_tour_by_clicking(width: int, tmp_path: Path) -> None:
    folder = tmp_path / "meetings"
    run("init", str(folder))
    with served(folder) as server, browser() as chromium, tab(chromium, server.link, width=width) as visit:
        visit.go("/learn")
        visit.is_accessible()
        visit.page.click("a.button:has-text('Begin')")
        for one in LESSONS:
            visit.page.wait_for_selector(f"h1:has-text('{one.title}')")
            visit.page.wait_for_selector("html[data-ready]")
            visit.fits()
            assert not visit.page.locator(".seen").count()  # first the guess
            visit.is_accessible()
            visit.page.locator(".guess button").first.click()
            visit.page.wait_for_selector(".seen .lead")
            assert len(visit.text(".seen .lead")) > 20
            if one.name == "temperature":
                visit.page.wait_for_selector(".heat[data-ready='1']")
                visit.page.locator("#heat").fill("0")
                visit.page.wait_for_selector(".heat[data-ready='0']")
                assert "0 of 20 runs at temperature 0 failed" in visit.text("#heat-words")
            visit.fits()
            visit.is_accessible()
            visit.page.click("a.button:has-text('Next'), a.button:has-text('To the end')")
        visit.page.wait_for_selector("text=Hold what you know loosely")
        assert "built in for teaching" in visit.text()
        visit.is_accessible()
        visit.is_clean()
