"""Hidden reasoning shows in the bodies of every wire, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reroll.models.thoughts import thought_in


@pytest.mark.parametrize(
    ("body", "thought"),
    [
        ({"choices": [{"message": {"content": "4", "reasoning_content": "2 + 2"}}]}, True),
        ({"choices": [{"message": {"content": "4", "reasoning": "2 + 2"}}]}, True),
        ({"choices": [{"message": {"content": "4", "reasoning_content": ""}}]}, False),
        ({"usage": {"completion_tokens_details": {"reasoning_tokens": 64}}}, True),
        ({"usage": {"completion_tokens_details": {"reasoning_tokens": 0}}}, False),
        ({"usage": {"output_tokens_details": {"reasoning_tokens": 9}}}, True),
        ({"content": [{"type": "thinking", "thinking": "..."}, {"type": "text", "text": "4"}]}, True),
        ({"output": [{"type": "reasoning", "summary": []}, {"type": "message"}]}, True),
        ({"choices": [None, {"message": None}], "usage": None, "content": "reasoning"}, False),
    ],
)
def test_an_answer_that_was_thought_over_shows_it(body: dict[str, Any], thought: bool) -> None:
    assert thought_in(json.dumps(body)) is thought


@pytest.mark.parametrize("raw", [None, "", "no JSON", "[]", '"thinking"'])
def test_a_body_that_is_no_object_says_nothing(raw: str | None) -> None:
    assert not thought_in(raw)
