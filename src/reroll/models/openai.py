"""`openai:NAME`: any server that speaks OpenAI's chat completions, over a thin wire of our own."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from reroll.errors import ModelError, UsageError
from reroll.keys import hide
from reroll.models import wire
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import Malformed, Parsed, parse_body, without
from reroll.models.prices import price
from reroll.models.secrets import Key, find_key, is_loopback, scrub, scrub_body
from reroll.models.wire import Policy, Reply
from reroll.program import Request
from reroll.sample import Completion, Sample, Usage

__all__ = ["OPENAI", "OpenAIModel", "base_address", "completion_prefix"]

OPENAI = "https://api.openai.com/v1"
CHECK_SECONDS = 15.0  # `check` asks for a small list; whoever needs longer is as good as down


def base_address(base_url: str) -> str:
    """The address that paths are added to, from a base_url as people write it.

    Without a path it gets `/v1`; with one it is taken as it is, less a closing slash or a
    `/chat/completions` pasted along. Raises: UsageError.

    >>> base_address("http://localhost:8080"), base_address("https://openrouter.ai/api/v1/")
    ('http://localhost:8080/v1', 'https://openrouter.ai/api/v1')
    """
    parts = urlsplit(base_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"base_url {scrub(base_url)!r} is no web address; write it like http://localhost:8080/v1", slug="base-url"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "base_url may hold only scheme, host, port and path; give a key as environment variable REROLL_API_KEY",
            slug="base-url",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def completion_prefix(request: Request) -> str:
    """The text that the model is asked to continue: a last message of the assistant, else nothing."""
    messages = request.body.get("messages")
    last = messages[-1] if isinstance(messages, list | tuple) and messages else None
    if isinstance(last, Mapping) and last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return str(last["content"])
    return ""


class OpenAIModel:
    """One model name at one address.

    Request.body goes out as it is, over `defaults`, with "model" and (where the draw has one) "seed"
    set; a raw request goes out byte for byte. A body that ends with a message of the assistant is
    sent like any other: servers that can, continue it, and `Completion.text` is then the new text
    alone (llama.cpp repeats the prefix in its answer: it is cut off where the answer starts with it).

    One instance belongs to one event loop at a time. Nothing here limits concurrency: the engine does.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        policy: Policy = Policy(),  # noqa: B008 (frozen)
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        defaults: Mapping[str, Any] | None = None,
        identity: str | None = None,
        provider: str | None = None,
    ) -> None:
        """defaults: keys sent unless the program sets them. identity, provider: for models that are served here."""
        environment = os.environ if environment is None else environment
        self.base = base_address(base_url or OPENAI)
        self.name = name
        self.identity = identity or f"openai:{name}@{self.base}"
        self.concurrency = 8
        self.policy = policy
        self._key = Key(None) if provider else find_key(self.base, environment)
        self._provider = provider or self.base
        self._defaults = dict(defaults or {})
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxy = self._find_proxy()

    def __repr__(self) -> str:
        return f"<{self.identity}>"

    @property
    def priced(self) -> bool:
        """Whether the price list knows this model at this address."""
        return price(self.name, Usage(1, 1), self._provider) is not None

    def _find_proxy(self) -> str | None:
        """The proxy that the environment names for this address; asked once, not on every call."""
        parts = urlsplit(self.base)
        host = parts.hostname or ""
        return None if is_loopback(host) or proxy_bypass(host) else getproxies().get(parts.scheme)

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            headers = {"Authorization": f"Bearer {self._key.value}"} if self._key.value else {}
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "reroll", "Content-Type": "application/json", **headers},
            )
        return self._session

    async def _send(self, method: str, url: str, data: bytes | None, seconds: float) -> Reply:
        """One HTTP exchange, read to its end. Raises what aiohttp raises."""
        async with self._open().request(
            method,
            url,
            data=data,
            proxy=self._proxy,
            allow_redirects=False,  # a redirect would take prompts to an address that nobody named
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as response:
            body = await response.read()
            headers = response.headers
            waits = (headers.get("Retry-After"), headers.get("Date"), headers.get("retry-after-ms"))
            return Reply(
                response.status,
                body,
                response.content_type,
                wire.retry_after(*waits) if response.status >= 400 else None,
                headers.get("x-request-id") or headers.get("request-id"),
                headers.get("Location"),
            )

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        if request.raw is not None:
            return request.raw.encode()
        body = {**self._defaults, **request.body, "model": self.name}
        if draw.seed is not None:
            body["seed"] = draw.seed
        return json.dumps(body).encode()

    async def draw(self, draw: Draw) -> Sample:
        """One draw, its tries recorded. Raises nothing for a server's failure; only being cancelled ends it."""
        data, prefix = self.payload(draw), completion_prefix(draw.request)
        url, key = f"{self.base}/chat/completions", self._key.value

        def read(reply: Reply) -> Parsed:
            if wire.is_filtered(reply):
                words = wire.server_message(reply, key)
                return Parsed(Completion("", "content_filter", refusal=words), None, 0, None, None, None, None)
            try:
                return without(parse_body(reply.body, reply.content_type, prefix), key)
            except RecursionError:
                raise Malformed("JSON that is nested too deeply") from None

        settled = await wire.settle(
            lambda: self._send("POST", url, data, self.policy.timeout),
            read,
            policy=self.policy,
            rng=self._rng,
            sleep=self._sleep,
            secrets=(key,),
        )
        seed = draw.seed if draw.request.raw is None else None
        raw = settled.reply.text if settled.reply and settled.reply.body else None
        if settled.value is None:
            raw = scrub_body(scrub(raw, key), key) if raw else None
            return Sample(error=settled.error, attempts=settled.attempts, seed=seed, raw=raw)
        raw = None if settled.value.echoed or raw is None else scrub_body(raw, key)
        return self._sample(settled.value, settled.attempts, seed, raw)

    def _sample(self, parsed: Parsed, attempts: tuple[Any, ...], seed: int | None, raw: str | None) -> Sample:
        counts = Usage(parsed.prompt_tokens, parsed.completion_tokens)
        usd = parsed.usd if "openrouter.ai" in self.base else None  # it reports the very cost of each call
        if usd is None:
            usd = price(parsed.model or self.name, counts, self._provider, parsed.cached_tokens)
        if usd is None and parsed.model not in (None, self.name):
            usd = price(self.name, counts, self._provider, parsed.cached_tokens)
        return Sample(
            completion=parsed.completion,
            attempts=attempts,
            usage=Usage(counts.prompt_tokens, counts.completion_tokens, usd),
            seed=seed,
            model=parsed.model,
            fingerprint=parsed.fingerprint,
            raw=raw,
        )

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and JSON (None if it is none) of one call for the probe; path from the host if it starts with `/`."""
        parts = urlsplit(self.base)
        url = f"{parts.scheme}://{parts.netloc}{path}" if path.startswith("/") else f"{self.base}/{path}"
        try:
            data = json.dumps({"model": self.name, **body}).encode()
            reply = await self._send("POST", url, data, self.policy.timeout)
            return reply.status, hide(json.loads(reply.body), self._key.value)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None
        except (ValueError, RecursionError):
            return reply.status, None

    async def check(self) -> None:
        """Return if the model answers for itself. Raises: ModelError in one sentence otherwise.

        Servers without a model list pass: whether they know the name shows at the first draw.
        """
        if self._key.variable and not self._key.value:
            raise ModelError(
                f"`{self.name}` at {self._host} needs an API key: set the environment variable "
                f"{self._key.variable} (or REROLL_API_KEY)",
                slug="no-key",
            )
        seconds = min(CHECK_SECONDS, self.policy.timeout)
        try:
            reply = await self._send("GET", f"{self.base}/models", None, seconds)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = scrub(wire.connection_words(error, seconds), self._key.value)
            raise ModelError(f"cannot reach {self.base}: {words}; is base_url right?", slug="unreachable") from None
        if reply.status in (401, 403):
            said = wire.server_message(reply, self._key.value)
            which = self._key.variable or "REROLL_API_KEY"
            have = "refuses this key" if self._key.value else "wants a key"
            raise ModelError(f"{self._host} {have} (http {reply.status}: {said}); check {which}", slug="key-refused")
        if reply.status == 200:
            self._check_name(reply)

    @property
    def _host(self) -> str:
        return urlsplit(self.base).netloc

    def _check_name(self, reply: Reply) -> None:
        """Raises ModelError when the server lists models, and this one is not among them."""
        try:
            data = hide(json.loads(reply.body), self._key.value)["data"]
            rows = [r for r in data if isinstance(r, dict) and isinstance(r.get("id"), str)]
        except (ValueError, RecursionError, KeyError, TypeError):
            return
        # llama.cpp serves one model under any name; Azure lists models, but is asked for deployments.
        if any(r.get("owned_by") == "llamacpp" for r in rows) or ".azure." in self._host:
            return
        names = {n for r in rows for n in (r["id"], *(r.get("aliases") or ())) if isinstance(n, str)}
        # Ollama lists `llama3:latest` for llama3, OpenRouter takes `name:free` for a listed name;
        # Google lists `models/name` for name.
        if not names or names & {self.name, f"{self.name}:latest", f"models/{self.name}", self.name.rsplit(":", 1)[0]}:
            return
        near = difflib.get_close_matches(self.name, sorted(names), n=1, cutoff=0.4)
        hint = f"; did you mean `{near[0]}`?" if near else f"; it has, for example, `{min(names)}`"
        raise ModelError(f"{self._host} has no model `{self.name}`{hint}", slug="unknown-model")

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        from reroll.models.probe import probe

        return await probe(self.post)

    async def close(self) -> None:
        """Let go of all connections. The model may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()
