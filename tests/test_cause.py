"""The cause of a case's failures, by the whole command: named only when fresh runs show it, else said to be open."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks._causes import Cue, World, texts
from benchmarks._causes_kinds import world
from benchmarks._causes_server import Server, write_project

from reroll.answer import CauseSection, Hunch, NamedFactor, Rate
from reroll.cause import CheckDoubt, cause_sentences, enough_labels, never_asked
from reroll.caused import Stage, State, section_of, why_open
from reroll.check import Check
from reroll.cli import main
from reroll.evidence import Est, Evidence
from reroll.factor import Factor, Level
from reroll.finding import Found
from reroll.program import Request
from reroll.store import Store


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(port=47_319)  # always the same, so that no run of the tests differs from another by chance
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def project(server: Server, kind: str, seed: int, home: Path) -> tuple[World, Path]:
    """A planted world at the server, and the project that asks it."""
    planted = world(kind, seed)
    server.play(planted, seed)
    return planted, write_project(planted, home / kind, server.url)


def cause(folder: Path, capsys: pytest.CaptureFixture[str], *more: str, case: str = "reported") -> dict[str, Any]:
    """What the command says, as JSON."""
    budget = () if "--budget" in more else ("--budget", "600")
    told = ["cause", case, "--project", str(folder), "--json", "--yes", "--quiet", "--seed", "0"]
    code = main([*told, *budget, *more])
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def failed(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The sentence with which the command gives up before any call."""
    code = main(["cause", "reported", "--project", str(folder), "--yes", "--quiet", *more])
    _, err = capsys.readouterr()
    assert code == 2, err
    return err


# ---------------------------------------------------------------- what it says


