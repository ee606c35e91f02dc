"""Which model a recorded call was made to, as a program names it, and where that model is served."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from reroll.intake.taken import API, Taken

__all__ = ["KINDS", "UNKNOWN_MODEL", "model_ref"]

UNKNOWN_MODEL = "unknown"
KINDS = {
    "chat": "openai",
    "responses": "openai-responses",
    "completions": "openai-completions",
    "messages": "anthropic",
}
ENDINGS = ("/chat/completions", "/responses", "/completions", "/messages")
VENDORS = ("api.openai.com", "api.anthropic.com")


def model_ref(taken: Taken) -> tuple[str, str | None]:
    """The model as a program names it, and its base_url if it is not the vendor's; `unknown` where nothing names it."""
    name = taken.body.get("model") or taken.model
    if not isinstance(name, str) or not name.strip():
        return UNKNOWN_MODEL, None
    return _ref(name.strip(), taken.api, taken.provider, taken.url)


@lru_cache(maxsize=1024)
def _ref(name: str, api: API, provider: str | None, url: str | None) -> tuple[str, str | None]:
    anthropic = api == "chat" and ("anthropic" in (provider or "").lower() or name.startswith("claude"))
    return f"{'anthropic' if anthropic else KINDS[api]}:{name}", _base(url)


def _base(url: str | None) -> str | None:
    """Where the API's paths begin; None for the vendor's own address and for what is no address."""
    try:
        parts = urlsplit(url or "")
        host, number = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or host in VENDORS:
        return None
    path = parts.path.rstrip("/")
    ending = next((e for e in ENDINGS if path.endswith(e)), "")
    path = path.removesuffix(ending) if ending else path
    where = f"[{host}]" if ":" in host else host
    port = f":{number}" if number else ""
    # An address without a path is that of the server; the API begins under /v1 nearly everywhere.
    return f"{parts.scheme}://{where}{port}{path or '/v1'}"
