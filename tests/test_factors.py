"""A request taken apart: every part can be made neutral, the rest stays as it was, and messages stay well-formed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reroll.factor import Factor, groups_of
from reroll.factors import MOST, factors_of, inside
from reroll.fillers import differing, plainer
from reroll.neutral import neutral_request
from reroll.program import Example, Program

SCHEMA = {
    "type": "object",
    "properties": {
        "date": {"type": "string", "format": "date", "description": "ISO date"},
        "who": {"type": "string"},
    },
    "required": ["date", "who"],
}
PROGRAM = Program(
    program="p",
    model="openai:m",
    system={"role": "You are brief.", "format": "Reply in JSON."},
    documents={"policy": "No refunds after a month.", "hours": "Open from nine to five."},
    examples=(
        Example(name="a", user="u1", assistant="a1"),
        Example(name="b", user="u2", assistant="a2"),
        Example(name="c", user="u3", assistant="a3"),
    ),
    params={"max_tokens": 20, "temperature": 1, "stop": ["\n\n"]},
    tools=({"type": "function", "function": {"name": "find", "description": "Finds things.", "parameters": {}}},),
    history=({"role": "user", "content": "Earlier."}, {"role": "assistant", "content": "Yes?"}),
    user="Please help. {request} Answer at once.",
    response=SCHEMA,
    alternatives={"model": ["openai:older"]},
)
INPUT = {"request": "My parcel is late. It was sent to Bonn. What can I do?"}


def by_id(program: Program = PROGRAM, inputs: dict[str, Any] = INPUT, checked: str = "") -> dict[str, Factor]:
    return {f.id: f for f in factors_of(program, inputs, (), checked).all}


def without(*ids: str, way: int = 0) -> dict[str, Any]:
    parts = by_id()
    return dict(neutral_request(PROGRAM, INPUT, (), [(parts[id], way) for id in ids]).body)


def test_every_part_of_a_request_is_a_factor_of_its_class() -> None:
    assert {id: f.cls for id, f in by_id().items()} == {
        "system.role": "system",
        "system.format": "system",
        "documents.policy": "context",
        "documents.hours": "context",
        "documents.order": "context",
        "response.date.name": "schema",
        "response.date.type": "schema",
        "response.date.description": "schema",
        "response.who.name": "schema",
        "response.order": "schema",
        "examples.a": "few-shot",
        "examples.b": "few-shot",
        "examples.c": "few-shot",
        "examples.order": "few-shot",
        "tools.find.description": "schema",
        "history.1": "context",
        "history.2": "context",
        "user.1": "user",
        "user.2": "user",
        "user.3": "user",
        "user.4": "user",
        "user.5": "user",
        "params.max_tokens": "decoding",
        "params.stop": "decoding",
        "model": "model",
    }


def test_what_cannot_be_made_neutral_is_listed_with_the_reason() -> None:
    left = dict(factors_of(PROGRAM, INPUT, (), 'json: {"date": 1}').left_out)
    assert left["response.date.name"] == "the checks read this name"
    assert "audit" in left["params.temperature"]


def test_only_what_the_program_says_is_shared_with_other_cases() -> None:
    parts = by_id()
    assert parts["user.1"].shared  # words of the template, not of the case
    assert not parts["user.2"].shared
    assert parts["system.role"].shared


@pytest.mark.parametrize("id", sorted(by_id()))
def test_each_factor_changes_the_request_at_every_level(id: str) -> None:
    factor = by_id()[id]
    as_reported = PROGRAM.render(INPUT)
    for level in range(len(factor.levels)):
        changed = neutral_request(PROGRAM, INPUT, (), [(factor, level)])
        assert changed.id(changed.model) != as_reported.id(as_reported.model)


def test_nothing_chosen_is_the_request_exactly_as_reported() -> None:
    assert neutral_request(PROGRAM, INPUT, (), []) == PROGRAM.render(INPUT)


def test_a_clause_is_left_out_or_says_something_bland_of_about_its_length() -> None:
    assert "You are brief." not in without("system.role")["messages"][0]["content"]
    bland = without("documents.policy", way=1)["messages"][0]["content"]
    assert "No refunds" not in bland
    assert "Document policy: " in bland


def test_sentences_go_without_a_trace_and_the_others_stay() -> None:
    assert without("user.3")["messages"][-1]["content"] == (
        "Please help. My parcel is late. What can I do? Answer at once."
    )


def test_a_message_never_becomes_empty() -> None:
    assert without("user.1", "user.2", "user.3", "user.4", "user.5")["messages"][-1]["content"].strip()


def test_an_example_goes_with_both_its_turns_and_an_order_keeps_all() -> None:
    said = [m["content"] for m in without("examples.b")["messages"][1:5]]
    assert said == ["u1", "a1", "u3", "a3"]
    turned = [m["content"] for m in without("examples.order")["messages"][1:7]]
    assert sorted(turned) == ["a1", "a2", "a3", "u1", "u2", "u3"]
    assert turned != ["u1", "a1", "u2", "a2", "u3", "a3"]


def test_an_order_and_a_missing_example_go_together() -> None:
    said = [m["content"] for m in without("examples.order", "examples.c")["messages"][1:5]]
    assert sorted(said) == ["a1", "a2", "u1", "u2"]


def test_a_description_a_type_and_a_name_change_alone() -> None:
    def fields(*ids: str) -> dict[str, Any]:
        schema: dict[str, Any] = without(*ids)["response_format"]["json_schema"]["schema"]
        return schema

    assert fields("response.date.description")["properties"]["date"] == {"type": "string", "format": "date"}
    assert fields("response.date.type")["properties"]["date"] == {"type": "string", "description": "ISO date"}
    assert list(fields("response.order")["properties"]) == ["who", "date"]
    renamed = fields("response.date.name", "response.date.description", "response.order")
    assert sorted(renamed["properties"]) == ["field_1", "who"]
    assert renamed["required"] == ["field_1", "who"]


def test_a_short_limit_is_lifted_and_what_stops_early_is_dropped() -> None:
    changed = without("params.max_tokens", "params.stop")
    assert changed["max_tokens"] == 256
    assert "stop" not in changed
    assert changed["temperature"] == 1


def test_earlier_turns_stay_in_their_place_and_say_something_bland() -> None:
    changed = without("history.1")["messages"]
    assert [m["role"] for m in changed] == [m["role"] for m in PROGRAM.messages(INPUT)]
    assert "Earlier." not in json.dumps(changed)


def test_another_model_is_asked_where_the_program_names_one() -> None:
    assert neutral_request(PROGRAM, INPUT, (), [(by_id()["model"], 0)]).model == "openai:older"


def test_what_the_user_says_stands_in_for_a_part_wins() -> None:
    program = PROGRAM.model_copy(update={"neutral": {"system.format": "Reply in any form.", "user.2": "All is well."}})
    parts = by_id(program)
    assert [level.value for level in parts["system.format"].levels] == ["Reply in any form."]
    assert [level.value for level in parts["user.2"].levels] == ["All is well."]
    assert inside(program, INPUT, (), parts["system.format"]) == ()


def test_a_temperature_near_nothing_is_no_level() -> None:
    cold = PROGRAM.model_copy(update={"alternatives": {"params.temperature": [0]}})
    assert "params.temperature" not in by_id(cold)
    mild = PROGRAM.model_copy(update={"alternatives": {"params.temperature": [0, 0.7]}})
    assert [level.value for level in by_id(mild)["params.temperature"].levels] == [0.7]


def test_a_stored_request_is_taken_apart_and_sent_byte_for_byte_otherwise() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief. Be kind."},
            {"role": "user", "content": "One thing. Another thing. A third."},
        ],
        "max_tokens": 10,
        "seed": 4,
    }
    program = Program(program="p", model="openai:m", raw=json.dumps(body))
    parts = by_id(program, {})
    assert set(parts) == {"system.1", "system.2", "user.1", "user.2", "user.3", "params.max_tokens"}
    changed = neutral_request(program, {}, (), [(parts["system.1"], 0), (parts["user.2"], 0)])
    assert changed.raw is not None
    assert json.loads(changed.raw) == {
        **body,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "One thing. A third."}],
    }
    assert neutral_request(program, {}, (), []).raw == program.raw


def test_a_stored_request_that_is_no_chat_has_only_its_parameters() -> None:
    program = Program(
        program="p", model="openai:m", raw='{"messages": [{"role": "tool", "content": "x"}], "stop": "."}'
    )
    parts = by_id(program, {})
    assert set(parts) == {"params.stop"}
    assert json.loads(neutral_request(program, {}, (), [(parts["params.stop"], 0)]).raw or "") == {
        "messages": [{"role": "tool", "content": "x"}]
    }


def test_of_a_product_the_sentences_of_its_inputs_are_the_factors() -> None:
    program = Program(program="p", model="python:m:f", effects="none")
    inputs = {"text": "One thing. Two things. Three things.", "count": 3}
    parts = by_id(program, inputs)
    assert {"input.text.1", "input.text.2", "input.text.3"} <= set(parts)
    chosen = [(parts["input.text.1"], 0), (parts["input.text.3"], 0)]
    assert neutral_request(program, inputs, (), chosen).body == {"input": {"text": "Two things.", "count": 3}}


def test_a_short_request_falls_into_phrases_and_hedges_are_a_factor_of_their_own() -> None:
    program = Program(program="p", model="openai:m")
    inputs = {"request": "um lunch with Ana next Friday or something"}
    found = factors_of(program, inputs)
    assert [f.words for f in found.all if f.phrase] == ["um lunch", "with Ana", "next Friday", "or something"]
    wording = next(f for f in found.all if f.id == "user.wording")
    assert neutral_request(program, inputs, (), [(wording, 0)]).body["messages"][-1]["content"] == (
        "lunch with Ana next Friday"
    )
    phrases = [(f, 0) for f in found.all if f.words in ("with Ana", "or something")]
    assert neutral_request(program, inputs, (), phrases).body["messages"][-1]["content"] == "um lunch next Friday"


def test_of_too_many_sentences_neighbours_are_taken_together_and_come_apart_again() -> None:
    program = Program(program="p", model="openai:m")
    text = " ".join(f"This is thing number {k}." for k in range(200))
    found = factors_of(program, {"request": text})
    assert len(found) <= MOST
    assert found[0].id == "user.1..3"
    parts = inside(program, {"request": text}, (), found[0])
    assert [p.id for p in parts] == ["user.1", "user.2", "user.3"]
    left = neutral_request(program, {"request": text}, (), [(f, 0) for f in found.all[1:]])
    assert left.body["messages"][-1]["content"] == text[: text.index(" This is thing number 3.")]


def test_inside_a_part_are_its_sentences_and_inside_a_sentence_its_phrases() -> None:
    program = Program(
        program="p", model="openai:m", system={"rules": "Be kind to all. Never give a refund to anybody."}
    )
    rules = by_id(program, {"request": "x"})["system.rules"]
    both = inside(program, {"request": "x"}, (), rules)
    assert [p.words for p in both] == ["Be kind to all.", "Never give a refund to anybody."]
    assert [p.words for p in inside(program, {"request": "x"}, (), both[1])] == [
        "Never give",
        "a refund",
        "to anybody.",
    ]
    cut = neutral_request(program, {"request": "x"}, (), [(both[0], 0)])
    assert cut.body["messages"][0]["content"] == "Never give a refund to anybody."


def test_a_control_case_loses_only_what_it_shares() -> None:
    parts = by_id()
    other = {"request": "Where is the shop? I need it today. Is it far?"}
    changed = neutral_request(PROGRAM, other, (), [(parts["user.1"], 0), (parts["system.role"], 0)])
    assert changed.body["messages"][-1]["content"] == f"{other['request']} Answer at once."


def test_many_parts_of_one_kind_can_be_made_neutral_at_once_but_for_those_that_must_stay() -> None:
    parts = factors_of(PROGRAM, INPUT, ()).all
    user = next(k for k, f in enumerate(parts) if f.id == "user.3")
    groups = {g.id: g for g in groups_of(parts, without={user})}
    assert set(groups) == {"examples", "documents", "user"}
    assert "user.3" not in [f.id for f in groups["user"].members]
    said = neutral_request(PROGRAM, INPUT, (), [(groups["examples"], 0), (groups["user"], 0)]).body["messages"]
    assert [m["content"] for m in said if m["role"] == "assistant"] == ["Yes?"]
    assert said[-1]["content"] == "Please help. It was sent to Bonn. Answer at once."


def test_words_that_a_look_alike_does_not_share_are_found_in_their_order() -> None:
    assert differing("Lunch next Friday at noon", "Lunch next Monday at noon") == "Friday"
    assert plainer("Um, book a room, i guess.") == "book a room."
