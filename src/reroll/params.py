"""Sampling parameters that can only be a mistake; what only some vendor knows is left to its server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reroll.match import nearest, show

__all__ = ["bad_param", "misspelt"]

# The models that read parameters in the shape of OpenAI's APIs, or a shape made from it.
READ_BY = {"bundled", "gguf", "openai", "openai-responses", "openai-completions", "anthropic"}
# Names that have one meaning wherever they are taken: kind of value, least, most (None: no such limit).
NUMBERS: Mapping[str, tuple[float | None, float | None]] = {
    "temperature": (0, None),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, None),
    "frequency_penalty": (None, None),
    "presence_penalty": (None, None),
    "repetition_penalty": (0, None),
    "repeat_penalty": (0, None),
}
WHOLE: Mapping[str, tuple[float | None, float | None]] = {
    "n": (1, None),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "top_logprobs": (0, None),
    "top_k": (-1, None),  # -1 and 0: all of them
    "seed": (None, None),
}
# What a protocol does not have, so that reroll could not read it either.
LACKS: Mapping[str, Mapping[str, str]] = {
    "anthropic": {
        "n": "this API has no several completions in one call; every sample is a call of its own",
        "logprobs": "this API gives no token probabilities",
        "top_logprobs": "this API gives no token probabilities",
    },
    "openai-responses": {
        "n": "this API has no several completions in one call; every sample is a call of its own",
    },
}
ELSEWHERE = {
    "model": "the program's `model` says this; write it there",
    "messages": "messages are made of the program's `system`, `examples`, `history` and `user`; write it there",
}


def bad_param(model: str, name: str, value: Any) -> str:
    """What is wrong with a parameter of a program with this model, in words; empty where nothing certainly is.

    Null is never wrong: it means the server's default. Names that are not known here are never wrong either.

    >>> bad_param("openai:gpt-4o", "temperature", "hot")
    'needs a number; got "hot"'
    >>> bad_param("openai:gpt-4o", "top_k_of_some_vendor", "hot")
    ''
    """
    kind = model.partition(":")[0]
    if kind not in READ_BY or value is None:
        return ""
    if name in ELSEWHERE:
        return f"{ELSEWHERE[name]} and take it out here"
    # One is what every API does anyway.
    if name in LACKS.get(kind, {}) and not (name == "n" and value == 1) and value is not False:
        return f"{LACKS[kind][name]}; take it out"
    if name == "stream" and value is not False:
        return "answers are read whole; take it out"
    if name == "stop":
        fine = isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(s, str) for s in value))
        return "" if fine else f"needs a text or a list of texts; got {show(value)}"
    if name == "logprobs":
        # true or false in chat completions; some vendors, and plain completions, take how many alternatives.
        fine = isinstance(value, bool) or (isinstance(value, int) and value >= 0)
        return "" if fine else f"needs true or false, or how many alternatives; got {show(value)}"
    if name in NUMBERS:
        return _number(value, int | float, "a number", *NUMBERS[name])
    if name in WHOLE:
        return _number(value, int, "a whole number", *WHOLE[name])
    return ""


def misspelt(model: str, name: str) -> str:
    """What a name of a parameter was meant to be, in words, where it is nearly one that has a meaning; else empty.

    A server passes over what it does not know, so the program would be measured without the parameter.

    >>> misspelt("bundled", "temprature"), misspelt("bundled", "top_a"), misspelt("python:m:f", "temprature")
    ('unknown; did you mean `temperature`?', '', '')
    """
    known = {*NUMBERS, *WHOLE, "logprobs"}
    if model.partition(":")[0] not in READ_BY or name in known:
        return ""
    near = [one for one in known if abs(len(one) - len(name)) <= 1 and len(name) > 5]
    return f"unknown{hint}" if (hint := nearest(name, near, cutoff=0.9)) else ""


def _number(value: Any, kind: Any, words: str, least: float | None, most: float | None) -> str:
    if isinstance(value, bool) or not isinstance(value, kind):
        return f"needs {words}; got {show(value)}"
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"between {least:g} and {most:g}" if most is not None else f"at least {least:g}"
        return f"must be {bounds}, and this is {show(value)}"
    return ""
