"""The bundled model's own exact probabilities, read from llama.cpp token by token: what tests take as the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reroll.case import Case
from reroll.models.local import LocalModel
from reroll.models.openai import OpenAIModel
from reroll.program import Program

WHOLE_VOCABULARY = 100_000  # llama.cpp lists as many tokens as there are
LIKELY = 40  # tokens that are listed first: the one that is asked about is mostly among them, and a short list is quick


async def exact_pass(model: LocalModel, program: Program, case: Case) -> float:
    """The exact chance that the one right answer to this case comes out at temperature 1.

    Other right spellings (white space, another order of keys) are left out; for the bundled model
    their chance is below the tolerance of every test. The answer is the case's checks put together.
    """
    wire = await model.wire()
    body = program.render(case.input, case.history).body
    return await answer_probability(wire, body["messages"], right_answer(program, case))


def right_answer(program: Program, case: Case) -> str:
    """The compact JSON that passes every check of an example case, keys in the schema's order."""
    wanted: dict[str, Any] = {}
    for check in case.checks:
        if check.kind == "json":
            wanted.update(check.value)
    assert program.response is not None
    ordered = {name: wanted[name] for name in program.response["properties"]}
    return json.dumps(ordered, separators=(",", ":"))


async def answer_probability(wire: OpenAIModel, messages: Any, answer: str) -> float:
    """The product of the chances of the answer's tokens and of the end after them."""
    prompt = (await _ask(wire, "/apply-template", {"messages": messages}))["prompt"]
    before = (await _ask(wire, "/tokenize", {"content": prompt, "parse_special": True}))["tokens"]
    after = (await _ask(wire, "/tokenize", {"content": f"{answer}<|end|>", "parse_special": True}))["tokens"]
    chance = 1.0
    for i, token in enumerate(after):
        chance *= await _next_token(wire, [*before, *after[:i]], token)
    return chance


async def _next_token(wire: OpenAIModel, tokens: list[int], token: int) -> float:
    for listed in (LIKELY, WHOLE_VOCABULARY):
        body = {
            "prompt": tokens,
            "n_predict": 1,
            "n_probs": listed,
            "post_sampling_probs": True,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
        }
        said = await _ask(wire, "/completion", body)
        for one in said["completion_probabilities"][0]["top_probs"]:
            if one["id"] == token:
                return float(one["prob"])
    return 0.0


async def _ask(wire: OpenAIModel, path: str, body: Mapping[str, Any]) -> Any:
    status, said = await wire.post(path, body)
    assert status == 200, (path, status, said)
    return said
