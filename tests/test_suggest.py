"""What is suggested follows from what was found, can be applied, and never gives the case's answer away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from reroll.answer import CauseSection, NamedFactor, Rate
from reroll.case import Case
from reroll.check import Check
from reroll.copying import copies
from reroll.evidence import Est
from reroll.program import Example, Program
from reroll.sample import Completion, Sample
from reroll.suggest import Other, Suggestion, suggestions

FIELDS = {
    "date": {"type": "string"},
    "time": {"type": "string"},
    "duration_min": {"type": "integer"},
    "attendees": {"type": "array", "items": {"type": "string"}},
}
MEETINGS = Program(
    program="meetings",
    params={"temperature": 1, "max_tokens": 96},
    system={
        "role": "You turn a request into one meeting.",
        "today": "Today is Wednesday 2026-11-18.",
        "format": "Answer with one JSON object and nothing else.",
    },
    response={"type": "object", "properties": FIELDS, "required": list(FIELDS)},
    structured="describe",
)
LUNCH = Case(
    id="next-friday",
    input={"request": "Lunch with Ana next Friday at noon"},
    checks=(
        Check.of("json", {"date": "2026-11-27"}, name="right-date"),
        Check.of("json", {"time": "12:00", "duration_min": 60, "attendees": ["Ana"]}, name="right-rest"),
        Check.of("schema", True, name="shape"),
    ),
)
COFFEE = Case(
    id="coffee", set="neighbour", of="next-friday", input={"request": "Coffee with Ben next Thursday at 10:00"}
)
CALL = Case(id="call", set="control", input={"request": "Call with Tom tomorrow at 9:30 for 30 minutes"})


def said(text: str | dict[str, Any], ending: str = "stop") -> Sample:
    return Sample(completion=Completion(text if isinstance(text, str) else json.dumps(text), ending))


def meeting(date: str, time: str = "12:00", who: str = "Ana") -> Sample:
    return said({"date": date, "time": time, "duration_min": 60, "attendees": [who]})


RIGHT, WRONG = [meeting("2026-11-27")] * 14, [meeting("2026-11-20")] * 6
OTHERS = (
    Other(COFFEE, (meeting("2026-11-26", "10:00", "Ben"),), (meeting("2026-11-19", "10:00", "Ben"),)),
    Other(CALL, (meeting("2026-11-19", "09:30", "Tom"),)),
)


def found(verdict: str = "systematic", *factors: tuple[str, str, str], **more: Any) -> CauseSection:
    named = tuple(NamedFactor(id, kind, words, Est(0.4, 0.3, 0.5, 60)) for id, kind, words in factors)
    plain: dict[str, Any] = {
        "logic": "one" if len(named) == 1 else None, "factors": named, "cleared": (), "smallest_visible": 0.12,
        "load_bearing": (), "together": None, "suspects": (), "left_out": (), "hunch": None, "like": None,
        "rate": Rate(6, 20, 0, 0.3, 0.1, 0.45, 0.05), "calls": {}, "calls_needed": None, "text": "", "brief": "",
        "alpha": 0.05,
    }  # fmt: skip
    return CauseSection(verdict=verdict, **(plain | more))  # type: ignore[arg-type]


def proposed(
    program: Program = MEETINGS,
    cause: CauseSection | None = None,
    failing: Sequence[Sample] = WRONG,
    passing: Sequence[Sample] = RIGHT,
    case: Case = LUNCH,
    checks: Sequence[str] = ("right-date",),
    most: int = 30,
    others: Sequence[Other] = OTHERS,
) -> tuple[Suggestion, ...]:
    return suggestions(program, case, cause, failing, passing, checks, most, others=others)


def kinds(of: Sequence[Suggestion]) -> list[str]:
    return [one.fix.kind for one in of]


def changed(**more: Any) -> Program:
    return Program.model_validate(MEETINGS.model_dump() | more)


# -- a cause was named


def test_a_stale_example_that_was_named_is_removed_first() -> None:
    program = changed(examples=[Example(name="monday", user="Tea on Monday", assistant='{"date": "2025-01-06"}')])
    first = proposed(program, found("systematic", ("examples.monday", "few-shot", "Tea on Monday")))[0]
    assert (first.fix.kind, first.fix.target) == ("example.remove", "examples.monday")
    assert first.predicted == Est(0.4, 0.3, 0.5, 60)
    assert "monday" in first.because


def test_a_misleading_description_that_was_named_is_replaced_first() -> None:
    fields = FIELDS | {"date": {"type": "string", "description": "The Friday that comes first."}}
    program = changed(response={"type": "object", "properties": fields})
    first = proposed(
        program, found("systematic", ("response.date.description", "schema", "The Friday that comes first."))
    )[0]
    assert (first.fix.kind, first.fix.target) == ("field.describe", "response.date.description")
    assert first.fix.text == "The date that the request asks for, worked out from all that it says, written YYYY-MM-DD."


def test_an_instruction_that_was_named_is_deleted_or_moved_and_never_said_louder() -> None:
    program = changed(system={**MEETINGS.system, "hurry": "Be quick about the date."})  # type: ignore[dict-item]
    all_of_them = proposed(program, found("systematic", ("system.hurry", "system", "Be quick about the date.")))
    about = [one.fix.kind for one in all_of_them if one.fix.target == "system.hurry"]
    assert about == ["clause.delete", "clause.move"]
    assert all_of_them[0].fix.kind == "clause.delete"


def test_words_of_an_instruction_that_were_named_go_and_the_rest_of_it_stays() -> None:
    program = changed(system={"rule": "Answer in JSON, and always take the first day, please keep it short."})
    first = proposed(program, found("systematic", ("system.rule", "system", "and always take the first day")))[0]
    assert (first.fix.kind, first.fix.text) == ("clause.edit", "Answer in JSON, please keep it short.")


def test_of_two_instructions_that_only_together_do_harm_one_is_kept() -> None:
    program = changed(system={"a": "Weeks begin on Sunday.", "b": "Weeks begin on Monday."})
    both = (("system.a", "system", "Weeks begin on Sunday."), ("system.b", "system", "Weeks begin on Monday."))
    first, second, *_ = proposed(program, found("systematic", *both, logic="and"))
    assert [(one.fix.kind, one.fix.target, one.fix.settings["over"]) for one in (first, second)] == [
        ("clause.deconflict", "system.a", ["b"]),
        ("clause.deconflict", "system.b", ["a"]),
    ]


@pytest.mark.parametrize(
    ("id", "words", "more", "kind", "settings"),
    [
        ("params.stop", 'stop = "."', {"params": {"stop": "."}}, "params.set", {"value": None}),
        ("params.max_tokens", "max_tokens = 96", {}, "params.set", {"value": 768}),
        ("params.temperature", "temperature = 1.6", {"params": {"temperature": 1.6}}, "params.set", {"value": 0.7}),
        ("response.order", "the order", {}, "response.reorder",
         {"order": ["duration_min", "attendees", "date", "time"]}),
        ("response.time.name", "the name", {}, "field.rename", {}),
        ("documents.policy", "Weeks begin on Sunday.", {"documents": {"policy": "Be kind. Weeks begin on Sunday."}},
         "document.trim", {"keep": [1]}),
        ("model", "bundled", {"alternatives": {"model": ["gguf:x"]}}, "model.pin", {}),
        ("examples.order", "the order of the examples",
         {"examples": [{"name": n, "user": n, "assistant": "{}"} for n in ("a", "b")]}, "example.reorder",
         {"order": ["b", "a"]}),
        ("serving.replica", "replica b", {"replicas": {"a": {"base_url": "http://a"}, "b": {"base_url": "http://b"}}},
         "serving.pin", {}),
        ("tools.find.description", "only on Mondays",
         {"tools": [{"function": {"name": "find", "description": "Finds free rooms, only on Mondays"}}]},
         "tool.describe", {}),
    ],
)  # fmt: skip
def test_each_kind_of_part_has_a_change_that_undoes_it(
    id: str, words: str, more: dict[str, Any], kind: str, settings: dict[str, Any]
) -> None:
    first = proposed(changed(**more), found("systematic", (id, "x", words)))[0]
    assert (first.fix.kind, first.fix.settings) == (kind, settings)


def test_what_passing_cases_cannot_do_without_is_neither_deleted_nor_moved() -> None:
    cause = found(
        "systematic", ("system.today", "system", "Today is Wednesday 2026-11-18."), load_bearing=("system.today",)
    )
    assert not {"clause.delete", "clause.move"} & set(kinds(proposed(cause=cause)))


def test_a_suspect_comes_before_what_answers_suggest_and_nothing_is_predicted_of_it() -> None:
    program = changed(examples=[{"name": "monday", "user": "Tea", "assistant": "{}"}])
    first = proposed(program, found("undecided", suspects=(("examples.monday", 0.9), ("system.role", 0.05))))[0]
    assert (first.fix.kind, first.predicted) == ("example.remove", None)
    assert "suspected" in first.because


@pytest.mark.parametrize("verdict", ["checker", "not_reproduced"])
def test_where_nothing_in_the_program_is_wrong_nothing_is_suggested(verdict: str) -> None:
    assert proposed(cause=found(verdict)) == ()


def test_what_nothing_asks_for_is_asked_for() -> None:
    case = Case(id="c", input={"request": "Sum it"}, checks=(Check.of("json", {"total": 12345}),))
    bare = Program(program="p", system="Help.")
    first = proposed(bare, found("expectation"), [said("twelve")], [], case, ("json-1",), others=())[0]
    assert (first.fix.kind, first.fix.text) == ("clause.add", "Answer with one JSON object that has these keys: total.")


# -- from the answers


def test_without_a_cause_a_case_like_it_is_shown_first_and_the_failing_field_described() -> None:
    assert [(one.fix.kind, one.fix.target) for one in proposed()[:4]] == [
        ("contrast.add", "system.contrast"),
        ("example.add", "examples.example"),
        ("reason.first", "response"),
        ("field.describe", "response.date.description"),
    ]


def test_a_description_comes_first_where_wrong_values_are_written_otherwise() -> None:
    first = proposed(failing=[meeting("next Friday"), meeting("Friday 27")], others=())
    assert "field.describe" in kinds(first)[:2]


def test_an_example_or_a_contrast_is_never_of_the_case_itself() -> None:
    own = Other(LUNCH, tuple(RIGHT), tuple(WRONG))
    shown = [one.fix for one in proposed(others=(own, *OTHERS)) if one.fix.kind in ("example.add", "contrast.add")]
    assert [fix.kind for fix in shown] == ["contrast.add", "example.add", "example.add"]
    assert shown[0].settings["user"] == "Coffee with Ben next Thursday at 10:00"
    assert "as date" in shown[0].settings["reason"]
    assert not [one for one in proposed(others=()) if one.fix.kind in ("example.add", "contrast.add")]


def test_of_neighbours_the_hardest_is_shown_and_of_others_what_gets_the_same_wrong() -> None:
    tea = Case(id="tea", set="neighbour", of="next-friday", input={"request": "Tea with Eva next Monday at 11:00"})
    hard = Other(tea, (meeting("2026-11-30", "11:00", "Eva"),), (meeting("2026-11-23", "11:00", "Eva"),) * 3)
    date = CALL.model_copy(update={"checks": (Check.of("json", {"date": "2026-11-19"}),)})
    alike = Other(date, (meeting("2026-11-19", "09:30", "Tom"),), (meeting("2026-11-18", "09:30", "Tom"),))
    shown = [one.fix.fix for one in proposed(others=(*OTHERS[:1], alike, hard)) if one.fix.kind == "contrast.add"]
    assert shown == ["contrast-tea", "contrast-coffee", "contrast-call"]


def test_trying_again_needs_a_check_that_production_can_run() -> None:
    assert "sample.verify" not in kinds(proposed()), "the schema does not see a wrong date"
    torn = proposed(failing=[said('{"date": "2026-11-27"}')] * 6)
    (verify,) = [one for one in torn if one.fix.kind == "sample.verify"]
    assert verify.fix.settings == {"checks": [{"schema": True}], "times": 2}
    assert verify.predicted is not None
    assert verify.predicted.value == pytest.approx(0.3 - 0.3**3, abs=0.001)


def test_a_check_that_every_case_has_can_run_in_production() -> None:
    polite = Check.of("not", {"contains": "idiot"})
    case = Case(id="c", input={"request": "hm"}, checks=(polite,))
    others = [Other(Case(id=f"o{k}", input={"request": "x"}, checks=(polite,))) for k in range(2)]
    program = Program(program="p", system="Be kind.")
    arguments: dict[str, Any] = {"failing": [said("idiot")] * 3, "passing": [said("ok")] * 7, "checks": ("not-1",)}
    assert "sample.verify" in kinds(proposed(program, case=case, others=others, **arguments))
    assert "sample.verify" not in kinds(proposed(program, case=case, others=(), **arguments))


def test_answers_that_were_cut_off_may_be_longer() -> None:
    first = proposed(failing=[said('{"date": "20', "length")] * 5)[0]
    assert (first.fix.kind, first.fix.target, first.fix.settings) == ("params.set", "params.max_tokens", {"value": 384})


def test_a_type_is_narrowed_where_right_answers_fit_and_wrong_ones_do_not() -> None:
    wrong = [meeting("27 November"), meeting("next Friday"), meeting("2026-11-20")]
    narrow = next(one for one in proposed(failing=wrong) if one.fix.kind.startswith("type."))
    assert (narrow.fix.kind, narrow.fix.text) == ("type.format", "date")
    assert not [one for one in proposed() if one.fix.kind.startswith("type.")]


def test_a_closed_list_comes_from_other_cases_only() -> None:
    program = Program(program="p", response={"type": "object", "properties": {"label": {"type": "string"}}})
    case = Case(id="c", input={"request": "hm"}, checks=(Check.of("json", {"label": "billing"}),))
    others = [
        Other(Case(id=f"o{k}", set="control", input={"request": f"r{k}"}), (said({"label": label}),))
        for k, label in enumerate(["billing", "access", "access", "billing"])
    ]
    arguments: dict[str, Any] = {"failing": [said({"label": "invoices"})], "passing": [said({"label": "billing"})]}
    enums = [one.fix for one in proposed(program, case=case, others=others, checks=("json-1",), **arguments)]
    assert [fix.settings for fix in enums if fix.kind == "type.enum"] == [{"values": ["access", "billing"]}]
    alone = proposed(program, case=case, others=(), checks=("json-1",), **arguments)
    assert "type.enum" not in kinds(alone)


def test_a_cooler_model_is_suggested_only_where_failures_are_shown_to_be_the_minority_and_with_a_warning() -> None:
    (cooler,) = [one for one in proposed(failing=WRONG, passing=RIGHT * 5) if one.fix.target == "params.temperature"]
    assert "fails every time" in cooler.because
    assert "params.temperature" not in [one.fix.target for one in proposed(failing=WRONG, passing=RIGHT[:4])]


def test_where_it_is_chance_drawing_otherwise_comes_early() -> None:
    chance = found("bad_luck", rate=Rate(6, 76, 0, 0.08, 0.03, 0.17, 0.05))
    assert "sample.vote" in kinds(proposed(cause=chance, passing=RIGHT * 5))[:5]


# -- whatever is suggested


def everything() -> list[tuple[Program, Case, Suggestion]]:
    named = ("system.today", "response.date.type", "user.1", "examples.monday", "response.date.name", "serving.burst")
    worlds = [MEETINGS, changed(examples=[{"name": "monday", "user": "Tea", "assistant": "{}"}])]
    causes = [None, *(found("systematic", (id, "x", "words")) for id in named), found("bad_luck"), found("expectation")]
    return [(w, LUNCH, one) for w in worlds for cause in causes for one in proposed(w, cause)]


def test_nothing_that_is_suggested_copies_the_case() -> None:
    for program, case, one in everything():
        known = "\n".join(part.text for part in program.parts())
        assert not copies(one.fix, case, known), one.fix


def test_every_suggestion_has_a_reason_of_one_sentence_and_a_name_of_its_own() -> None:
    for _, _, one in everything():
        assert one.because
        assert "\n" not in one.because
        assert len(one.because) < 260
    names = [one.fix.fix for one in proposed()]
    assert len(set(names)) == len(names)


def test_at_most_so_many_are_suggested_and_none_twice() -> None:
    assert len(proposed(most=3)) == 3
    assert proposed(most=0) == ()
    ids = [one.fix.id for one in proposed()]
    assert len(set(ids)) == len(ids)


def test_what_is_suggested_does_not_depend_on_the_order_of_the_runs() -> None:
    mixed = [*WRONG, meeting("2026-12-04")]
    assert proposed(failing=mixed) == proposed(failing=mixed[::-1])


# -- programs of other forms


def test_of_a_stored_request_only_what_is_around_it_can_change() -> None:
    schema = {"type": "object", "properties": {"date": {"type": "string"}}, "required": ["date"]}
    body = {
        "messages": [{"role": "user", "content": "Lunch"}],
        "temperature": 1,
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }
    program = Program(program="p", model="openai:m", raw=json.dumps(body))
    case = Case(id="c", checks=(Check.of("json", {"date": "2026-11-27"}, name="right-date"), Check.of("schema", True)))
    few = proposed(program, case=case, failing=[said("no"), meeting("2026-11-20")], passing=RIGHT * 5, others=())
    assert {"sample.verify", "params.set"} <= set(kinds(few))
    assert set(kinds(few)) <= {"sample.verify", "sample.vote", "params.set"}


def test_of_a_product_only_what_is_around_it_can_change() -> None:
    program = Program(program="p", model="http:http://localhost:1/x", response=MEETINGS.response, effects="none")
    few = proposed(program, failing=[said("no")] * 2, passing=RIGHT * 5)
    assert set(kinds(few)) == {"sample.verify", "sample.vote"}


def test_a_program_of_one_sentence_and_free_text_gets_what_fits_it() -> None:
    program = Program(program="p", system="Answer in one word.")
    case = Case(id="c", input={"request": "Capital of Peru?"}, checks=(Check.of("equals", "Lima"),))
    few = proposed(program, case=case, failing=[said("It is Lima.")], passing=[said("Lima")] * 9, checks=(), others=())
    assert all("Lima" not in str(one.fix.model_dump()) for one in few)
    assert not {"field.describe", "reason.first"} & set(kinds(few))


def test_nothing_known_means_nothing_to_suggest() -> None:
    assert proposed(failing=(), passing=()) == ()
