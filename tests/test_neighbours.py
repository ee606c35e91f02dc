"""Neighbours and look-alikes: made by rule with the answer kept, held against a model, written without harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from reroll.appending import append_cases, write_cases
from reroll.case import Case
from reroll.errors import FileError, UsageError
from reroll.init import init_project
from reroll.lookalikes import alike, lookalikes, near_controls
from reroll.neighbours import KINDS, in_turn, neighbours
from reroll.program import Program
from reroll.project import load_project
from tests.background import in_background, reroll, write_project
from tests.fake_server import Act, answer, error

PLAIN = Program(program="p")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def case_of(text: str, *checks: dict[str, Any], **more: Any) -> Case:
    return Case(id="c", input={"request": text}, checks=checks, **more)


def made(case: Case, *kinds: str, program: Program = PLAIN, others: tuple[Case, ...] = ()) -> list[tuple[str, Any]]:
    """The requests of the neighbours of these kinds, each with its first check's value."""
    found = neighbours(case, program, others, kinds)
    return [(one.input.get("request", one.input), one.checks[0].value) for one in found]


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_name_is_changed_in_the_request_and_in_what_is_expected_alike() -> None:
    other = Case(id="o", input={"request": "Tea with Tom"}, checks=[{"json": {"who": ["Tom"]}}])
    case = case_of("Book tea with Ana and ask Ana's office at noon", {"json": {"who": ["Ana"]}})
    (first, *_) = made(case, "entity", others=(other,))
    assert first == ("Book tea with Tom and ask Tom's office at noon", {"who": ["Tom"]})


@pytest.mark.parametrize(
    ("text", "checks", "program"),
    [
        ("Book tea with Ana at noon", [{"contains": "yes"}], PLAIN),  # nothing pins the name down
        ("Book tea with Ana at noon", [{"json": {"who": "Ana"}}, {"python": "checks:fine"}], PLAIN),
        ("Book tea with Ana Silva at noon", [{"json": {"who": "Ana"}}], PLAIN),
        ("Book tea with Ana and tell her so", [{"json": {"who": "Ana"}}], PLAIN),
        ("How many letters are in the name Ana?", [{"equals": "Ana has 3 letters"}], PLAIN),
        ("Mittagessen mit Ana am Freitag", [{"json": {"who": "Ana"}}], PLAIN),  # elsewhere names are inflected
        ("Book tea with Ana at noon", [{"json": {"who": "Ana", "country": "Spain"}}], PLAIN),
        ("Book tea with Ana, ana@example.org, at noon", [{"json": {"who": "Ana"}}], PLAIN),
        ("Book tea with Ana at noon", [{"json": {"who": "Ana"}}], Program(program="p", system="Ana is away.")),
        ("Book tea with Ana at noon", [{"json": {"who": "Ana"}}, {"matches": "(?i)ana"}], PLAIN),
    ],
)
def test_a_name_is_left_alone_where_the_answer_could_hang_on_it(
    text: str, checks: list[dict[str, Any]], program: Program
) -> None:
    assert made(case_of(text, *checks), "entity", program=program) == []


def test_a_number_is_changed_to_the_same_side_of_every_number_that_is_named() -> None:
    program = Program(program="p", system="Over 60 minutes a room is booked.")
    found = made(case_of("A call for 45 minutes, please", {"json": {"minutes": 45}}), "number", program=program)
    assert ("A call for 30 minutes, please", {"minutes": 30}) in found
    assert all(value["minutes"] < 60 for _, value in found)


