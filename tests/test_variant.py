"""A variant is the program with one part changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from reroll.errors import UsageError
from reroll.program import Example, Program
from reroll.variant import changed_part, with_part

PROGRAM = Program(
    program="p",
    system={"role": "Be brief.", "format": "Reply in JSON."},
    documents={"policy": "No refunds."},
    examples=(Example(name="monday", user="u", assistant="a"),),
    params={"temperature": 1},
    response={"type": "object", "properties": {"date": {"type": "string", "description": "ISO"}, "who": {}}},
)


@pytest.mark.parametrize(
    ("part", "value", "found"),
    [
        ("system.role", "Be kind.", {"system": {"role": "Be kind.", "format": "Reply in JSON."}}),
        ("system.role", "", {"system": {"format": "Reply in JSON."}}),
        ("system.note", "Mind.", {"system": {"role": "Be brief.", "format": "Reply in JSON.", "note": "Mind."}}),
        ("documents.policy", "", {"documents": {}}),
        ("examples.monday", "", {"examples": ()}),
        ("params.temperature", 0, {"params": {"temperature": 0}}),
        ("params.top_p", 0.9, {"params": {"temperature": 1, "top_p": 0.9}}),
        ("model", "openai:other", {"model": "openai:other"}),
        ("structured", "both", {"structured": "both"}),
    ],
)
def test_one_part_changes_and_nothing_else(part: str, value: Any, found: dict[str, Any]) -> None:
    changed = with_part(PROGRAM, part, value)
    assert changed.model_dump() == {**PROGRAM.model_dump(), **found}
    assert changed.id != PROGRAM.id


def test_a_field_s_description_changes_and_the_order_of_fields_stays() -> None:
    changed = with_part(PROGRAM, "response.date.description", "Day, month, year.")
    assert changed.response == {
        "type": "object",
        "properties": {"date": {"type": "string", "description": "Day, month, year."}, "who": {}},
    }
    without = with_part(PROGRAM, "response.date.description", "")
    assert without.response is not None
    assert without.response["properties"]["date"] == {"type": "string"}
    assert PROGRAM.response is not None
    assert PROGRAM.response["properties"]["date"]["description"] == "ISO"


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("sistem.role", "x", "did you mean `system.role`"),
        ("system.rolle", "", "did you mean `system.role`"),
        ("response.dat.description", "x", "did you mean `response.date.description`"),
        ("response.date.colour", "x", "no part"),
        ("examples.tuesday", "", "no part"),
        ("examples.monday", "x", "can only be taken out"),
        ("structured", "sometimes", "cannot be that"),
        ("history", "x", "no part"),
    ],
)
def test_what_is_no_part_is_refused_with_what_there_is(part: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        with_part(PROGRAM, part, value)


def test_a_stored_request_cannot_be_changed_but_its_model_can() -> None:
    raw = Program(program="p", raw='{"messages": []}')
    with pytest.raises(UsageError, match="sent as it is"):
        with_part(raw, "system.role", "x")
    assert with_part(raw, "model", "openai:x").model == "openai:x"


def test_part_equals_value_is_read_and_paths_are_not() -> None:
    assert changed_part("params.temperature=0.5") == ("params.temperature", 0.5)
    assert changed_part("params.stop=END") == ("params.stop", "END")
    assert changed_part("system.note=a=b") == ("system.note", "a=b")
    assert changed_part("model=recorded:runs.jsonl#model=a") == ("model", "recorded:runs.jsonl#model=a")
    assert changed_part("../other") is None
    assert changed_part("./a=b/c") is None
    assert changed_part("=x") is None
