"""API keys wherever they turn up: the variables that hold them, and finding and hiding their values in any text."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

__all__ = [
    "AZURE_VARIABLE",
    "HIDDEN",
    "HOST_KEYS",
    "SLACK_VARIABLES",
    "hide",
    "holds",
    "is_loopback",
    "is_surely_loopback",
    "is_vendors",
    "known_values",
]

T = TypeVar("T")

# Vendors' addresses and the variable that their own documentation tells people to set.
HOST_KEYS: Mapping[str, str] = {
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "api.cerebras.ai": "CEREBRAS_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "router.huggingface.co": "HF_TOKEN",
}
AZURE_VARIABLE = "AZURE_OPENAI_API_KEY"
SLACK_VARIABLES = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET")
VARIABLES = ("REROLL_API_KEY", "REROLL_PROXY_SECRET", AZURE_VARIABLE, *HOST_KEYS.values(), *SLACK_VARIABLES)

HIDDEN = "[secret]"
SHORTEST = 8  # characters; what is shorter (`none`, `ollama`) stands in for a key where none is needed
ESCAPED = re.compile(r"[\\%&]")  # without one of these a text has no other spelling


def known_values(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The keys that are in use on this machine, by the variable that holds them."""
    given = os.environ if environment is None else environment
    found = {name: given.get(name, "").strip() for name in VARIABLES}
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def is_loopback(host: str) -> bool:
    """Whether this host is this very machine, by its address or a name that is kept for it; a name that only begins
    like an address of it is not.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.53", "::1", "api.localhost", "127.evil.example")]
    [True, True, True, True, False]
    """
    return host.endswith(".localhost") or is_surely_loopback(host)


def is_surely_loopback(host: str) -> bool:
    """The same without names below `.localhost`: browsers take them for this machine, a resolver may send them
    elsewhere. For what must not leave it: where a server without a guard listens, what is sent without TLS.

    >>> [is_surely_loopback(host) for host in ("localhost", "127.0.0.53", "::1", "api.localhost", "127.evil.example")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_vendors(address: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the address, over TLS, is that of a vendor whose key we know, or has the host of OPENAI_BASE_URL.

    Anybody can have a host at Azure, so none of those is.

    >>> [is_vendors(url, {}) for url in ("https://api.openai.com/v1", "http://api.openai.com/v1", "https://x.example")]
    [True, False, False]
    """
    given = os.environ if environment is None else environment
    parts, own = urlsplit(address), urlsplit(given.get("OPENAI_BASE_URL", ""))
    if own.hostname is not None and (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        return True
    return parts.scheme == "https" and parts.hostname in HOST_KEYS and parts.port in (None, 443)


def hide(value: T, *secrets: str | None) -> T:
    r"""The same value with `[secret]` for the secrets in its texts, the names of mappings included.

    Finds them also where the text is JSON (`sk-a\/b`, `\u0073k-`, at any depth), percent-encoded or HTML.

    >>> hide({"say": r'{"key": "hunter2\/hunter2"}'}, "hunter2/hunter2")
    {'say': '{"key": "[secret]"}'}
    """
    return cast(T, _hide(value, [s for s in secrets if s and len(s) >= SHORTEST]))


def holds(value: Any, secret: str) -> bool:
    """Whether a text anywhere in this value has the secret, however it is escaped."""
    return len(secret) >= SHORTEST and _has(value, secret)


def _has(value: Any, secret: str) -> bool:
    if isinstance(value, str):
        return secret in value or (ESCAPED.search(value) is not None and _spellings(secret).search(value) is not None)
    if isinstance(value, Mapping):
        return any(_has(name, secret) or _has(inner, secret) for name, inner in value.items())
    return isinstance(value, list | tuple) and any(_has(inner, secret) for inner in value)


def _hide(value: Any, secrets: list[str]) -> Any:
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
            if ESCAPED.search(value):
                value = _spellings(secret).sub(HIDDEN, value)
        return value
    if isinstance(value, Mapping):
        return {_hide(name, secrets): _hide(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_hide(inner, secrets) for inner in value])
    return value


@lru_cache(maxsize=32)
def _spellings(secret: str) -> re.Pattern[str]:
    """Every spelling of a secret in which each of its characters may be escaped, also several times over."""
    return re.compile("".join(_spellings_of(c) for c in secret))


def _spellings_of(c: str) -> str:
    # Bounded, or a text of many backslashes would take a time that grows with its square.
    plain = r"\\{1,31}" if c == "\\" else r"\\{0,31}" + re.escape(c)
    code = f"{ord(c):02x}"
    return rf"(?:{plain}|\\{{1,31}}(?i:u00|x){_hex(code)}|%{_hex(code)}|&#(?:0*{ord(c)}|(?i:x)0*{_hex(code)});)"


def _hex(code: str) -> str:
    return f"(?i:{code})"