def test_numbers_in_words_and_with_commas_keep_their_form() -> None:
    words = made(case_of("A table for three in the garden", {"json": {"guests": 3}}), "number")
    commas = made(case_of("Pay the $1,200 to the shop", {"json": {"amount": 1200}}), "number")
    assert ("A table for four in the garden", {"guests": 4}) in words
    assert ("Pay the $1,300 to the shop", {"amount": 1300}) in commas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is 17 the prime that I want?", {"equals": "17"}),
        ("From 9:00 for 45 minutes at the desk", {"json": {"minutes": 45, "end": "09:45"}}),  # the end follows
        ("2 rooms for 2 nights in the inn", {"json": {"rooms": 2}}),  # which of the two?
        ("The sum of 12 and 30 is what I want", {"json": {"first": 12, "sum": 42}}),
        ("A film from 1999 for the evening", {"json": {"year": 1999}}),
    ],
)
def test_a_number_is_left_alone_where_something_follows_from_it(text: str, expected: dict[str, Any]) -> None:
    assert made(case_of(text, expected), "number") == []


@pytest.mark.parametrize(
    ("text", "expected", "new"),
    [
        ("Tea with the team at 15:00", "15:00", ("Tea with the team at 15:30", "15:30")),
        ("Tea with the team at 3 pm", "15:00", ("Tea with the team at 4 pm", "16:00")),
        ("Tea with the team at 3:30", "15:30", ("Tea with the team at 3:00", "15:00")),
        ("Dinner at half seven with the team", "19:30", ("Dinner at half six with the team", "18:30")),
        ("Lunch at noon with the team", "12:00", ("Lunch at 13:00 with the team", "13:00")),
    ],
)
def test_a_time_is_changed_in_the_style_it_is_written_in(text: str, expected: str, new: tuple[str, str]) -> None:
    found = made(case_of(text, {"json": {"time": expected}}), "time")
    assert (new[0], {"time": new[1]}) in found


def test_a_weekday_is_changed_only_where_it_is_known_what_day_is_today() -> None:
    case = case_of("Lunch with the team next Friday", {"json": {"date": "2026-11-27"}})
    today = Program(program="p", system="Today is Wednesday 2026-11-18.")
    assert made(case, "date", program=today) == [("Lunch with the team next Thursday", {"date": "2026-11-26"})]
    assert made(case, "date") == []
    every = case_of("Lunch with the team every Friday", {"json": {"date": "2026-11-20"}})
    assert made(every, "date", program=today) == []


def test_a_written_date_is_changed_in_its_own_form() -> None:
    found = made(case_of("The report is due on 27 November 2026", {"json": {"due": "2026-11-27"}}), "date")
    assert found[0] == ("The report is due on 26 November 2026", {"due": "2026-11-26"})


def test_inputs_of_their_own_and_checks_with_names_in_braces_follow() -> None:
    program = Program(program="p", user="Invite {who} for {n} minutes.")
    checks = [{"json": {"who": "{who}"}}, {"tool_call": {"name": "book", "arguments": {"minutes": 45}}}]
    case = Case(id="c", input={"who": "Ana", "n": 45, "unused": {"deep": ["Ana", 45]}}, checks=checks)
    for one in neighbours(case, program, kinds=("entity", "number")):
        minutes = one.checks[1].value["arguments"]["minutes"]
        assert one.checks[0].value == {"who": "{who}"}
        assert minutes == one.input["n"]
        assert one.input["unused"]["deep"] == [one.input["who"], one.input["n"]]


def test_earlier_turns_are_changed_with_the_rest() -> None:
    turns = ({"role": "user", "content": "I want to see Ana in the office"}, {"role": "assistant", "content": "When?"})
    case = case_of("Tomorrow with Ana at the desk", {"json": {"who": "Ana"}}, history=turns)
    one = neighbours(case, PLAIN, kinds=("entity",))[0]
    name = one.checks[0].value["who"]
    assert one.case.history[0]["content"] == f"I want to see {name} in the office"
    assert one.case.history[0]["role"] == "user"


def test_what_the_response_schema_does_not_take_is_not_made() -> None:
    response = {"type": "object", "properties": {"minutes": {"type": "integer", "enum": [15, 45]}}}
    found = made(
        case_of("A call for 45 minutes, please", {"json": {"minutes": 45}}),
        "number",
        program=Program(program="p", response=response),
    )
    assert [value["minutes"] for _, value in found] == [15]


