"""A recorded call into the case that it is a run of: one turn of a conversation, and what was answered to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.case import Case
from reroll.check import Check
from reroll.errors import UsageError
from reroll.intake.bodies import as_mapping, joined, messages_of
from reroll.intake.genai import merged
from reroll.intake.taken import Skipped, Taken
from reroll.json_text import json_bytes
from reroll.match import clean
from reroll.program import Program
from reroll.sample import Completion, Sample, made_often

__all__ = [
    "SYSTEM",
    "Placed",
    "again_of",
    "case_from",
    "case_of",
    "key_of",
    "keys_of_project",
    "params_of",
    "place",
    "sample_of",
]

JSON = Any
SYSTEM = ("system", "developer")
# What a request says besides parameters: they do not change what a model would answer, or have a place of their own.
NO_PARAMS = {
    "model", "messages", "input", "instructions", "prompt", "system", "tools", "functions", "stream", "stream_options",
    "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "seed",
}  # fmt: skip


@made_often
class Placed:
    """A call at its place in a conversation.

    key:      identity of the case: the rendered messages.
    again:    identity of this very answer; None where nothing tells it from an equal one.
    answered: what was answered to the turn, where that is not the recorded completion.
    later:    the call was a later step of the turn, after tools had been called.
    whole:    the case is a whole conversation, and its reward the outcome.
    """

    taken: Taken
    key: str
    system: str | None
    history: tuple[Mapping[str, JSON], ...]
    request: str
    again: str | None = None
    answered: Completion | None = None
    later: bool = False
    whole: bool = False


def key_of(messages: Sequence[Mapping[str, JSON]]) -> str:
    """The identity of rendered messages: who says what, whichever form the API has for it."""
    said = [
        ["system" if (role := m.get("role")) in SYSTEM else role, m.get("content") or "", m.get("tool_calls") or 0]
        for m in messages
    ]
    return hashlib.blake2b(json_bytes(said), digest_size=8).hexdigest()


def place(taken: Taken, turn: int | None = None) -> Placed | Skipped:
    """The call at its turn: number `turn` of the user's messages, from 1, or the last; a negative one from the end."""
    messages = messages_of(taken.body, taken.api)
    first = 0
    while first < len(messages) and messages[first]["role"] in SYSTEM:
        first += 1
    system = "\n".join([joined(m.get("content")) for m in messages[:first]]) if first else None
    asked = [i for i, m in enumerate(messages) if m["role"] == "user" and i >= first]
    if not asked:
        return Skipped(taken.format, taken.where, "has no message of a user")
    if taken.whole and turn is None:
        return _conversation(taken, messages, system, asked)
    if taken.whole:  # of a conversation's turns, those that were answered
        asked = [i for i in asked if i + 1 < len(messages) and messages[i + 1]["role"] == "assistant"]
    number = len(asked) if turn is None else turn if turn > 0 else len(asked) + 1 + turn
    if not 1 <= number <= len(asked):
        return Skipped(taken.format, taken.where, f"has no turn {turn} (its user speaks {len(asked)} times)")
    at = asked[number - 1]
    request = messages[at].get("content")
    if not isinstance(request, str):
        return Skipped(taken.format, taken.where, "asks about an image or a file, which a case cannot hold")
    after = messages[at + 1 :]
    answered = _answer(after[0]) if after and after[0]["role"] == "assistant" else None
    key = key_of(messages[: at + 1])
    said = answered or taken.completion
    return Placed(
        taken,
        key,
        system,
        tuple(messages[first:at]),
        request,
        again_of(taken, key, said),
        answered,
        answered is not None,
    )


def _conversation(taken: Taken, messages: list[dict[str, JSON]], system: str | None, asked: list[int]) -> Placed:
    """A whole conversation: its case is what the user was told to do; each went differently, so its name is its key."""
    told = taken.ids.get("instruction") or joined(messages[asked[0]].get("content"))
    name = taken.ids.get("case")
    first = next(i for i, m in enumerate(messages) if m["role"] not in SYSTEM)
    key = f"conversation {name}" if name else key_of(messages[: asked[0] + 1])
    return Placed(taken, key, system, tuple(messages[first:]), told, whole=True)


def _answer(message: Mapping[str, JSON]) -> Completion:
    return merged([dict(message)], "tool_calls" if message.get("tool_calls") else "unknown")


def again_of(taken: Taken, key: str, said: Completion | None) -> str | None:
    """Calls of tools have ids of their own, so an equal answer with equal ids is the same answer, seen twice."""
    if said is None or not said.tool_calls:
        return None
    ids = [str(call.get("id")) for call in said.tool_calls if call.get("id")]
    return " ".join([key, *ids]) if ids else None


def case_of(placed: Placed, id: str, checks: tuple[Check, ...]) -> Case:
    """The case of a call. Raises: ValidationError for a check that asks for what the call does not say."""
    return case_from(id, placed.request, placed.history, placed.taken.expected, checks)


def case_from(
    id: str,
    request: str,
    history: Sequence[Mapping[str, JSON]],
    expected: JSON,
    checks: tuple[Check, ...] = (),
) -> Case:
    """The case of what a call asked. Raises: ValidationError as `case_of`."""
    return Case(
        id=id,
        input={"request": clean(request)},
        history=tuple(_clean(dict(m)) for m in history),
        expected=_clean(expected),
        checks=checks,
    )


def _clean(value: JSON) -> JSON:
    """The same value with half characters replaced, which YAML and databases do not take."""
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return value if text == clean(text) else json.loads(clean(text))


def sample_of(placed: Placed) -> Sample:
    """The recorded draw: what was answered to the turn, or the error or the reward that stand in for it."""
    taken = placed.taken
    if placed.answered is not None:
        return Sample(completion=placed.answered, model=taken.model)
    reward = taken.reward if taken.completion is not None or taken.error is None else None
    error = None if taken.completion is not None or reward is not None else taken.error
    return Sample(
        completion=taken.completion,
        error=error,
        usage=taken.usage,
        model=taken.model,
        fingerprint=taken.fingerprint,
        reward=reward,
    )


def params_of(taken: Taken) -> dict[str, JSON]:
    """The parameters of the request, those left out that change no answer."""
    return {k: v for k, v in taken.body.items() if k not in NO_PARAMS and v is not None}


def keys_of_project(program: Program, cases: Sequence[Case], earlier: Sequence[Program] = ()) -> dict[str, Case]:
    """The project's cases by the messages that they render to; none where the program is no request with messages.

    earlier: what the program was before: production may still run it. Where two say the same messages, the first does.
    """
    found: dict[str, Case] = {}
    for version in (program, *earlier):
        if version.is_product:
            continue
        for case in cases:
            try:
                body = version.render(case.input, case.history).body
            except UsageError:
                if version is program:
                    raise
                continue  # it took other inputs then
            found.setdefault(key_of(messages_of(as_mapping(body), "chat")), case)
    return found
