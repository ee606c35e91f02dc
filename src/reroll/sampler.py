"""What a server does to its probabilities before it draws a token, read from a request's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["GREEDY", "ORDERS", "PLAIN", "Sampling", "Step", "Unreadable", "sampling_of"]

Step = Literal["temperature", "top_k", "top_p", "min_p"]

ORDERS: Mapping[str, tuple[Step, ...]] = {
    "vllm": ("temperature", "min_p", "top_k", "top_p"),
    "sglang": ("temperature", "top_k", "top_p", "min_p"),
    "ollama": ("top_k", "temperature", "top_p", "min_p"),
    "llama.cpp": ("top_k", "top_p", "min_p", "temperature"),
    "openai": ("temperature", "top_k", "top_p", "min_p"),
}
"""In which order each server applies its settings; `openai` stands for every other one."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How listed log probabilities become the chances that a token is drawn with.

    temperature: 0 draws the likeliest token always.
    top_k:       0 is off; top_p: 1 is off; min_p: 0 is off.
    order:       in which these are applied, each to what the one before has left over, renormalised.
    drawn_from:  the listed numbers are the sampler's result already (llama.cpp's `post_sampling_probs`,
                 vLLM's `processed_logprobs`): nothing is applied to them, what is not listed stays unknown.
    unsure:      parameters that the request leaves to the server, or whose effect is not known here;
                 only a check against plain draws can tell that they do nothing.

    >>> Sampling(temperature=0.7, top_p=0.9).plain
    False
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    order: tuple[Step, ...] = ORDERS["openai"]
    drawn_from: bool = False
    unsure: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"a temperature is 0 or more, got {self.temperature!r}")
        if self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise ValueError(
                f"top_k is 0 (off) or more, top_p in (0, 1], min_p in 0...1; "
                f"got top_k={self.top_k!r}, top_p={self.top_p!r}, min_p={self.min_p!r}"
            )
        if sorted(self.order) != sorted(ORDERS["openai"]):
            raise ValueError(f"the order names each of temperature, top_k, top_p, min_p once, got {self.order!r}")

    @property
    def plain(self) -> bool:
        """Whether tokens are drawn from the listed probabilities as they are."""
        return self.drawn_from or (self.temperature, self.top_k, self.top_p, self.min_p) == (1, 0, 1, 0)


