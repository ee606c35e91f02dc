"""Nothing that opens a door is stored: requests, programs, cases and reports that hold a key are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from reroll.errors import UsageError
from reroll.keys import hide, holds, known_values

__all__ = ["refuse_keys", "refuse_secrets"]

NAMES = {"authorization", "proxy-authorization", "api-key", "apikey", "x-api-key", "x-goog-api-key"}
PARTS = ("authorization", "apikey", "api-key", "api_key")  # one of these is in each name


def refuse_secrets(
    value: Any,
    what: str,
    *,
    raw: str | None = None,
    url: str | None = None,
    text: str | None = None,
    keys: Mapping[str, str] | None = None,
) -> None:
    """Return if neither the value, the raw JSON text nor the address holds a key or token.

    Only text counts: a tool may well have a parameter called `api_key`, described by a mapping.
    Keys that are in use, as the environment has them, are found in any text.

    Args: text: the value as JSON, where it is at hand, which spares a look at each of its names;
        keys: those in use, by variable, where they are at hand.
    Raises: UsageError that names where, never the secret.
    """
    refuse_keys([value, raw, url], what, keys)
    found = next(_places(value, ""), None) if text is None or _may_name(text) else None
    if raw is not None and found is None and _may_name(raw):
        try:
            found = next(_places(json.loads(raw), ""), None)
        except ValueError:
            found = None  # not JSON, so without named fields
    if url is not None and found is None:
        parts = urlsplit(url)
        named = [name for name, _ in parse_qsl(parts.query) if _is_secret(name)]
        found = "the password in base_url" if parts.password else f"{named[0]} in base_url" if named else None
    if found is not None:
        raise UsageError(
            f"{what} holds a secret ({found}), which reroll does not store; take it out, keys are read from the "
            "environment",
            slug="secret-in-request",
        )


def refuse_keys(value: Any, what: str, keys: Mapping[str, str] | None = None) -> None:
    """Return unless a key that is in use, as the environment has it, is in some text of the value.

    Raises: UsageError that names the variable, never the key.
    """
    for variable, key in (known_values() if keys is None else keys).items():
        if holds([value, what], key):
            raise UsageError(
                f"{hide(what, key)} holds the very key that the environment variable {variable} has, which reroll "
                "does not store; take it out, calls read it from there",
                slug="secret-in-request",
            )


def _may_name(text: str) -> bool:
    """False only where no name in this JSON is that of a secret; escapes may spell anything."""
    low = text.lower()
    return "\\u" in low or any(part in low for part in PARTS)


def _is_secret(name: str) -> bool:
    return name.lower().replace("_", "-") in NAMES


def _places(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            place = f"{where}.{name}" if where else str(name)
            if isinstance(inner, str) and inner and _is_secret(str(name)):
                yield place
            yield from _places(inner, place)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _places(inner, f"{where}[{i}]")
