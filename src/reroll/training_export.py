"""Stored runs as training data: graded ones for reinforcement fine-tuning, pairs for preference tuning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from reroll.check import overall
from reroll.errors import UsageError
from reroll.looking import judged_samples
from reroll.program import canonical
from reroll.project import Project
from reroll.store import Store
from reroll.store_rows import Source, StoredSample

__all__ = ["TrainingFormat", "training_lines"]

TrainingFormat = Literal["rft", "preference", "openai-preference"]
JSON = dict[str, Any]
RUNS: tuple[Source, ...] = ("draw", "imported")
PAGE = 500
# What a request says of the form of its answer: it belongs to the prompt.
KEPT = ("tools", "response_format")


@dataclass(slots=True)
class _Prompt:
    """One prompt with what runs answered to it, each answer once, in the order first seen."""

    prompt: JSON
    chosen: dict[str, JSON] = field(default_factory=dict)
    rejected: dict[str, JSON] = field(default_factory=dict)


def training_lines(project: Project, store: Store, case_id: str | None, form: TrainingFormat) -> Iterator[JSON]:
    """The lines of the file. Left out are runs that no check judges or that no check could judge, those that have no
    messages, and those whose answer is not the model's own, as a program's steps made it.

    rft: a line for each run: `messages`, `completion`, and `grade`, the reward where one is recorded, else 1 for a run
    that passes and 0 for one that fails.
    preference: each failing answer with a passing one to the very same prompt; of equal answers one.
    openai-preference: the same pairs as OpenAI's fine-tuning takes them, which has no place for `response_format`.
    Source: developers.openai.com/api/docs/guides/direct-preference-optimization
    """
    expected = {case.id: case.expected for case in store.cases()}
    prompts: dict[str, _Prompt] = {}
    for stored, outcome, prompt, said in _graded(project, store, case_id):
        if form == "rft":
            grade = stored.sample.reward
            grade = (1.0 if outcome == "pass" else 0.0) if grade is None else grade
            line = {**prompt, "completion": said, "grade": grade, "case_id": stored.case_id}
            reference = expected.get(stored.case_id)
            yield line if reference is None else {**line, "reference": reference}
            continue
        one = prompts.setdefault(canonical(prompt), _Prompt(prompt))
        (one.chosen if outcome == "pass" else one.rejected).setdefault(canonical(said), said)
    for one in prompts.values():
        yield from map(_as_openai_has_it, _pairs(one)) if form == "openai-preference" else _pairs(one)


def _pairs(one: _Prompt) -> Iterator[JSON]:
    """Every failing answer once, the passing ones in turn; none where one of the two is missing."""
    # A check that takes turns can say both of one answer: such an answer teaches nothing.
    chosen = [said for key, said in one.chosen.items() if key not in one.rejected]
    rejected = [said for key, said in one.rejected.items() if key not in one.chosen]
    more = {key: value for key, value in one.prompt.items() if key != "messages"}
    for k, bad in enumerate(rejected if chosen else ()):
        good = chosen[k % len(chosen)]
        yield {"prompt": one.prompt["messages"], **more, "chosen": [good], "rejected": [bad]}


def _as_openai_has_it(pair: JSON) -> JSON:
    asked = {"messages": pair["prompt"], **({"tools": pair["tools"]} if "tools" in pair else {})}
    return {"input": asked, "preferred_output": pair["chosen"], "non_preferred_output": pair["rejected"]}


def _graded(project: Project, store: Store, case_id: str | None) -> Iterator[tuple[StoredSample, str, JSON, JSON]]:
    """Runs that pass or fail: each with its outcome, its prompt, and the message that it answered."""
    requests: dict[str, JSON | None] = {}
    for page in judged_samples(project, store, case_id, RUNS):
        for stored, outcomes in page:
            if stored.request_id not in requests:
                requests[stored.request_id] = _prompt(store, stored.request_id)
            prompt, completion = requests[stored.request_id], stored.sample.completion
            outcome = overall(outcomes).outcome if outcomes else "invalid"
            if prompt is None or completion is None or outcome == "invalid":
                continue
            calls = [dict(call) for call in completion.tool_calls]
            said = {"role": "assistant", "content": completion.text or None}
            yield stored, outcome, prompt, said | ({"tool_calls": calls} if calls else {})


def _prompt(store: Store, request_id: str) -> JSON | None:
    """What the model was sent, as far as it is a prompt; None where it has no messages, or steps stand around it."""
    try:
        asked = store.get_request(request_id)
    except UsageError:  # a sample without its request, from a store that was put together by hand
        return None
    body = asked.request.body
    if not body.get("messages") or "#steps:" in asked.identity:
        return None
    return {"messages": body["messages"], **{key: body[key] for key in KEPT if body.get(key)}}