# -- manners -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (Program(program="p", system="Translate the text into French."), "We are at the office in the morning"),
        (PLAIN, "Summarise the text that I sent to you"),
        (Program(program="p", user="Review: {request}\nIs it good?"), "The soup was cold and the bread was old"),
        (PLAIN, "今日の天気は？"),
        (PLAIN, "Mittagessen mit der Ana am Freitag"),
    ],
)
def test_words_that_are_no_english_request_get_typography_at_most(program: Program, text: str) -> None:
    for one in neighbours(case_of(text, {"contains": "x"}), program):
        assert one.kind == "format"
        assert one.input["request"].strip().rstrip(".") == text.rstrip(".")


def test_a_request_whose_checks_pin_nothing_keeps_manners_and_format() -> None:
    found = neighbours(case_of("Book a table for the team at the Ritz", {"contains": "yes"}), PLAIN)
    assert {"paraphrase", "length", "format", "register", "two"} <= {one.kind for one in found}
    assert not {"entity", "number", "time", "date"} & {one.kind for one in found}
    assert all(one.checks[0].value == "yes" for one in found)


def test_a_time_is_not_written_otherwise_where_it_must_be_repeated() -> None:
    assert made(case_of("Say that it is at 15:00", {"contains": "15:00"}), "locale") == []
    assert made(case_of("Tea at 15:00 for the team", {"json": {"at": "15:00"}}), "locale") == [
        ("Tea at 3 pm for the team", {"at": "15:00"})
    ]


def test_a_verb_that_the_time_belongs_to_keeps_it() -> None:
    moved = made(case_of("Move the meeting with the team on Friday", {"contains": "x"}), "order")
    assert moved == []
    assert made(case_of("Lunch with the team on Friday", {"contains": "x"}), "order")[0][0] == (
        "On Friday, lunch with the team"
    )


# -- all together ------------------------------------------------------------------------------------------------------


def test_neighbours_of_the_example_keep_shape_and_kinship(tmp_path: Path) -> None:
    init_project(tmp_path / "m")
    project = load_project(tmp_path / "m")
    for case in project.cases:
        found = neighbours(case, project.program, project.cases)
        inputs = [one.case.content_id for one in found]
        assert len({*inputs, *(c.content_id for c in project.cases)}) == len(inputs) + len(project.cases)
        assert len({one.id for one in found}) == len(found)
        for one in found:
            assert one.id.startswith(f"{case.id}~{one.kind}-")
            assert one.kind in KINDS
            assert (one.set, one.case.of) == ("neighbour", case.of if case.set == "neighbour" else case.id)
            assert one.why
            assert one.case.check_names() == case.check_names()
        assert neighbours(case, project.program, project.cases) == found


def test_so_many_are_taken_from_each_kind_in_turn() -> None:
    case = case_of("Book tea with Ana at 15:00 for the team", {"json": {"who": "Ana", "at": "15:00"}})
    few = neighbours(case, PLAIN, most=6)
    assert len(few) == 6
    assert len({one.kind for one in few}) == 6
    kinds = [one.kind for one in in_turn(neighbours(case, PLAIN))]
    assert len(set(kinds[: len(set(kinds))])) == len(set(kinds))


def test_ids_and_inputs_that_the_project_has_are_not_given_again() -> None:
    case = case_of("Book tea with Ana at noon", {"json": {"who": "Ana"}})
    first = neighbours(case, PLAIN, (case,), ("entity",), most=2)
    again = neighbours(case, PLAIN, (case, first[0].case), ("entity",), most=2)
    assert [one.id for one in again] == ["c~entity-2", "c~entity-3"]
    assert first[0].input not in [one.input for one in again]


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean `entity`"):
        neighbours(case_of("x", {"contains": "x"}), PLAIN, kinds=("entiy",))


