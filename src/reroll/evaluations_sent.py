"""Evaluation events to a collector over OTLP/HTTP: tried again where it is busy, and no key of it ever repeated."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from reroll.errors import UsageError
from reroll.evaluations import events_in
from reroll.keys import hide, known_values
from reroll.models.wire import retry_after

if TYPE_CHECKING:
    import aiohttp

__all__ = ["HEADERS", "Sent", "address_of", "headers_from", "send"]

JSON = dict[str, Any]
# The variables that every exporter of OpenTelemetry reads, the narrower one first.
HEADERS = ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
AGAIN = (429, 502, 503, 504)  # what the protocol says may be tried again
TRIES, LONGEST_WAIT, TIMEOUT = 5, 60.0, 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Sent:
    """How many samples and events went out, how many of the events were refused, and why in the collector's words."""

    samples: int
    events: int
    refused: int = 0
    why: str = ""


def address_of(url: str) -> str:
    """Where logs go: the address itself where its path says so, else `/v1/logs` under it.

    >>> address_of("http://127.0.0.1:4318"), address_of("https://x.example/otlp/v1/logs")
    ('http://127.0.0.1:4318/v1/logs', 'https://x.example/otlp/v1/logs')

    Raises: UsageError for what is no address, or has a password in it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            "--to wants the address of a collector, such as http://127.0.0.1:4318", slug="evaluations-to"
        ) from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"--to takes an address without user, password or query; put keys as NAME=VALUE into {HEADERS[1]}",
            slug="evaluations-to",
        )
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith("/v1/logs") else f"{path}/v1/logs"))


def headers_from(environment: Mapping[str, str]) -> dict[str, str]:
    """The headers that the environment sets, as OpenTelemetry writes them: NAME=VALUE, …, percent-encoded.

    >>> headers_from({"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20abc, x-team=a"})
    {'Authorization': 'Bearer abc', 'x-team': 'a'}

    Raises: UsageError, without repeating it, for what is not of this form.
    """
    name = next((n for n in HEADERS if environment.get(n)), None)
    found: dict[str, str] = {}
    for part in environment[name].split(",") if name else ():
        key, equals, value = part.partition("=")
        key, value = unquote(key.strip()), unquote(value.strip())
        if not part.strip():
            continue
        if not equals or not key or not (key + value).isprintable() or " " in key or ":" in key:
            raise UsageError(f"{name} wants NAME=VALUE, parted by commas, percent-encoded", slug="evaluations-headers")
        found[key] = value
    return found


async def send(exports: Iterable[tuple[int, JSON]], url: str) -> Sent:
    """Send every export. Raises: UsageError where the collector is not there or refuses one; those before were sent."""
    import aiohttp

    address, headers = address_of(url), headers_from(os.environ)
    samples = events = refused = 0
    why = ""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=True) as session:
        for of, export in exports:
            said = await _post(session, address, export, events, tuple(headers.values()))
            partial = said.get("partialSuccess")
            if isinstance(partial, dict):
                refused += _count(partial.get("rejectedLogRecords"))
                why = why or _hidden(str(partial.get("errorMessage") or ""), tuple(headers.values()))
            samples, events = samples + of, events + events_in(export)
    return Sent(samples, events, refused, why)


async def _post(
    session: aiohttp.ClientSession, address: str, export: JSON, before: int, secrets: tuple[str, ...]
) -> JSON:
    """What the collector answered, after as many tries as it takes."""
    import aiohttp

    problem = ""
    for n in range(1, TRIES + 1):
        wait = 0.5 * 2 ** (n - 1)
        try:
            # Not after a redirect: the headers are for this address only.
            async with session.post(address, json=export, allow_redirects=False) as got:
                text = (await got.content.read(65536)).decode("utf-8", "replace")
                if got.status < 300:
                    return _object(text)
                problem = f"answered HTTP {got.status}{_said(text, secrets)}"
                if got.status not in AGAIN:
                    break
                asked = retry_after(got.headers.get("Retry-After"), got.headers.get("Date"))
                wait = wait if asked is None else min(asked, LONGEST_WAIT)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"cannot be reached: {_why(error)}"
            if not before:  # a wrong address will not get better by itself
                break
        if n < TRIES:
            await asyncio.sleep(wait)
    sent = f"{before} events were sent before; " if before else ""
    raise UsageError(
        f"the collector at {address} {problem}; {sent}look at --to and {HEADERS[1]}, and run the command again",
        slug="evaluations-refused",
    )


def _why(error: Exception) -> str:
    """Why there was no answer, in the system's words where it has some."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    number = getattr(getattr(error, "os_error", error), "errno", None) or 0
    if number > 0:
        return os.strerror(number).lower()
    return "it has no such name" if "DNS" in type(error).__name__ else "the connection broke off"


def _said(text: str, secrets: tuple[str, ...]) -> str:
    """What a collector says of an error, on one line; nothing where it says nothing."""
    message = _object(text).get("message")
    words = " ".join((message if isinstance(message, str) else text).split())[:200]
    return f": {_hidden(words, secrets)}" if words else ""


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the values of headers, whole or the part after a scheme such as Bearer."""
    parts = [part for value in secrets for part in (value, *value.split())]
    return hide(text, *parts, *known_values().values())


def _object(text: str) -> JSON:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int:
    """A count, which OTLP's JSON writes as a text."""
    return int(value) if str(value).isdecimal() and len(str(value)) < 12 else 0
