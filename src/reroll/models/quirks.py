"""How servers that speak the same protocol differ, as one table that the wires and the docs read."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["QUIRKS", "Quirks", "quirks_of"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kind of server. `hosts`: endings of host names by which it is known (empty: on any host).

    reports_cost: its `usage.cost` is what the call cost; names_differ: it is asked for other names than it
    lists; moderates: a 403 may be about one prompt, so it does not mean that the key is refused.
    """

    server: str
    address: str
    differs: str
    hosts: tuple[str, ...] = ()
    reports_cost: bool = False
    names_differ: bool = False
    moderates: bool = False


ORDINARY = Quirks("other", "", "")

QUIRKS = (
    Quirks(
        "Azure",
        "https://NAME.openai.azure.com/openai/v1",
        "NAME after `openai:` is the deployment, which the list of models does not show; a prompt that the content "
        "filter stops is http 400, and counts as an answer",
        (".openai.azure.com", ".services.ai.azure.com"),
        names_differ=True,
    ),
    Quirks(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "reports each call's own cost, which is used; an error may come inside a 200; a 403 may be the moderation of "
        "one prompt; one name is served by several hosts, so fix `params: {provider: ...}`",
        ("openrouter.ai",),
        reports_cost=True,
        moderates=True,
    ),
    Quirks(
        "vLLM",
        "http://localhost:8000/v1",
        "continues a beginning with `params: {continue_final_message: true, add_generation_prompt: false}`; takes "
        "top_k, min_p and return_token_ids; sampling defaults come from the model's generation_config",
    ),
    Quirks(
        "SGLang",
        "http://localhost:30000/v1",
        "takes top_k, min_p and `separate_reasoning`; a seed works only on a server started as deterministic",
    ),
    Quirks(
        "Ollama",
        "http://localhost:11434/v1",
        "lists `NAME:latest` for NAME; cuts long prompts silently at its own context length; samples with the "
        "defaults of its Modelfile, and takes no top_k here",
    ),
    Quirks(
        "llama.cpp",
        "http://localhost:8080/v1",
        "serves one model under any name; repeats a given beginning in its answer, which is cut off; samples with "
        "top_k 40, top_p 0.95, min_p 0.05 unless told otherwise",
    ),
)


def quirks_of(base: str) -> Quirks:
    """The quirks known of the server at this address; those of no server where its host says nothing.

    >>> quirks_of("https://openrouter.ai/api/v1").server, quirks_of("http://localhost:8000/v1").server
    ('OpenRouter', 'other')
    """
    host = urlsplit(base).hostname or ""
    for row in QUIRKS:
        if any(host == known or (known.startswith(".") and host.endswith(known)) for known in row.hosts):
            return row
    return ORDINARY
