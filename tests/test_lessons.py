"""The tour says nothing that the bundled model does not do: every claim is held against its exact probabilities."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reroll import lesson_steps as steps
from reroll.evidence import interval
from reroll.fix import Fix
from reroll.init import init_project
from reroll.lessons import LESSONS, lesson
from reroll.models import local
from reroll.models.local import LocalModel
from reroll.models.registry import open_model
from reroll.playground import Playground, Run, example
from reroll.store import Store
from reroll.web import pages_learn
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home
from reroll.web.pages_learn import SHOWS
from reroll.web.passes import Passes
from tests.exact import exact_pass
from tests.pages import browser, needs_chromium, run, served, tab

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this machine")

CASE, HALF = steps.CASE, steps.HALF


@pytest.fixture(scope="module")
def play() -> Iterator[Playground]:
    made = Playground()
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def tour() -> Iterator[None]:
    """The steps of the tour share a model, as they do on the pages, until the server ends."""
    yield
    pages_learn.let_go()


def fix(name: str) -> Fix:
    return next(one for one in example().fixes if one.fix == name)


def wrong(runs: list[Run]) -> int:
    return sum(one.wrong for one in runs)


def relatives(kind: str) -> list[str]:
    return [one.id for one in example().cases if one.set == kind and (one.of == CASE or kind == "control")]


def words_of(name: str) -> str:
    """All that a step says without having asked the model."""
    _, one = lesson(name) or (0, LESSONS[0])
    return " ".join([*one.before, one.question, one.after, one.work])


# -- the playground ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [CASE, HALF, "awkward", "next-friday-call", "this-friday", "clear-tomorrow"])
def test_rates_that_are_read_are_those_of_teacher_forcing(case: str, play: Playground) -> None:
    async def forced() -> float:
        model = open_model("bundled")
        assert isinstance(model, LocalModel)
        try:
            return 1 - await exact_pass(model, example().program, example().case(case))
        finally:
            await model.close()

    truth, found = asyncio.run(forced()), play.rate(case)
    # Calls are decoded together, which moves the model's log-odds by up to some hundredths each time.
    assert found.low - 0.012 <= truth <= found.high + 0.012, (truth, found)
    assert found.sharp


@pytest.mark.parametrize("temperature", [0.3, 1.0])
@pytest.mark.parametrize(("case", "patch"), [(CASE, ""), (HALF, ""), (CASE, "hard-code"), (CASE, "describe-date")])
def test_runs_fail_as_often_as_is_read(case: str, patch: str, temperature: float, play: Playground) -> None:
    fixes = [fix(patch)] if patch else []
    n = 300
    found = play.rate(case, temperature=temperature, fixes=fixes)
    failed = wrong(play.runs(case, n, 7, temperature=temperature, fixes=fixes)) / n
    error = 4 * math.sqrt(max(found.value * (1 - found.value), 0.01) / n)
    assert found.low - error - 0.02 <= failed <= found.high + error + 0.02, (failed, found)


def test_the_same_seed_gives_the_same_runs_and_another_gives_others(play: Playground) -> None:
    first, again, other = (play.runs(CASE, 12, seed) for seed in (1, 1, 2))
    assert [r.text for r in first] == [r.text for r in again]
    assert [r.text for r in first] != [r.text for r in other]


def test_a_patch_gets_the_very_answers_that_the_program_without_it_got(play: Playground) -> None:
    plain, patched = play.runs(CASE, 20, 3), play.runs(CASE, 20, 3, fixes=[fix("hard-code")])
    objects = [
        (json.loads(a.text), json.loads(b.text)) for a, b in zip(plain, patched, strict=True) if a.text[0] == "{"
    ]
    assert len(objects) > 10
    assert all({**a, "date": "2026-11-27"} == b for a, b in objects)
    assert wrong(plain) > wrong(patched)


def test_chances_add_up_at_every_token_of_a_wrong_answer(play: Playground) -> None:
    for text in [one for one, _, outcome in play.answers(CASE) if outcome == "fail"][:4]:
        turns = play.turns(CASE, text)
        assert turns is not None
        assert "".join(turns.tokens) == text
        lost = [turns.cost(k) for k in range(1, len(turns.points))]
        assert sum(lost) == pytest.approx(turns.points[0].value - turns.points[-1].value)
        assert max(lost) == turns.lost == turns.cost(turns.worst)
        assert all(0 <= one.low <= one.high <= 1 for one in turns.points)
        assert sum(p for _, p, _ in turns.place.tokens) + turns.place.other == pytest.approx(1, abs=1e-3)
    assert play.turns(CASE, "something else") is None


def test_what_may_come_next_is_a_distribution_that_sharpens_as_it_gets_colder(play: Playground) -> None:
    before = play.fork(CASE).before
    heated = [play.next_tokens(CASE, before, temperature=t) for t in (0.0, 0.5, 1.0, 1.5)]
    places = [one for one in heated if one is not None]
    assert len(places) == 4
    likeliest = [one.tokens[0][1] for one in places]
    assert likeliest[0] == 1.0
    assert all(colder > hotter for colder, hotter in itertools.pairwise(likeliest))
    assert play.next_tokens(CASE, "nobody says this") is None


def test_many_may_play_at_once_and_what_was_read_is_read_once(play: Playground) -> None:
    found: list[tuple[float, list[str]]] = []
    words = "Lunch with Ana next Friday at noon please"

    def one() -> None:
        found.append((play.rate(CASE, wording=words).value, [r.text for r in play.runs(CASE, 6, 11, wording=words)]))

    people = [threading.Thread(target=one) for _ in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(found) == 8
    assert all(one == found[0] for one in found)


def test_a_playground_that_was_closed_opens_again() -> None:
    made = Playground()
    first = [r.text for r in made.runs(CASE, 2, 1)]
    made.prepare([(CASE, [])])
    made.close()
    made.close()
    assert [r.text for r in made.runs(CASE, 2, 1)] == first
    made.close()


# -- what the steps claim ----------------------------------------------------------------------------------------------


def test_every_step_says_something_before_the_guess_and_after_it() -> None:
    assert [one.name for one in LESSONS] == list(SHOWS)
    assert lesson("nothing") is None
    for one in LESSONS:
        assert one.question.endswith("?")
        assert one.before
        assert one.after
        assert one.work.endswith(".")
        assert one.command.startswith("reroll ")
        assert (one.ask == "choice") is bool(one.choices)


@pytest.mark.parametrize("name", [one.name for one in LESSONS])
def test_no_rate_is_written_into_a_text(name: str) -> None:
    dates = r"18 November|27 November|the 27th"
    numbers = re.findall(r"\d+", re.sub(dates, "", words_of(name)))
    assert set(numbers) <= ({"0"} if name == "temperature" else set()), numbers  # of temperatures
    assert "%" not in words_of(name)


def test_next_friday_is_the_date_that_the_tour_says(play: Playground) -> None:
    assert "Wednesday 2026-11-18" in example().program.system["today"]
    assert any(check.value.get("date") == "2026-11-27" for check in example().case(CASE).checks if check.kind == "json")
    assert "Wednesday, 18 November, so “next Friday” is 27 November" in words_of("again")
    text, chance, outcome = next(one for one in play.answers(CASE) if one[2] == "fail")
    assert '"2026-11-20"' in text
    assert outcome == "fail"
    assert 0.2 < chance < 0.5  # now and then


def test_five_runs_leave_almost_everything_open(play: Playground) -> None:
    for failed in range(6):
        low, high = interval(failed, 5)
        assert high - low > 0.6
    assert play.rate(CASE).sharp


def test_at_temperature_0_one_request_is_always_right_and_the_other_always_wrong(play: Playground) -> None:
    assert (play.rate(CASE, temperature=0.0).low, play.rate(CASE, temperature=0.0).high) == (0.0, 0.0)
    assert (play.rate(HALF, temperature=0.0).low, play.rate(HALF, temperature=0.0).high) == (1.0, 1.0)
    assert play.answers(CASE)[0][2] == "pass"  # the likeliest answer
    assert play.answers(HALF)[0][2] == "fail"
    assert len({r.text for r in play.runs(CASE, 8, 1, temperature=0.0)}) == 1
    rates = [play.rate(CASE, temperature=t).value for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert rates == sorted(rates)


def test_the_vaguer_the_words_the_flatter_the_place_where_it_is_decided(play: Playground) -> None:
    plain, awkward, clear = steps.words(play, "awkward", 4).said
    assert plain.place.before == awkward.place.before == clear.place.before == '{"date":"2026-11-'  # the day
    assert clear.likeliest > 0.95  # nearly all of the chance
    assert clear.likeliest > plain.likeliest > awkward.likeliest  # flatter and flatter
    assert clear.place.tokens[0][0] == plain.place.tokens[0][0] == steps.RIGHT
    assert awkward.place.tokens[0][0] == "20"  # the wrong day is the likelier one
    assert clear.rate.high < plain.rate.low < plain.rate.high < awkward.rate.low


def test_a_wrong_answer_is_lost_at_one_token_most_of_it_is_a_matter_of_course(play: Playground) -> None:
    texts = [one for one, chance, outcome in play.answers(CASE) if outcome == "fail" and chance > 0.003]
    for text in texts:
        turns = play.turns(CASE, text)
        assert turns is not None
        assert turns.points[turns.worst].high < 0.05  # no way back
        assert turns.lost > 0.9 * turns.points[0].value
        assert sum(turns.cost(k) > 0.02 for k in range(1, len(turns.points))) <= 2  # one or two places
    first = play.turns(CASE, texts[0])
    assert first is not None
    assert first.points[first.worst].token == "20"


def test_the_patch_mends_the_reported_request_and_no_other(play: Playground) -> None:
    patch = fix("hard-code")
    assert play.rate(CASE).low > 0.3 > 0.05 > play.rate(CASE, fixes=[patch]).high
    for id in [*relatives("neighbour"), *relatives("lookalike"), *relatives("control")]:
        assert play.rate(id, fixes=[patch]).value == pytest.approx(play.rate(id).value, abs=1e-3), id


def test_whoever_moves_that_lunch_gets_a_wrong_date_every_time_with_the_patch(play: Playground) -> None:
    assert play.rate(steps.MOVED).high < 0.06
    assert play.rate(steps.MOVED, fixes=[fix("hard-code")]).low > 0.99
    assert all(
        "right-meeting" in r.reason or "date" in r.reason
        for r in play.runs(steps.MOVED, 6, 1, fixes=[fix("hard-code")])
    )
    assert play.rate(steps.MOVED, fixes=[fix("describe-date")]).high < 0.06


def test_the_description_reaches_requests_that_nobody_has_reported(play: Playground) -> None:
    text = str(fix("describe-date").text)
    assert text in words_of("describe").replace("“ISO", "ISO").replace("”", "")
    for id in [CASE, *relatives("neighbour")]:
        assert play.rate(id, fixes=[fix("describe-date")]).high < 0.25 * play.rate(id).low, id
    moved = [play.rate(id, fixes=[fix("describe-date")]).value - play.rate(id).value for id in relatives("control")]
    assert all(abs(one) < 0.04 for one in moved)  # a little
    assert any(abs(one) > 0.002 for one in moved)  # everywhere


# -- guesses -----------------------------------------------------------------------------------------------------------


def test_a_guess_of_the_rate_is_held_against_what_is_read_and_against_what_five_runs_leave_open(
    play: Playground,
) -> None:
    truth = play.rate(CASE)
    near = steps.rate(play, str(round(100 * truth.value)), 4)
    assert near.score.near == "right"
    assert "as near as one can say" in near.score.words
    off = steps.rate(play, "99", 4)
    assert off.score.near == "off"
    low, high = interval(wrong(list(off.few)), 5)
    assert ("lay within" in off.score.words) is (low <= 0.99 <= high)
    assert f"{round(100 * (0.99 - truth.high))} points off" in off.score.words
    assert off.few == steps.again(play, "0", 4).fives[0]  # the five runs of the step before


def test_choices_are_judged_by_the_exact_rates(play: Playground) -> None:
    right = {"temperature": "never", "words": "awkward", "hard-code": "none", "describe": "most"}
    for one in LESSONS:
        for value, _ in one.choices:
            judged = SHOWS[one.name](value, 4)["score"]
            assert judged.near == ("right" if value == right[one.name] else "off"), (one.name, value)


def test_every_token_may_be_picked_and_the_reply_is_about_that_one(play: Playground) -> None:
    shown = SHOWS["dud"](None, 4)
    n = len(shown["pieces"])
    replies = [SHOWS["dud"](str(k), 4) for k in range(1, n + 1)]
    worst = replies[0]["dud"]
    assert [k for k, one in enumerate(replies, 1) if one["score"].near == "right"] == [worst]
    assert all("still came out right" in one["score"].words for one in replies[: worst - 1])
    assert all("was lost already" in one["score"].words for one in replies[worst:])


@pytest.mark.parametrize("guess", ["", "9" * 40, "<script>", "-1", "٣", "1e9", "nan"])
@pytest.mark.parametrize("step", [one.name for one in LESSONS])
def test_no_guess_breaks_a_step(step: str, guess: str) -> None:
    assert SHOWS[step](guess, 1)["score"].words


def test_a_server_that_ends_lets_the_model_of_the_tour_go(tmp_path: Path) -> None:
    pages_learn.let_go()
    before = dict(local._servers)
    init_project(tmp_path / "meetings")
    with Store.open(tmp_path / "store.sqlite") as store:
        home = Home(tmp_path / "meetings", store, secret=b"s" * 32)
        access = Access(Passes(home.secret), store)
        with TestClient(create_app(home, access), base_url="http://127.0.0.1:8585") as client:
            client.get(f"/?token={access.passes.link(time.time())}")
            assert client.get("/learn/again?seed=1&guess=3").status_code == 200
            assert pages_learn._play._model is not None
    assert pages_learn._play._model is None
    assert dict(local._servers) == before


def test_what_a_reader_does_is_answered_at_once(play: Playground) -> None:
    steps.prepare(play)
    for one in LESSONS:  # once, so that all is read
        SHOWS[one.name]("1", 20)
    took = {}
    for one in LESSONS:
        start = time.perf_counter()
        SHOWS[one.name]("1", 21)
        took[one.name] = time.perf_counter() - start
    start = time.perf_counter()
    steps.heat_at(play, 0.6, 1)
    took["heat"] = time.perf_counter() - start
    print({name: round(seconds, 2) for name, seconds in took.items()})
    assert max(took.values()) < 10, took  # about 1 s on two idle cores; a busy machine may take longer


# -- the pages ---------------------------------------------------------------------------------------------------------


@needs_chromium
def test_the_whole_tour_by_clicking_which_fits_a_telephone_too(tmp_path: Path) -> None:
    folder = tmp_path / "meetings"
    run("init", str(folder))
    been = []
    with served(folder) as server, browser() as chromium, tab(chromium, server.link) as visit:
        visit.go("/learn")
        visit.is_accessible()
        visit.page.click("a.button:has-text('Begin')")
        for one in LESSONS:
            visit.page.wait_for_selector(f"h1:has-text('{one.title}')")
            visit.page.wait_for_selector("html[data-ready]")
            visit.fits()
            assert not visit.page.locator(".seen").count()  # first the guess
            visit.page.locator(".guess button").first.click()
            visit.page.wait_for_selector(".seen .lead")
            assert len(visit.text(".seen .lead")) > 20
            if one.name == "temperature":
                visit.page.wait_for_selector(".heat[data-ready='1']")
                visit.page.locator("#heat").fill("0")
                visit.page.wait_for_selector(".heat[data-ready='0']")
                assert "0 of 20 runs at temperature 0 failed" in visit.text("#heat-words")
            if one.name == "words":
                visit.page.fill("input[name=own]", "<b>Ana</b> and lunch, Friday next week at noon")
                visit.page.click("button:has-text('See how often yours fails')")
                visit.page.wait_for_selector(".seen .lead:has-text('Yours fails in')")
                assert visit.page.input_value("input[name=own]").startswith("<b>Ana</b>")
            visit.fits()
            visit.is_accessible()  # the guess and what was seen
            been.append(visit.page.url.removeprefix(server.base))
            visit.page.click("a.button:has-text('Next'), a.button:has-text('To the end')")
        visit.page.wait_for_selector("text=Hold what you know loosely")
        assert "built in for teaching" in visit.text()
        assert visit.page.locator(".tally li").count() == len(LESSONS)
        visit.is_accessible()
        visit.page.set_viewport_size({"width": 390, "height": 844})
        visit.fits()
        for address in been:
            visit.go(address)
            visit.fits()
        visit.is_clean()


@needs_chromium
def test_the_tour_works_without_scripts_and_an_address_shows_what_it_showed(tmp_path: Path) -> None:
    folder = tmp_path / "meetings"
    run("init", str(folder))
    with served(folder) as server, browser() as chromium:
        with tab(chromium, server.link) as visit:
            address = "/learn/dud?guess=3&seed=8"
            visit.go(address)
            before = visit.text(".seen .lead")
            visit.go(address)
            assert visit.text(".seen .lead") == before
        context = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(server.another_link())
        page.goto(f"{server.base}/learn/rate?seed=8")
        page.click(".guess button")
        assert "You said 50" in page.inner_text(".seen .lead")
        page.click("a.button:has-text('Next')")
        page.click("button:has-text('Always')")
        assert "The slider needs scripts" in page.inner_text(".heat")
        context.close()