@given(st.text(max_size=80), st.text(max_size=20), st.integers(-9999, 9999))
def test_no_text_breaks_them_and_checks_change_only_where_the_input_does(text: str, word: str, n: int) -> None:
    case = Case(
        id="c",
        input={"request": f"{text} {word} {n}", "more": {"a": [text, n, None, True]}},
        checks=[{"json": {"word": word, "n": n, "deep": [{"x": text}]}}, {"equals": word}],
    )
    for one in neighbours(case, PLAIN, most=20):
        assert one.case.content_id != case.content_id
        if one.kind not in ("entity", "number", "time", "date", "order"):
            assert one.checks == case.checks


# -- look-alikes -------------------------------------------------------------------------------------------------------


def test_look_alikes_come_from_controls_and_from_those_that_somebody_wrote(tmp_path: Path) -> None:
    init_project(tmp_path / "m")
    project = load_project(tmp_path / "m")
    case = project.case("next-friday")
    found = lookalikes(case, project.program, project.cases)
    assert {"Coffee with Ana on Friday at 10:00 for 60 minutes"} <= {one.input["request"] for one in found}
    assert any("from this-friday" in one.why for one in found)
    for one in found:
        assert (one.set, one.case.of, one.kind) == ("lookalike", "next-friday", "lookalike")
    near = near_controls(case, project.program, project.cases)
    assert near[0][0].id == "clear-friday"
    assert [share for _, share in near] == sorted((share for _, share in near), reverse=True)
    assert alike(case, case, project.program) == 1.0


# -- writing -----------------------------------------------------------------------------------------------------------

SAID = "x: 'y' # z\n\n  two\n"
NEW = Case(id="a~entity-1", set="neighbour", of="a", input={"request": SAID}, checks=[{"equals": "NO"}])


@pytest.mark.parametrize(
    "text",
    [
        'cases:\n  - id: a  # first\n    input: {request: "x"}  # kept\n    checks: [{equals: "1"}]\n  # the end\n',
        'cases:\n- id: a\n  input: {request: x}\n  checks:\n  - equals: "1"',
        "# head\ncases:\n    -   id: a\n        input:\n            request: |+\n                text\n\n\n",
        '\ufeffcases:\r\n  - {id: a, input: {request: "x"}}\r\n',
    ],
)
def test_cases_are_added_and_every_byte_before_them_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cases.yaml"
    file.write_bytes(text.encode())
    (tmp_path / "program.yaml").write_text("program: p\n")
    before = load_project(tmp_path).cases
    append_cases(file, [NEW, NEW.model_copy(update={"id": "a~entity-2"})], ["entity: Ana became\nBen", ""])
    assert file.read_bytes().startswith(text.encode())
    after = load_project(tmp_path).cases
    assert after[:1] == before
    assert after[1] == NEW
    assert [c.id for c in after] == ["a", "a~entity-1", "a~entity-2"]
    assert b"# entity: Ana became Ben" in file.read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    "text", ['cases: [{id: a, input: {request: "x"}}]\n', 'cases:\n  -\n    id: a\n    input: {request: "x"}\n']
)
def test_a_file_that_is_written_otherwise_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    with pytest.raises(FileError, match="--out"):
        append_cases(file, [NEW], [""])
    assert file.read_text() == text


def test_a_file_of_their_own_is_never_overwritten(tmp_path: Path) -> None:
    write_cases(tmp_path / "new.yaml", [NEW], ["why"])
    with pytest.raises(UsageError, match="exists already"):
        write_cases(tmp_path / "new.yaml", [NEW], ["why"])


# -- the command -------------------------------------------------------------------------------------------------------

CASES = """# all of them
cases:
  - id: tea   # reported
    input: {request: "Book tea with Ana at the Ritz for 45 minutes"}
    checks: [{name: who, json: {who: Ana, minutes: 45}}]
  - id: usual
    set: control
    input: {request: "Book tea with Tom at the Ritz for 30 minutes"}
    checks: [{name: who, json: {who: Tom, minutes: 30}}]
"""


