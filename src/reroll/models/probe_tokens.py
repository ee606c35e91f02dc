"""What a server can do with tokens: take them as ids, score a given text, say chances before or after sampling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Any, Literal

__all__ = ["Post", "echo", "first_alternatives", "logprobs_mode", "post_sampling", "prompt_logprobs", "token_prompt"]

# Sends a body to a path below the base address (from the host if it starts with `/`); gives status and JSON.
# Status 0: no answer at all.
Post = Callable[[str, Mapping[str, Any]], Awaitable[tuple[int, Any]]]
# The alternatives of the first token of an answer at this temperature, with their log probabilities.
FirstAt = Callable[[float], Awaitable[Mapping[str, float]]]

TEXT = "One two three four"
LONGER = 3  # times the ids of the first prompt
GAPS = (0.1, 15.0)  # nats; smaller differences drown in noise, larger ones are a server's stand-in for "never"


async def token_prompt(post: Post, ids: list[int]) -> bool:
    """Whether a prompt of token ids is taken as such: of three times as many ids, so many more prompt tokens count.

    A server that takes anything for a prompt, or writes the list out as text, does not count so.
    """
    for path, key, limit in (("/completion", "tokens_evaluated", "n_predict"), ("completions", "prompt_tokens", None)):
        counts: list[int] = []
        for prompt in (ids, ids * LONGER):
            status, data = await post(path, {"prompt": prompt, limit or "max_tokens": 1})
            if status != 200 or not isinstance(data, dict):
                break
            counted = data if limit else data.get("usage")
            number = counted.get(key) if isinstance(counted, dict) else None
            counts += [number] if isinstance(number, int) else []
        if len(counts) == 2 and counts[1] - counts[0] == (LONGER - 1) * len(ids):
            return True
    return False


async def prompt_logprobs(post: Post, chat: Mapping[str, Any] | None, notes: list[str]) -> bool:
    """Whether the probabilities of a given text can be asked for, without writing any (teacher forcing).

    `chat`: the body of a plain chat call, None where the server has no chat.
    """
    if chat is not None:
        status, data = await post("chat/completions", {**chat, "prompt_logprobs": 1})
        if status == 200 and isinstance(data, dict) and _scores(data.get("prompt_logprobs")):
            notes.append("The probabilities of a given text come with `prompt_logprobs: 1`.")
            return True
    status, data = await post("completions", {"prompt": TEXT, "max_tokens": 1, "prompt_logprobs": 1})
    if status == 200 and _scores(_first(data).get("prompt_logprobs")):
        notes.append("The probabilities of a given text come from /completions with `prompt_logprobs: 1`.")
        return True
    return False


async def echo(post: Post, notes: list[str]) -> bool:
    """Whether /completions repeats the prompt with the probability of each of its tokens but the first.

    A token of beginning may come before it (Llama 3), and a token by itself may be spelt without its space (Llama 2).
    """
    status, data = await post("completions", {"prompt": TEXT, "max_tokens": 1, "echo": True, "logprobs": 1})
    said = _first(data).get("logprobs") if status == 200 else None
    tokens, chances, tops = (
        said.get(key) if isinstance(said, dict) else None for key in ("tokens", "token_logprobs", "top_logprobs")
    )
    if not (isinstance(tokens, list) and isinstance(chances, list) and isinstance(tops, list)):
        return False
    spelt = "".join(map(str, tokens)).replace("\u2581", "").replace(" ", "")
    told = sum(isinstance(one, int | float) and bool(top) for one, top in zip(chances, tops, strict=False))
    if TEXT.replace(" ", "") not in spelt or told < 2:
        return False
    notes.append("The probabilities of a given text come from /completions with `echo: true`.")
    return True


def _scores(found: Any) -> bool:
    """A list with a dict for each token of the prompt but the first."""
    return isinstance(found, list) and len(found) > 1 and any(isinstance(one, dict) and one for one in found)


async def post_sampling(post: Post) -> bool:
    """Whether probabilities after all samplers can be asked for besides (llama.cpp's /completion)."""
    body = {"prompt": TEXT, "n_predict": 1, "n_probs": 2, "post_sampling_probs": True}
    status, data = await post("/completion", body)
    listed = data.get("completion_probabilities") if status == 200 and isinstance(data, dict) else None
    return isinstance(listed, list) and bool(listed) and isinstance(listed[0], dict) and "top_probs" in listed[0]


async def logprobs_mode(first_at: FirstAt, notes: list[str]) -> Literal["raw", "sampled"] | None:
    """Whether log probabilities are those before temperature (raw) or those that were drawn from (sampled).

    A temperature of 2 halves every difference between them after sampling, and none before. None: cannot be told.
    """
    cold, hot = await first_at(1.0), await first_at(2.0)
    ratios = []
    if both := cold.keys() & hot.keys():
        best = max(both, key=lambda token: cold[token])
        gaps = [(cold[best] - cold[t], hot[best] - hot[t]) for t in both if t != best]
        ratios = [after / before for before, after in gaps if GAPS[0] <= before <= GAPS[1]]
    found = median(ratios) if ratios else 0.0
    if 0.85 <= found <= 1.15:
        return "raw"
    if 0.4 <= found <= 0.6:
        return "sampled"
    notes.append("Whether token probabilities are those before or after temperature cannot be told.")
    return None


def first_alternatives(choice: Mapping[str, Any]) -> dict[str, float]:
    """The alternatives of the first token of a chat completion's choice."""
    said = choice.get("logprobs")
    content = said.get("content") if isinstance(said, dict) else None
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    listed = first.get("top_logprobs")
    return {
        one["token"]: float(one["logprob"])
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and isinstance(one.get("token"), str) and isinstance(one.get("logprob"), int | float)
    }


def _first(data: Any) -> Mapping[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