def test_a_planted_clause_is_named_in_its_words_after_fresh_runs_side_by_side(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, folder = project(server, "system", 1, tmp_path)
    found = cause(folder, capsys)
    (cue,) = planted.cues
    assert found["verdict"] == "systematic"
    assert found["logic"] == "one"
    (named,) = found["factors"]
    assert named["id"] in cue.ids
    assert named["class"] == "system"
    assert named["effect"]["value"] > 0.2
    assert (
        0
        <= named["effect"]["low"]
        <= planted.rate - planted.without(frozenset({named["id"]}))
        <= named["effect"]["high"]
    )
    assert found["calls"]["verify"] > 0
    assert "because of" in found["text"]
    assert any(
        named["words"].split(" … ")[0] in clause
        for clause in yaml.safe_load((folder / "program.yaml").read_text())["system"].values()
    )
    assert found["rate"]["low"] <= planted.rate <= found["rate"]["high"]
    again = cause(folder, capsys)
    assert again["cost"]["calls"] + again["cost"]["control_calls"] == 0, "the same command again costs nothing"
    assert again["factors"] == found["factors"]


@pytest.mark.parametrize("seed", [302, 304, 308])
def test_a_bad_one_of_two_replicas_is_neither_bad_luck_nor_the_fault_of_the_words(
    seed: int, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls go to the two by turns. What is run in pairs begins by turns, too, if its order is not one of chance."""
    _, folder = project(server, "replica", seed, tmp_path)
    found = cause(folder, capsys, "--budget", "450")
    assert found["verdict"] in ("systematic", "undecided")
    assert [one["id"] for one in found["factors"]] in ([], ["serving.replica"])


def test_where_nothing_is_to_blame_nothing_is_named_and_the_smallest_visible_effect_is_said(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "none_30", 1, tmp_path)
    found = cause(folder, capsys)
    assert found["factors"] == []
    assert found["verdict"] in ("bad_luck", "undecided")
    assert "because" not in found["text"]
    assert found["smallest_visible"] is not None


def test_a_check_that_takes_turns_is_found_out_before_any_part_is_screened(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, folder = project(server, "noisy_check", 1, tmp_path)
    for code in folder.glob("*.py"):  # its turns are drawn: the same ones in every run of this test
        code.write_text(f"import random\nrandom.seed(4)\n{code.read_text()}")
    found = cause(folder, capsys)
    assert found["verdict"] == "checker"
    assert {one["id"] for one in found["factors"]} <= planted.cues[0].ids
    assert found["cost"]["calls"] <= 24
    assert "judged again" in found["text"]


def test_a_person_who_finds_the_failing_answers_right_puts_the_check_at_fault(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, folder = project(server, "strict_check", 1, tmp_path)
    found = cause(folder, capsys, "--person", f"{sys.executable} {folder / 'person.py'}")
    assert found["verdict"] == "checker"
    assert {one["id"] for one in found["factors"]} <= planted.cues[0].ids
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert 1 <= len(labels) <= 8
    again = cause(folder, capsys)
    assert again["verdict"] == "checker", "what people said is kept, and counts without asking them again"


def test_what_nobody_asked_for_is_an_expectation(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "expectation", 1, tmp_path)
    found = cause(folder, capsys)
    assert found["verdict"] == "expectation"
    assert "nothing in the request asks for" in found["text"]


def test_another_model_that_the_program_names_can_be_the_cause(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "model", 1, tmp_path)
    found = cause(folder, capsys)
    assert [(one["id"], one["class"]) for one in found["factors"]] == [("model", "model")]


def test_a_server_that_fails_in_a_crowd_is_named_and_no_part_of_the_request(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "cold", 0, tmp_path)
    found = cause(folder, capsys)
    assert {one["id"] for one in found["factors"]} <= {"serving.cold_cache"}
    assert all(one["class"] == "serving" for one in found["factors"])


# ---------------------------------------------------------------- hunches, memory, stopping


def test_a_hunch_is_held_against_fresh_runs_and_the_answer_says_whether_it_held(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, folder = project(server, "system", 1, tmp_path)
    (cue,) = planted.cues
    right = next(iter(cue.ids))
    found = cause(folder, capsys, "--suspect", right)
    assert found["hunch"] == {"factor": right, "held": True}
    assert found["calls"]["verify"] > 0
    wrong = next(id for id in found["cleared"] if id.startswith("system."))
    found = cause(folder, capsys, "--suspect", wrong)
    assert found["hunch"] == {"factor": wrong, "held": False}
    assert {one["id"] for one in found["factors"]} <= cue.ids
    assert any("has been asked of this case 2 times" in caveat for caveat in found["caveats"])
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        first, second = (d.samples for d in store.decisions(rule="cause/1"))
        proof = {s.seq for s in store.samples() if s.series.endswith(f"proof {wrong}") and s.seq in set(second)}
    assert len(proof) >= found["calls"]["verify"] > 0, "what was seen before the hunch is no proof of it"
    assert not proof & set(first)


def test_a_later_report_with_the_same_cause_is_recognised(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "system", 1, tmp_path)
    cases = yaml.safe_load((folder / "cases.yaml").read_text())
    reported = next(c for c in cases["cases"] if c["id"] == "reported")
    cases["cases"].append({**reported, "id": "second"})
    (folder / "cases.yaml").write_text(yaml.safe_dump(cases, sort_keys=False))
    first = cause(folder, capsys)
    second = cause(folder, capsys, case="second")
    assert first["like"] is None
    assert second["like"]["case"] == "reported"
    assert "looks like what was found for reported" in second["text"]
    assert second["cost"]["control_calls"] == 0, "what must stay was found for this program before"


def test_a_budget_that_is_too_small_is_undecided_and_says_how_many_calls_are_missing(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "user_and", 1, tmp_path)
    found = cause(folder, capsys, "--budget", "40")
    assert found["verdict"] == "undecided"
    assert found["factors"] == []
    assert found["calls_needed"] > 0
    spent = found["cost"]["calls"] + found["cost"]["control_calls"]
    assert spent <= 40
    on = cause(folder, capsys)
    assert on["verdict"] == "systematic"
    assert on["cost"]["reused"] >= spent - 8, "the same command goes on from there, but for a last batch cut short"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_words_that_must_stay_are_held_against_a_look_alike_before_the_last_calls_are_screened_away(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    said = "Please do this at once, in the usual way and at the usual time."
    right = [{"name": "right", "json": {"done": "yes"}}]
    planted = World(
        "words",
        seed,
        program={
            "program": "lunches",
            "model": "openai:planted",
            "effects": "none",
            "params": {"temperature": 1},
            "system": {f"clause_{k}": f"Clause number {k} of the house is kept. {said}" for k in range(14)},
            "user": "{request}",
        },
        cases=[
            {"id": "reported", "input": {"request": "Lunch with Ana next Friday."}, "checks": right},
            {"id": "like", "set": "lookalike", "of": "reported", "input": {"request": "Lunch with Ana on Friday."}},
            {"id": "far", "set": "lookalike", "of": "reported", "input": {"request": "Dinner with Ana on Friday."}},
            {"id": "usual", "set": "control", "input": {"request": "Coffee with Ben."}, "checks": right},
        ],
        cues=[Cue(frozenset({"user.1"}), lambda body, around: any("next" in text for text in texts(body)))],
        law=lambda on: 0.55 if on else 0.02,
        load_bearing=[("user.1", " with ")],
        easy=["Coffee with Ben."],
        passing=['{"done": "yes"}'],
        failing=['{"done": "no"}'],
    )
    for other in planted.cases[1:3]:
        other["checks"] = right
    server.play(planted, seed)
    folder = write_project(planted, tmp_path / "lunches", server.url)
    found = cause(folder, capsys, "--budget", "150")
    assert [one["id"] for one in found["factors"]] == ["user.1"]
    assert found["factors"][0]["words"] == "next"
    assert any("held against the case `like`" in caveat for caveat in found["caveats"])
    assert found["calls"]["screen"] >= 30, "the parts are looked at first"
    again = cause(folder, capsys, "--budget", "400")
    assert again["factors"] == found["factors"]
    assert again["cost"]["calls"] + again["cost"]["control_calls"] == 0, "what was found is found again at no call"


# ---------------------------------------------------------------- bad input


def test_a_hunch_that_is_no_part_gets_the_nearest_one(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, folder = project(server, "system", 1, tmp_path)
    right = next(iter(planted.cues[0].ids))
    assert f"did you mean `{right}`?" in failed(folder, capsys, "--suspect", f"{right}x")


def test_labels_that_contradict_one_another_are_named_with_their_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = project(server, "strict_check", 1, tmp_path)
    cause(folder, capsys, "--person", f"{sys.executable} {folder / 'person.py'}")
    path = folder / "labels.jsonl"
    label = json.loads(path.read_text().splitlines()[0])
    other = {"pass": "fail", "fail": "pass"}[label["outcome"]]
    path.write_text(path.read_text() + json.dumps({**label, "outcome": other}) + "\n")
    words = failed(folder, capsys)
    assert "labels.jsonl" in words
    assert "keep one" in words


def test_a_recording_cannot_be_asked_anything_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "program.yaml").write_text('program: p\nmodel: recorded:r.jsonl\nuser: "{q}"\n')
    (tmp_path / "cases.yaml").write_text("cases:\n  - id: reported\n    input: {q: hi}\n    checks: [{contains: hi}]\n")
    row = {"case_id": "reported", "run": 0, "model": "m", "params": {}, "messages": [], "completion": "hi"}
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    assert "answers no changed request" in failed(tmp_path, capsys)


# ---------------------------------------------------------------- the rules themselves


@pytest.mark.parametrize(
    ("doubt", "by"),
    [
        (CheckDoubt(), None),
        (CheckDoubt(again=24, changed=4, runs=8, turned=1), None),  # one verdict in ten wrong, in both directions
        (CheckDoubt(again=24, changed=15, runs=8, turned=5), "judging"),
        (CheckDoubt(again=3, changed=3, runs=1, turned=1), None),  # one answer says nothing of the others
        (CheckDoubt(labels=3, right=0), None),
        (CheckDoubt(labels=8, right=4), None),
        (CheckDoubt(labels=8, right=6), "person"),
        (CheckDoubt(labels=4, right=4), "person"),
        (CheckDoubt(labels=1, right=1), None),
    ],
)
def test_a_check_is_at_fault_only_where_it_is_contradicted_about_most_failures(
    doubt: CheckDoubt, by: str | None
) -> None:
    assert doubt.by == by


def test_no_more_than_eight_labels_are_ever_wanted() -> None:
    assert [enough_labels(8, right) for right in range(9)] == [True] * 9
    assert not enough_labels(2, 0)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check.of("contains", "Kind regards"), "Kind regards"),
        (Check.of("contains", "EUR"), None),
        (Check.of("json", {"total": 3}), "total"),
        (Check.of("tool_call", {"name": "refund"}), "refund"),
        (Check.of("python", "checks:anything"), None),
        (Check.of("not", {"contains": "refund"}), None),
    ],
)
def test_only_what_is_mentioned_nowhere_counts_as_never_asked_for(check: Check, said: str | None) -> None:
    request = Request("m", None, {"messages": [{"role": "user", "content": "Sum this invoice in EUR, please."}]})
    assert never_asked(request, [check]) == said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unlooked": True}, "what else could was not looked at to the end"),
        ({"open": ("serving.load",)}, "what looks like a difference in how it is served is not shown: serving.load"),
        ({"base": ["fail"] * 40}, "it fails every time, which is no chance"),
        ({}, ""),  # bad luck: nothing is open
    ],
)
def test_an_answer_that_stays_open_though_no_part_carries_it_says_what_else_is_open(
    more: dict[str, Any], said: str
) -> None:
    known = {"factors": (), "joint": None, "load_bearing": (), "suspected": (), "smallest_visible": 0.1}
    screened = Found("nothing", None, cleared=(0,), base=Evidence(), calls={}, calls_needed=None, why="none", **known)
    factor = Factor("user.1", "user", "words", ("user", "1"), (Level("out"),), shared=False)
    state = State(**{"stages": [Stage((factor,), screened)], "base": ["fail", "pass"] * 20, **more})
    assert why_open(state) == (f"no part by itself was found to carry the failure, and {said}" if said else "")


def test_what_carries_it_together_with_others_is_not_said_to_be_free_of_blame() -> None:
    plain: dict[str, Any] = {"load_bearing": (), "suspected": (), "base": Evidence(), "calls": {}, "calls_needed": None}
    parts = tuple(
        Factor(f"user.{k}", "user", f"words {k}", ("user", str(k)), (Level("out"),), shared=False) for k in range(3)
    )
    screened = Found("nothing", None, (), None, cleared=(0, 1, 2), smallest_visible=0.1, why="none", **plain)
    both = Factor("user", "user", "2 sentences", ("user", "0"), (Level("out"),), shared=False, members=parts[:2])
    drop = Est(0.3, 0.1, 0.5, 40)
    shown = Found("systematic", "one", ((0, drop),), drop, cleared=(), smallest_visible=None, why="pairs", **plain)
    said = section_of(State(stages=[Stage(parts, screened), Stage((both,), shown)], base=["fail", "pass"] * 20))
    assert [one.id for one in said.factors] == ["user"]
    assert said.cleared == ("user.2",)


def section(verdict: str, **more: Any) -> CauseSection:
    plain: dict[str, Any] = {
        "logic": None,
        "factors": (),
        "cleared": ("system.1", "system.2"),
        "smallest_visible": 0.12,
        "load_bearing": (),
        "together": None,
        "suspects": (),
        "left_out": (),
        "hunch": None,
        "like": None,
        "rate": Rate(6, 20, 0, 0.3, 0.1, 0.6, 0.05),
        "calls": {},
        "calls_needed": None,
        "text": "",
        "brief": "",
        "alpha": 0.05,
    }
    return CauseSection(verdict=verdict, **(plain | more))  # type: ignore[arg-type]


def named(id: str) -> NamedFactor:
    return NamedFactor(id, "system", "be brief", Est(0.5, 0.2, 0.8, 24))


@pytest.mark.parametrize(
    ("logic", "words"),
    [("and", "together; either alone"), ("or", "each alone is enough"), ("additive", "each adds to it")],
)
def test_how_two_parts_act_is_said_in_words(logic: str, words: str) -> None:
    both = (named("system.1"), named("user.2"))
    shown = section("systematic", logic=logic, factors=both, together=Est(0.5, 0.2, 0.8, 24))
    assert words in " ".join(cause_sentences(shown))


@pytest.mark.parametrize("verdict", ["bad_luck", "not_reproduced", "undecided"])
def test_because_is_never_said_of_what_was_not_shown(verdict: str) -> None:
    said = cause_sentences(section(verdict, suspects=(("system.1", 0.4),), calls_needed=80, hunch=Hunch("x", None)))
    assert not any("because" in sentence for sentence in said)


def test_what_is_only_likely_is_called_by_its_words_too() -> None:
    unsure = section("undecided", suspects=(("system.1", 0.4), ("serving.load", None)))
    said = " ".join(cause_sentences(unsure, known={"system.1": named("system.1")}))
    assert (
        f"likeliest by now: the instruction “{named('system.1').words}” (system.1): 40 % likely, serving.load." in said
    )


def test_that_nothing_was_found_says_how_often_such_a_search_sees_what_it_would() -> None:
    said = cause_sentences(section("bad_luck", cleared=("system.1", "user.1"), smallest_visible=0.2))[0]
    assert said == (
        "None of the 2 parts that were looked at was found to carry the failure; one that adds 20 points or more would "
        "have been seen in four of five such searches."
    )


def test_nothing_is_named_that_is_hardly_likely() -> None:
    unsure = section("undecided", suspects=(("system.1", 0.088), ("user.1", 0.05)))
    [said] = cause_sentences(unsure, known={"system.1": named("system.1")})
    assert said == "It is not known yet what carries the failure, and nothing stands out."


def test_undecided_says_how_many_more_calls_would_decide() -> None:
    assert "About 80 more calls would decide." in cause_sentences(section("undecided", calls_needed=80))