def knowing(wrong: str = "", replies: dict[str, str] | None = None) -> Act:
    """Says what it reads in the request; nothing right where `wrong` stands in it; asked to reword, its reply."""

    async def act(request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())["messages"][-1]["content"]
        if said.startswith("Rewrite the request below"):
            style = said.removeprefix("Rewrite the request below").split(".")[0].strip()
            return await answer((replies or {}).get(style, "ok"))(request)
        words = said.replace(",", " ").replace(".", " ").split()
        who = next((words[k + 1] for k, w in enumerate(words[:-1]) if w.lower() == "with"), "?")
        minutes = next((int(w) for w in words if w.isdigit()), 0)
        bad = bool(wrong) and wrong in said
        return await answer(json.dumps({"who": "nobody" if bad else who, "minutes": minutes}))(request)

    return act


def run(capsys: Any, project: Path, *words: object, case: str = "tea") -> Any:
    return reroll(capsys, "neighbours", case, *words, "--project", project, "--yes", "--quiet")


def test_what_passes_is_added_and_what_never_does_is_set_aside_with_the_reason(tmp_path: Path, capsys: Any) -> None:
    with in_background(knowing(wrong="Please")) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project, "--json", "--count", "14").json
        calls = server.calls
    aside = found["aside"]
    assert found["schema"] == "reroll.neighbours/1"
    assert {one["case"]["input"]["request"].count("Please") for one in aside} == {1}
    assert all(one["runs"] == 4 and "none of 4 runs passed" in one["why"] for one in aside)
    assert all(one["runs"] == 1 for one in found["kept"] if one["kind"] != "lookalike")
    assert calls == found["cost"]["calls"]
    inputs = [one["case"]["input"]["request"] for one in (*found["kept"], *aside)]
    assert len(set(inputs)) == len(inputs)
    text = (project / "cases.yaml").read_text()
    assert text.startswith(CASES)
    cases = load_project(project).cases
    assert [c.id for c in cases[2:]] == [one["case"]["id"] for one in found["kept"]]
    assert {(c.set, c.of) for c in cases[2:]} == {("neighbour", "tea")}


def test_the_same_command_takes_the_next_ones_and_draws_nothing_twice(tmp_path: Path, capsys: Any) -> None:
    with in_background(knowing(wrong="worry")) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        first = run(capsys, project, "--json", "--count", "6", "--kinds", "two,length").json
        calls = server.calls
        second = run(capsys, project, "--json", "--count", "2", "--kinds", "two,length").complaint
        assert server.calls == calls
        bodies = [json.loads(body)["messages"][-1]["content"] for body in server.bodies]
    assert len(first["kept"]) == 5
    assert "none of 1 candidate can be used" in second
    assert max(bodies.count(one) for one in bodies) == 4


def test_a_budget_that_ends_leaves_the_rest_open_and_a_higher_one_goes_on(tmp_path: Path, capsys: Any) -> None:
    with in_background(knowing()) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        words = ("--json", "--count", "5", "--kinds", "entity")
        few = run(capsys, project, *words, "--budget", "2", "--out", tmp_path / "a.yaml")
        more = run(capsys, project, *words, "--out", tmp_path / "b.yaml").json
        assert server.calls == 5
    assert few.code == 4
    assert (len(few.json["kept"]), len(few.json["open"]), few.json["finished"]) == (2, 3, False)
    assert "higher --budget" in few.json["stopped"]
    assert (len(more["kept"]), more["cost"]["reused"]) == (5, 2)
    assert (project / "cases.yaml").read_text() == CASES


def test_a_dry_run_calls_nothing_and_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    with in_background(knowing()) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project, "--dry-run", "--json").json
        page = run(capsys, project, "--dry-run").out
        assert server.calls == 0
    assert (found["dry_run"], len(found["open"]), found["file"]) == (True, 12, None)
    assert "at most 48 calls" in " ".join(page.split()).replace("┃ ", "")
    assert (project / "cases.yaml").read_text() == CASES


