"""What a draw cost in US dollars, where that is known; None where it is not, never 0."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from reroll.keys import is_loopback
from reroll.sample import Usage

__all__ = ["FREE", "price"]

# Models that run here or were paid for long ago: their price is known, and it is nothing.
FREE = frozenset({"bundled", "gguf", "recorded"})


def price(model_name: str, usage: Usage, provider: str | None, cached_tokens: int = 0) -> float | None:
    """US dollars for this usage, from the price list of genai-prices; None where model or counts are not known.

    provider: "bundled", "gguf" or "recorded", an id of genai-prices such as "openai", or the
    address that was called (`https://api.openai.com/v1`). None or an unlisted address is not known:
    the same model name costs something else at every host, so it is never guessed from the name.
    cached_tokens: how many of the prompt tokens came from the vendor's prompt cache.

    >>> price("meetings", Usage(10, 10), "bundled")
    0.0
    >>> price("gpt-4o", Usage(1000, 100), None) is None
    True
    """
    if provider in FREE:
        return 0.0
    if provider is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return _listed(model_name, usage.prompt_tokens, usage.completion_tokens, cached_tokens, provider)


@lru_cache(maxsize=4096)  # repeats of one prompt differ only in the length of the answer
def _listed(model_name: str, prompt: int, completion: int, cached: int, provider: str) -> float | None:
    if is_loopback(urlsplit(provider).hostname or ""):
        return None  # what is served here is on no list, and reading one takes 6 MB
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(input_tokens=prompt, output_tokens=completion, cache_read_tokens=min(cached, prompt))
    try:
        if "://" in provider:
            return float(calc_price(counted, model_name, provider_api_url=provider).total_price)
        return float(calc_price(counted, model_name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