PLAIN = Sampling()
GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why the chances cannot be read from what the server lists: one sentence."""

    why: str


# Parameters that change no probability of a token, or that this file reads.
HARMLESS = frozenset(
    "messages model prompt input n seed stream stream_options max_tokens max_completion_tokens max_output_tokens "
    "n_predict stop logprobs top_logprobs n_probs echo user metadata store cache_prompt return_tokens return_token_ids "
    "post_sampling_probs logprobs_mode temperature top_k top_p min_p samplers timings_per_token id_slot cache_salt "
    "continue_final_message add_generation_prompt tools parallel_tool_calls prompt_cache_key service_tier include "
    "min_keep reasoning_format skip_special_tokens spaces_between_special_tokens include_stop_str_in_output "
    "return_tokens_as_token_ids prompt_logprobs n_keep safety_identifier chat_template_kwargs instructions".split()
)
# Values that leave the distribution alone, of parameters that we cannot follow otherwise.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "typical_p": (1,),
    "top_n_sigma": (-1, 0),
    "dynatemp_range": (0,),
    "logit_bias": (0, False),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "bad_words": (),
    "allowed_token_ids": (),
    "grammar": ("",),
    "json_schema": (),
    "response_format": ({"type": "text"},),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "format": ("",),
    "regex": (),
    "ebnf": (),
    "tool_choice": ("auto", "none"),
    "text": ({"format": {"type": "text"}},),
}
GRAMMARS = frozenset(
    "grammar json_schema response_format guided_json guided_regex guided_choice guided_grammar structured_outputs "
    "format regex ebnf tool_choice text".split()
)
# These look back at the tokens before, or roll dice of their own: no listed number shows what they do.
STATEFUL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "repeat_penalty": (1,),
    "mirostat": (0,),
    "dry_multiplier": (0,),
    "no_repeat_ngram_size": (0,),
    "xtc_probability": (0,),
    "use_beam_search": (False,),
    "best_of": (1,),
    "length_penalty": (1,),
}
# What servers fill in themselves where a request does not say it.
LEFT_TO: Mapping[str, tuple[str, ...]] = {
    "llama.cpp": ("temperature", "top_k", "top_p", "min_p", "repeat_penalty"),
    "ollama": ("top_k", "min_p", "repeat_penalty"),
    "vllm": ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"),
    "sglang": ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"),
}
DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "llama.cpp": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    "ollama": {"top_k": 40},
}


def sampling_of(
    params: Mapping[str, Any], server: str = "openai", *, drawn_from: bool = False
) -> Sampling | Unreadable:
    """How this request's tokens are drawn, or why that cannot be read from the probabilities listed.

    Args:    params: what is sent, sampling parameters among it; `server`: a key of `ORDERS`, others are
             read as `openai`; `drawn_from`: the server was asked to list what it draws from.

    >>> sampling_of({"temperature": 0.5, "top_p": 0.9, "max_tokens": 96}).top_p
    0.9
    >>> sampling_of({"frequency_penalty": 0.3}).why
    '`frequency_penalty` changes the chances by what was drawn before, which no listed probability shows'
    """
    for name, neutral in STATEFUL.items():
        if _on(params, name, neutral):
            return Unreadable(
                f"`{name}` changes the chances by what was drawn before, which no listed probability shows"
            )
    for name, neutral in NEUTRAL.items():
        if _on(params, name, neutral) and not drawn_from:
            what = "forbids tokens" if name in GRAMMARS else "changes the chances"
            return Unreadable(
                f"`{name}` {what} after the listed probabilities were computed; "
                "they can be read only where the server lists what it draws from"
            )
    said = {name: params[name] for name in ("temperature", "top_k", "top_p", "min_p") if params.get(name) is not None}
    for name, value in said.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Unreadable(f"`{name}` is {value!r}, which is no number")
    numbers = {**DEFAULTS.get(server, {}), **said}
    order = _order(params.get("samplers"), server)
    if isinstance(order, Unreadable):
        return order
    known = HARMLESS | STATEFUL.keys() | NEUTRAL.keys()
    unsure = [name for name in LEFT_TO.get(server, ()) if params.get(name) is None]
    unsure += [name for name in params if name not in known and params[name] is not None]
    try:
        return Sampling(
            temperature=max(0.0, float(numbers.get("temperature", 1.0))),
            top_k=max(0, int(numbers.get("top_k", 0))),  # -1 is vLLM's word for off
            top_p=float(numbers.get("top_p", 1.0)),
            min_p=float(numbers.get("min_p", 0.0)),
            order=order,
            drawn_from=drawn_from,
            unsure=tuple(unsure),
        )
    except ValueError as error:
        return Unreadable(str(error))


def _on(params: Mapping[str, Any], name: str, neutral: tuple[Any, ...]) -> bool:
    value = params.get(name)
    return not (value is None or value in neutral or (isinstance(value, dict | list | tuple) and not value))


def _order(samplers: Any, server: str) -> tuple[Step, ...] | Unreadable:
    """llama.cpp's own list of samplers, if the request brings one; what it leaves out is refused, as it is then off."""
    order = ORDERS.get(server, ORDERS["openai"])
    if samplers is None or server != "llama.cpp":
        return order
    if not isinstance(samplers, list | tuple):
        return Unreadable("`samplers` is no list of names, so the order of the sampler's steps is not known")
    named = tuple(s for s in samplers if s in order)
    if sorted(named) != sorted(order):
        return Unreadable("`samplers` does not name each of top_k, top_p, min_p and temperature once")
    return named