def test_the_model_writes_some_and_what_cannot_be_used_is_counted(tmp_path: Path, capsys: Any) -> None:
    replies = {
        "in other words": "Arrange tea with Ana at the Ritz, 45 minutes",
        "more formally": '{"who": "Ana"}',
        "more briefly": "Tea with Bob at the Ritz for 45 minutes",
    }
    with in_background(knowing(replies=replies)) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project, "--write", "3", "--count", "0", "--json").json
        calls = server.calls
    assert [one["case"]["input"]["request"] for one in found["kept"]] == [replies["in other words"]]
    assert found["kept"][0]["case"]["id"] == "tea~written-1"
    assert len(found["dropped"]) == 2
    assert calls == found["cost"]["calls"] == 4
    assert load_project(project).case("tea~written-1").checks == load_project(project).case("tea").checks


def test_a_look_alike_is_kept_only_where_most_runs_pass(tmp_path: Path, capsys: Any) -> None:
    with in_background(knowing(wrong="Ana")) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project, "--kinds", "lookalike", "--json", "--count", "4").json
    (kept,), (aside,) = found["kept"], found["aside"]
    assert (kept["case"]["set"], kept["runs"], kept["passes"]) == ("lookalike", 3, 3)
    assert kept["case"]["input"]["request"] == "Book tea with Tom at the Ritz for 45 minutes"
    assert (aside["runs"], aside["passes"]) == (2, 0)
    assert "the baseline is not right here" in aside["why"]


def test_a_server_that_answers_nothing_ends_it_and_changes_no_file(tmp_path: Path, capsys: Any) -> None:
    with in_background(error(401, "no key")) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project)
    assert "key-refused" in found.complaint
    assert (project / "cases.yaml").read_text() == CASES


def test_garbage_is_set_aside_and_said_to_be_perhaps_the_case_itself(tmp_path: Path, capsys: Any) -> None:
    with in_background(answer("\x1b[31m\u202e never JSON")) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = run(capsys, project, "--count", "3")
    assert "whether the case itself ever passes" in found.complaint
    assert "no-neighbours" in found.complaint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kinds", "entiy"), "did you mean `entity`"),
        (("--count", "-1"), "--count is a number from 0 to 200"),
        (("--runs", "0"), "--runs is a number from 1 to 64"),
        (("--count", "0"), "so say with --write"),
        (("--horizon", "9"), "leave --horizon out"),
        (("--kinds", "date"), "no neighbour of case `tea` can be made by rule"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, capsys: Any, words: tuple[str, ...], said: str) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:9", cases=CASES)
    assert said in run(capsys, project, *words).complaint


def test_what_cannot_have_neighbours_is_said_before_any_call(tmp_path: Path, capsys: Any) -> None:
    project = write_project(
        tmp_path, "http://127.0.0.1:9", cases=CASES + "  - id: bare\n  - {id: dumb, checks: [{contains: x}]}\n"
    )
    assert "did you mean `tea`" in run(capsys, project, case="teaa").complaint
    assert "has no checks" in run(capsys, project, case="bare").complaint
    assert "has no input" in run(capsys, project, case="dumb").complaint
    taken = tmp_path / "taken.yaml"
    taken.write_text("mine")
    assert "exists already" in run(capsys, project, "--out", taken).complaint
    assert taken.read_text() == "mine"


def test_the_bundled_model_passes_most_neighbours_of_the_example(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path / "m")
    found = run(capsys, tmp_path / "m", "--json", "--seed", "1", case="half-seven").json
    kept = [one["kind"] for one in found["kept"]]
    assert len(kept) >= 8
    assert {"entity", "time", "date"} <= set(kept)
    page = run(capsys, tmp_path / "m", "--count", "4", case="half-seven")
    assert page.code == 0
    assert "can be used" in page.out
