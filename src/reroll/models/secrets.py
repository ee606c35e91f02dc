"""API keys: which one goes to which address, and how it is kept out of everything we write down."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from reroll.errors import UsageError
from reroll.keys import AZURE_VARIABLE, HIDDEN, HOST_KEYS, hide, is_loopback

__all__ = ["HOST_KEYS", "Key", "find_key", "scrub", "scrub_body"]

AZURE = (".openai.azure.com", ".services.ai.azure.com")

LOOKS_SECRET = re.compile(
    r"\bBearer\s+[^\s\"',;}]+"
    r"|\b(?:sk|gsk|hf|xai|csk)[-_][A-Za-z0-9*_.\-]{6,}"
    r"|\bAIza[A-Za-z0-9_\-*]{8,}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Key:
    """The key for one address; its value never shows in a repr.

    `variable` is the environment name to set, `source` the one that held the value.
    """

    variable: str | None
    value: str | None = field(default=None, repr=False)
    source: str | None = None


def find_key(base_url: str, environment: Mapping[str, str]) -> Key:
    """The key that may be sent to this address, and the variable that would hold it.

    REROLL_API_KEY wins everywhere. A vendor's variable goes to that vendor's host only, over TLS;
    OPENAI_API_KEY also to the host of OPENAI_BASE_URL. `variable` is None where no key is known
    to be needed: this machine, and hosts that we do not know. Raises: UsageError for a broken key.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    variable = HOST_KEYS.get(host) if parts.scheme == "https" else None
    if variable is None and host.endswith(AZURE) and parts.scheme == "https":
        variable = AZURE_VARIABLE
    own = urlsplit(environment.get("OPENAI_BASE_URL", "")).hostname
    if variable is None and own == host and not is_loopback(host):
        variable = "OPENAI_API_KEY"
    if given := _value("REROLL_API_KEY", environment):
        return Key(variable, given, "REROLL_API_KEY")
    if own == host and is_loopback(host):
        return Key(None, _value("OPENAI_API_KEY", environment), "OPENAI_API_KEY")
    return Key(variable, _value(variable, environment) if variable else None, variable)


def _value(variable: str, environment: Mapping[str, str]) -> str | None:
    """What the variable holds, None if nothing. Raises: UsageError for what no HTTP header can carry."""
    text = environment.get(variable, "").strip()
    if not all("!" <= c <= "~" for c in text):
        raise UsageError(
            f"the environment variable {variable} holds white space or signs that no key has; copy the key again",
            slug="no-key",
        )
    return text or None


def scrub(text: str, *secrets: str | None) -> str:
    """The text without the given secrets and without anything that looks like one.

    For error messages and bodies of failed calls. Completions are only freed of the known
    secrets: what a model wrote is evidence, even when it looks like a key.

    >>> scrub("Incorrect API key: sk-abc123def456. Sent: Bearer xyz")
    'Incorrect API key: [secret] Sent: [secret]'
    >>> scrub("the key hunter2hunter2 is wrong", "hunter2hunter2")
    'the key [secret] is wrong'
    """
    return LOOKS_SECRET.sub(HIDDEN, hide(text, *secrets))


def scrub_body(text: str, *secrets: str | None) -> str | None:
    """A body without the given secrets; None where one of them still shows once it is read as JSON."""
    text = hide(text, *secrets)
    if "\\" not in text:
        return text  # nothing is escaped, so it reads as it stands
    try:
        data = json.loads(text)
        return text if hide(data, *secrets) == data else None
    except RecursionError:
        return None
    except ValueError:  # no JSON, so there is nothing to decode
        return text
