"""One draw over HTTP: its tries, what each came to, and how long we wait before the next."""

from __future__ import annotations

import json
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Generic, Literal, TypeVar

from reroll.keys import hide
from reroll.models.connections import Unreachable
from reroll.models.http_bytes import BrokenOff, Garbled
from reroll.models.model import sent_away
from reroll.models.parse import Malformed, ServerSaid
from reroll.models.secrets import scrub
from reroll.sample import Attempt, made_often

__all__ = [
    "Fault",
    "Policy",
    "Reply",
    "Settled",
    "connection_words",
    "fault_of_reply",
    "is_filtered",
    "retry_after",
    "server_message",
    "settle",
]

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Policy:
    """How a draw is tried. `tries`: at most so many that end in a server's failure; `throttled_tries`: at most
    so many that the server sent away (429, 529); `longest_wait`: a longer Retry-After, in seconds, ends the draw.
    """

    timeout: float = 120.0
    tries: int = 3
    throttled_tries: int = 8
    longest_wait: float = 300.0


@made_often
class Reply:
    """One HTTP response, read to its end. `retry_after` in seconds."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: float | None = None
    request_id: str | None = None
    location: str | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a try gave nothing. final: another try would say the same; broken: the server's or the net's failure;
    throttled: we were told to come back later. `wait` is what the server asked for, in seconds.
    """

    words: str
    kind: Literal["final", "broken", "throttled"]
    wait: float | None = None


@made_often
class Settled(Generic[T]):
    """The end of a draw: a value or an error's words, all attempts, and the last reply if one came."""

    value: T | None
    error: str | None
    attempts: tuple[Attempt, ...]
    reply: Reply | None


