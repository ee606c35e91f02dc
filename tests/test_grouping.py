"""Failing samples make groups by what was observed of them: facts first, texts to the letter, in bounded memory."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from reroll.check import Outcome
from reroll.grouping import KEPT_HASHES, Grouping, Observed, facts_of, normalised
from reroll.init import init_project
from reroll.leaving import Paths
from reroll.sample import Completion, Sample, Token
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import answer, error
from tests.test_real_data import AIRLINE, LETTER, MATHS

PASS = Outcome("pass", "ok", "right-date")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def wrong(field: str, got: object, check: str = "right-date") -> Outcome:
    return Outcome("fail", f"{field} is {json.dumps(got)}, expected {json.dumps('x')}", check)


def sample(text: str, finish: str = "stop") -> Sample:
    return Sample(Completion(text, finish))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ('date is "2026-11-20", expected "2026-11-27"', "date is “…”, expected “…”"),
        ("duration_min is 45, expected 60", "duration_min is #, expected #"),
        ('attendees is ["Ana", "Ben"], expected ["Ana"]', "attendees is “…”, expected “…”"),
        ("not JSON: starts with 'Sure! Here is…'", "not JSON: starts with “…”"),
        ("not JSON: breaks at character 17, before '}'", "not JSON: breaks at character #, before “…”"),
        ('guests[0].name is missing, expected "Ana"', "guests[].name is missing, expected “…”"),
        ("field_2 is null", "field_2 is null"),
    ],
)
def test_reasons_are_the_same_where_only_their_values_differ(reason: str, said: str) -> None:
    assert normalised(reason) == said


def test_a_field_that_a_reason_names_is_a_fact() -> None:
    facts = facts_of(sample("{}"), [Outcome("fail", "guests[3].name is missing, expected 'Ana'", "shape")])
    assert facts is not None
    assert facts.parts == ("guests[].name",)
    call = facts_of(sample("{}"), [Outcome("fail", 'calls book, but arguments.date is "x", expected "y"', "call")])
    assert call is not None
    assert call.parts == ("arguments.date",)
    none = facts_of(sample("no"), [Outcome("fail", "does not contain 'yes'", "says-yes")])
    assert none is not None
    assert none.parts == ()


def test_what_checks_say_how_it_ended_and_what_came_instead_make_groups_the_largest_first() -> None:
    grouping = Grouping()
    kinds = [
        (sample("a"), (wrong("date", "2026-11-20"),), 5),
        (sample("b"), (wrong("date", "2026-11-21"),), 2),
        (sample("c"), (wrong("time", "18:30"),), 4),
        (sample("d", "length"), (Outcome("fail", "cut off by max_tokens", "right-date"),), 3),
        (Sample(error="http 503: busy, try again in 17 s"), (Outcome("invalid", "http 503: busy", "right-date"),), 2),
        (Sample(error="http 503: other words"), (Outcome("invalid", "http 503: other words", "right-date"),), 1),
        (sample("ok"), (PASS,), 10),
    ]
    k = 0
    for one, outcomes, n in kinds:
        for _ in range(n):
            grouping.add(Observed(f"s_{k}", "case", one, outcomes))
            k += 1
    found = grouping.groups()
    assert [g.count for g in found] == [7, 4, 3, 3]
    assert [g.facts.parts for g in found[:2]] == [("date",), ("time",)]
    assert found[0].distinct == 2
    assert [(t.text, t.count) for t in found[0].texts] == [("a", 5), ("b", 2)]
    assert found[1].name == 'right-date: time is "18:30", expected "x"', "one reason of all is said as it is"
    cut = next(g for g in found if g.facts.ended)
    assert any("cut off" in words for words in cut.differs)
    lost = next(g for g in found if g.facts.error)
    assert (lost.name, lost.outcome, lost.count) == ("no answer: http 503", "invalid", 3)
    assert sum(g.of_bad for g in found) == pytest.approx(1)
    share = found[0].share
    assert share.value == pytest.approx(7 / 27)
    assert (share.low or 0) < 7 / 27 < (share.high or 1)


def test_the_token_at_which_passing_paths_are_left_tells_groups_apart() -> None:
    def said(*tokens: str) -> Sample:
        return Sample(Completion("".join(tokens), tokens=tuple(map(Token, tokens))))

    paths = Paths()
    for _ in range(5):
        paths.add(said("date ", "27", " noon").completion or Completion(""))
        paths.add(said("date ", "27", " at ", "noon").completion or Completion(""))
    grouping = Grouping()
    for k in range(12):
        grouping.add(Observed(f"a{k}", "c", said("date ", "20", " noon"), (wrong("date", "20"),)), paths)
    for k in range(4):
        grouping.add(Observed(f"b{k}", "c", said("Sure", " date"), (wrong("date", "Sure"),)), paths)
    grouping.add(Observed("c0", "c", said("date ", "27", " noon"), (wrong("date", "27"),)), paths)
    found = grouping.groups()
    assert [(g.count, g.leaving.token if g.leaving else None) for g in found] == [(12, "20"), (4, "Sure"), (1, None)]
    assert any("“20” after “…date ”" in words for words in found[0].differs)
    assert not found[2].elsewhere


def test_answers_that_leave_everywhere_are_one_group_and_not_one_each() -> None:
    paths = Paths()
    for k in range(20):
        paths.add(Completion(f"word{k} and so on"))
    grouping = Grouping()
    for k in range(1000):
        grouping.add(Observed(f"s{k}", "c", sample(f"other{k} thing"), (wrong("date", k),)), paths)
    for k in range(200):
        grouping.add(Observed(f"t{k}", "c", sample("Sorry, no"), (wrong("date", k),)), paths)
    found = grouping.groups()
    assert [(g.count, g.elsewhere) for g in found] == [(1000, True), (200, False)]
    assert found[1].leaving is not None
    assert found[1].leaving.token == "Sorry"


def test_many_different_texts_are_estimated_to_within_a_few_percent() -> None:
    grouping = Grouping()
    for k in range(30_000):
        grouping.add(Observed(f"s{k}", "c", sample(f"text {k % 20_000}"), (wrong("date", k),)))
    (group,) = grouping.groups()
    assert not group.exact
    assert abs(group.distinct - 20_000) < 4 * 20_000 / KEPT_HASHES**0.5


def test_what_is_kept_has_a_limit_however_many_samples_come() -> None:
    """Each with a text, a case and a place of its own: the most that one could ask to be kept."""
    paths = Paths()
    paths.add(Completion("yes it is"))
    grouping = Grouping()

    def kept() -> int:
        heaps = [heap for heaps in grouping._heaps.values() for heap in heaps.values()]
        return sum(len(h.texts) + len(h.distinct.known) + len(h.cases) + len(h.variants) for h in heaps)

    for k in range(16_000):
        grouping.add(Observed(f"s{k}", f"case {k}", sample(f"w{k} is"), (wrong("f", k, "c"),)), paths)
        if k == 7_999:
            half = kept()
    assert kept() == pytest.approx(half, rel=0.1)
    assert kept() < 4_000


def test_the_bundled_model_fails_in_groups_that_a_person_can_read(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path)
    reroll(capsys, "rerun", "next-friday", "--project", tmp_path, "--quiet", "--json", "--seed", "3")
    found = reroll(capsys, "samples", "next-friday", "--group", "--project", tmp_path, "--json").json
    assert found["schema"] == "reroll.groups/1"
    first = found["groups"][0]
    assert first["name"] == 'right-date: date is "2026-11-20", expected "2026-11-27"'
    assert first["leaving"]["token"] == "20"
    assert first["leaving"]["before"].endswith("2026-11-")
    assert sum(g["count"] for g in found["groups"]) == found["failures"] + found["invalid"]
    picture = tmp_path / "page.svg"
    page = reroll(capsys, "samples", "--group", "--project", tmp_path, "--svg", picture).out
    assert "field date" in page
    assert "take samples to be alike" in " ".join(page.split())
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")


def test_a_share_of_runs_as_they_are_and_of_changed_ones_together_has_no_range(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path)
    at = ("--project", tmp_path)
    reroll(capsys, "rerun", "next-friday", *at, "--quiet", "--json", "--seed", "3", "--budget", "40")
    before = reroll(capsys, "samples", "next-friday", "--group", *at, "--json").json
    assert not before["mixed"]
    assert before["groups"][0]["share"]["low"] > 0
    change = ("compare", "params.temperature=0.5", "--case", "next-friday", "--budget", "20", "--quiet")
    reroll(capsys, *change, *at)
    after = reroll(capsys, "samples", "next-friday", "--group", *at, "--json").json
    assert after["mixed"]
    assert [after["groups"][0]["share"][end] for end in ("low", "high")] == [None, None]
    page = reroll(capsys, "samples", "next-friday", "--group", *at).out
    assert "shares say nothing of how often anything fails" in " ".join(page.split())
    assert "of all (" not in page


def test_errors_of_a_server_are_groups_of_their_own_over_all_cases(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("REROLL_TRIES", "1")
    acts = [answer("yes"), answer("no"), error(503), answer("no", finish_reason="length")]
    with in_background(by_number(lambda n: acts[n % 4])) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--project", project, "--quiet", "--json", "--budget", "24")
    found = reroll(capsys, "samples", "--group", "--project", project, "--json").json
    assert {g["facts"]["error"] for g in found["groups"]} == {"", "http 503"}
    assert {g["facts"]["ended"] for g in found["groups"]} == {"", "length"}
    assert found["cases"] == 1


def test_nothing_stored_and_two_ways_at_once_are_one_sentence(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path)
    reroll(capsys, "rerun", "next-friday", "--project", tmp_path, "--quiet", "--json", "--budget", "4")
    assert "no sample of case" in reroll(capsys, "samples", "awkward", "--group", "--project", tmp_path).complaint
    assert "two ways" in reroll(capsys, "samples", "awkward", "--group", "--tree", "--project", tmp_path).complaint


@pytest.mark.skipif(not AIRLINE.exists(), reason="no recorded data")
def test_failed_airline_conversations_are_told_apart_by_the_last_tool_called(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path / "p")
    store = tmp_path / "s.sqlite"
    reroll(capsys, "import", AIRLINE, "--store", store, "--json")
    found = reroll(capsys, "samples", "--group", "--project", tmp_path / "p", "--store", store, "--json").json
    assert (found["samples"], found["failures"], found["cases"]) == (200, 116, 50)
    first, second = found["groups"][:2]
    assert (first["facts"]["tool"], first["count"], first["passes_so"]) == ("update_reservation_flights", 28, 7)
    assert (second["facts"]["tool"], second["count"], second["passes_so"]) == ("book_reservation", 19, 1)


@pytest.mark.skipif(not MATHS.exists(), reason="no recorded data")
def test_wrong_maths_answers_are_told_apart_by_how_they_begin(tmp_path: Path, capsys: Any) -> None:
    """A third of the failures under one prompt are JSON in a code fence: the check's business, not the model's."""
    init_project(tmp_path / "p")
    store = tmp_path / "s.sqlite"
    reroll(capsys, "import", MATHS, "--check", LETTER, "--store", store, "--json")
    found = reroll(capsys, "samples", "--group", "--project", tmp_path / "p", "--store", store, "--json").json
    fence = next(g for g in found["groups"] if g["leaving"] and g["leaving"]["token"] == "`")
    assert dict(map(tuple, fence["variants"])) == {"answer-schema": fence["count"]}
    assert fence["count"] > 400
    assert fence["distinct"] == 4