def retry_after(header: str | None, date: str | None = None, millis: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for; None where it is missing or says nothing.

    date: the response's own Date header, so that a server's wrong clock does no harm.

    >>> retry_after("2.5")
    2.5
    >>> retry_after("Mon, 23 Nov 2026 08:00:07 GMT", date="Mon, 23 Nov 2026 08:00:00 GMT")
    7.0
    >>> retry_after("soon") is None
    True
    """
    for text, unit in ((millis, 0.001), (header, 1.0)):
        try:
            seconds = float(text or "") * unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        until = parsedate_to_datetime(header or "").timestamp()
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
    except (ValueError, TypeError):
        return None
    return max(0.0, until - now)


def server_message(reply: Reply, *secrets: str | None) -> str:
    """The server's own words in an error body: short, on one line, without secrets."""
    try:
        data = json.loads(reply.body)
    except (ValueError, RecursionError):
        text = "an HTML page" if "html" in reply.content_type else reply.text
    else:
        found = data.get("error", data) if isinstance(data, dict) else data
        if isinstance(found, dict):
            found = found.get("message") or found.get("detail") or found
        text = found if isinstance(found, str) else json.dumps(found)
    text = scrub(" ".join(text.split()), *secrets)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _error_code(reply: Reply) -> str:
    try:
        error = json.loads(reply.body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""


def is_filtered(reply: Reply) -> bool:
    """Whether this is a content filter's refusal of the prompt: an answer of the service, not a failure of it."""
    return reply.status == 400 and _error_code(reply) == "content_filter"


def fault_of_reply(reply: Reply, *secrets: str | None) -> Fault | None:
    """What a status means for the draw; None for a good one."""
    status = reply.status
    if 200 <= status < 300 or is_filtered(reply):
        return None
    words = f"http {status}: {server_message(reply, *secrets)}".removesuffix(": ")
    if 300 <= status < 400:
        return Fault(f"http {status}: the address has moved to {scrub(reply.location or '?', *secrets)}", "final")
    if status == 429 and _error_code(reply) == "insufficient_quota":
        return Fault(words, "final")
    if status in (429, 529) or (status == 503 and reply.retry_after is not None):
        return Fault(words, "throttled", reply.retry_after)
    if status >= 500 or status == 408:
        return Fault(words, "broken", reply.retry_after)
    return Fault(words, "final")


def connection_words(error: BaseException, timeout: float) -> str:
    """What went wrong below HTTP, in a few words that name the layer."""
    if isinstance(error, TimeoutError):
        return f"time-out after {timeout:g} s"
    if isinstance(error, Unreachable):
        return _unreachable_words(error.host, error.port, error.cause)
    if isinstance(error, BrokenOff):
        return "connection broke in the middle of the body"
    if isinstance(error, Garbled):
        return f"the answer is no HTTP ({error})"
    if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return "connection reset"
    return f"connection failed ({type(error).__name__})"


def _unreachable_words(host: str, port: int, cause: OSError) -> str:
    if isinstance(cause, socket.gaierror):
        return f"host name `{host}` is not known (DNS)"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({_tls_words(cause)})"
    if isinstance(cause, ConnectionResetError | ConnectionAbortedError):
        return "connection reset"
    if isinstance(cause, ConnectionRefusedError) or "refused" in str(cause).lower():
        return f"connection refused by {host}:{port}"
    return f"no connection to {host}:{port} ({cause.strerror or cause})"


def _tls_words(error: ssl.SSLError) -> str:
    """Why TLS failed, in OpenSSL's words where there are none of ours."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "the server does not speak TLS; is it http://?"
    return str(error)


async def settle(
    send: Callable[[], Awaitable[Reply]],
    read: Callable[[Reply], T],
    *,
    policy: Policy,
    rng: random.Random,
    sleep: Sleep,
    secrets: tuple[str | None, ...] = (),
) -> Settled[T]:
    """Send until there is a value or no hope; every try is recorded, none is made behind anyone's back.

    A Retry-After is slept exactly; without one the wait doubles from half a second, up to 30 s, times
    a random share between a half and one, so that many draws do not come back together.
    """
    attempts: list[Attempt] = []
    counts = {"broken": 0, "throttled": 0}
    limits = {"broken": policy.tries, "throttled": policy.throttled_tries}
    waited = 0.0
    while True:
        started, clock = time.time(), time.perf_counter()
        value, fault, reply = await _try(send, read, policy, secrets)
        attempts.append(
            Attempt(
                started,
                time.perf_counter() - clock,
                reply.status if reply else None,
                fault.words if fault else None,
                waited,
                hide(reply.request_id, *secrets) if reply else None,
            )
        )
        if fault is None:
            return Settled(value, None, tuple(attempts), reply)
        if fault.kind != "final":
            counts[fault.kind] += 1
        if fault.kind == "final" or counts[fault.kind] >= limits[fault.kind]:
            return Settled(None, fault.words, tuple(attempts), reply)
        waited = fault.wait if fault.wait is not None else _backoff(sum(counts.values()), rng)
        if waited > policy.longest_wait:
            words = f"{fault.words} (asks to wait {waited:.0f} s, the limit is {policy.longest_wait:.0f} s)"
            return Settled(None, words, tuple(attempts), reply)
        others_may_go = sent_away.get() if fault.kind == "throttled" else None
        await (sleep(waited) if others_may_go is None else others_may_go(sleep(waited)))


def _backoff(nth: int, rng: random.Random) -> float:
    """Seconds to wait after the nth failed try."""
    return float(min(30.0, 0.5 * 2 ** (nth - 1)) * rng.uniform(0.5, 1.0))


async def _try(
    send: Callable[[], Awaitable[Reply]],
    read: Callable[[Reply], T],
    policy: Policy,
    secrets: tuple[str | None, ...],
) -> tuple[T | None, Fault | None, Reply | None]:
    reply = None
    try:
        reply = await send()
        fault = fault_of_reply(reply, *secrets)
        return (read(reply), None, reply) if fault is None else (None, fault, reply)
    except Malformed as error:
        return None, Fault(f"malformed body: {scrub(str(error), *secrets)}", "broken"), reply
    except ServerSaid as error:
        words = f"http {error.status or 200}: {scrub(str(error), *secrets)[:LONGEST_MESSAGE]}"
        final = error.status is not None and 400 <= error.status < 500 and error.status not in (408, 429)
        kind: Literal["final", "broken", "throttled"] = "throttled" if error.status in (429, 529) else "broken"
        return None, Fault(words, "final" if final else kind), reply
    except OSError as error:
        words = scrub(connection_words(error, policy.timeout), *secrets)
        untrusted = isinstance(error, Unreachable) and isinstance(error.cause, ssl.SSLCertVerificationError)
        return None, Fault(words, "final" if untrusted else "broken"), None
