"""What every wire over HTTP shares: one connection pool, the key in a header, tries recorded, errors in words."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from reroll.errors import ModelError, NotCompleted, RerollError, UsageError
from reroll.keys import hide, is_loopback
from reroll.models import wire
from reroll.models.choices import with_siblings
from reroll.models.connections import Connections
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import Malformed, Parsed, without
from reroll.models.prices import price
from reroll.models.quirks import quirks_of
from reroll.models.secrets import Key, find_key, scrub, scrub_body
from reroll.models.wire import Policy, Reply
from reroll.program import Request
from reroll.sample import Completion, Sample, Usage

if TYPE_CHECKING:
    from reroll.models.proxied import Proxied

__all__ = ["HttpModel", "base_address", "split_address"]

H = TypeVar("H", bound="HttpModel")

CHECK_SECONDS = 15.0  # `check` asks for a small list; whoever needs longer is as good as down
# What servers write under `owned_by`, and what they are.
OWNERS = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang", "library": "ollama"}
PLAIN_HEADERS = {"User-Agent": "reroll", "Content-Type": "application/json"}
UNKNOWN_TYPE = "application/octet-stream"
PROBE_TRIES = 2  # of a call that only asks what the server can: some refuse by a 500
PAYLOADS = 256  # requests whose bytes are remembered
PATHS = ("/chat/completions", "/completions", "/responses", "/messages", "/models")


def split_address(url: str) -> SplitResult:
    """The parts of an address; no scheme and no host where it is none."""
    try:
        parts = urlsplit(url.strip())
        (parts.hostname or "").encode("idna")  # a name such as `a..b` can be looked up nowhere
    except ValueError:  # `http://[`
        return SplitResult("", "", "", "", "")
    return parts


def base_address(base_url: str) -> str:
    """The address that paths are added to, from a base_url as people write it.

    Without a path it gets `/v1`; with one it is taken as it is, less a closing slash or the path of
    a call, such as `/chat/completions`, pasted along. Raises: UsageError.

    >>> base_address("http://localhost:8080"), base_address("https://openrouter.ai/api/v1/")
    ('http://localhost:8080/v1', 'https://openrouter.ai/api/v1')
    """
    parts = split_address(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"base_url {scrub(base_url)!r} is no web address; write it like http://localhost:8080/v1", slug="base-url"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "base_url may hold only scheme, host, port and path; give a key as environment variable REROLL_API_KEY",
            slug="base-url",
        )
    path = parts.path.rstrip("/")
    for tail in PATHS:
        path = path.removesuffix(tail)
    path = path or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class HttpModel(ABC):
    """One model name at one address; what is sent and how an answer reads is each wire's own.

    One instance belongs to one event loop at a time. Nothing here limits concurrency: the engine does.
    """

    kind: str  # the word before the colon
    vendor: str  # where calls go without a base_url
    path: str  # of a call, below the base address
    seeded = True  # whether a seed can be sent

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
        self.base = self._address(base_url)
        self.name = name
        self.identity = identity or f"{self.kind}:{name}@{self.base}"
        self.concurrency = 8
        self.policy = policy
        self._key = Key(None) if provider else find_key(self.base, environment)
        self._provider = provider or self.base
        self._defaults = dict(defaults or {})
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._server: Connections | Proxied | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxy = self._find_proxy()
        self._quirks = quirks_of(self.base)
        self.more_headers: dict[str, str] = {}  # sent with every call besides: which replica is to answer
        self._payloads: dict[int, tuple[Request, bytes]] = {}
        self._answered = False  # whether any draw brought a completion
        self._asked_for_name = False  # whether a 404 made us look at the list of models

    def _address(self, base_url: str | None) -> str:
        return base_address(base_url or self.vendor)

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

    def _open(self) -> Connections | Proxied:
        loop = asyncio.get_running_loop()
        if self._server is None or self._loop is not loop:
            self._loop = loop
            if self._proxy is None:
                self._server = Connections(URL(self.base))
            else:
                from reroll.models.proxied import Proxied  # with aiohttp, which takes long to import

                self._server = Proxied(self._proxy)
        return self._server

    async def _send(
        self,
        method: str,
        url: str | URL,
        data: bytes,
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One HTTP exchange, read to its end. Raises: OSError, what `Connections.send` says."""
        headers = {**PLAIN_HEADERS, **(self.headers() if headers is None else headers), **self.more_headers}
        got = await self._open().send(method, URL(url), headers, data, seconds)
        said = got.headers.get
        waits = (said("retry-after"), said("date"), said("retry-after-ms"))
        return Reply(
            got.status,
            got.body,
            said("content-type", UNKNOWN_TYPE).partition(";")[0].strip().lower() or UNKNOWN_TYPE,
            wire.retry_after(*waits) if got.status >= 400 else None,
            said("x-request-id") or said("request-id"),
            said("location"),
        )

    def headers(self) -> dict[str, str]:
        """Headers of a call; the only place where the key goes."""
        return {"Authorization": f"Bearer {self._key.value}"} if self._key.value else {}

    def headers_of(self, draw: Draw) -> dict[str, str]:
        """Headers of this very call, where a program can choose them."""
        return self.headers()

    def choices(self, body: Mapping[str, Any]) -> int:
        """How many samples a call with this body brings."""
        return 1

    @abstractmethod
    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""

    @abstractmethod
    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        """What a good reply says. Raises: Malformed, ServerSaid."""

    async def draw(self, draw: Draw) -> Sample:
        """One draw, its tries recorded. A server's failure is a sample with an error; see `Sample.siblings`.

        Raises: ModelError where no draw can work, because the key is refused or there is no such model;
        NotCompleted where that begins after others had worked.
        """
        data, key = self._bytes_of(draw), self._key.value
        url, headers = URL(self.url()), self.headers_of(draw)

        def read(reply: Reply) -> Parsed:
            if wire.is_filtered(reply):
                words = wire.server_message(reply, key)
                return Parsed(Completion("", "content_filter", refusal=words), None, None, None, None, None, None)
            try:
                return without(self.parse(reply, draw), key)
            except RecursionError:
                raise Malformed("JSON that is nested too deeply") from None

        settled = await wire.settle(
            lambda: self._send("POST", url, data, self.policy.timeout, headers),
            read,
            policy=self.policy,
            rng=self._rng,
            sleep=self._sleep,
            secrets=(key,),
        )
        if settled.value is None and settled.reply is not None:
            await self._stop_if_hopeless(settled.reply)
        seed = draw.seed if draw.request.raw is None and self.seeded else None
        asked = self.choices(draw.request.body)
        raw = settled.reply.text if settled.reply and settled.reply.body else None
        if settled.value is None:
            raw = scrub_body(scrub(raw, key), key) if raw else None
            return with_siblings(Sample(error=settled.error, attempts=settled.attempts, seed=seed, raw=raw), asked)
        self._answered = True
        raw = None if settled.value.echoed or raw is None else scrub_body(raw, key)
        sample, said = self._sample(settled.value, settled.attempts, seed, raw), settled.value
        return with_siblings(sample, asked, said.others, counts_first=said.counts_first)

    def over(self, kind: type[H]) -> H:
        """The same server over another of its protocols: connections, key and what is known of it are shared."""
        twin = kind.__new__(kind)
        twin.__dict__ = self.__dict__
        return twin

    def _bytes_of(self, draw: Draw) -> bytes:
        """The payload; made once for all draws of a request without seeds, which send the same bytes."""
        if draw.seed is not None:
            return self.payload(draw)
        known = self._payloads.get(id(draw.request))
        if known is None or known[0] is not draw.request:
            if len(self._payloads) >= PAYLOADS:
                self._payloads.clear()
            known = self._payloads[id(draw.request)] = draw.request, self.payload(draw)
        return known[1]

    def url(self) -> str:
        """Where a call goes."""
        return f"{self.base}/{self.path}"

    async def _stop_if_hopeless(self, reply: Reply) -> None:
        """Raises: ModelError, NotCompleted where every other draw would be turned down like this one."""
        # A 403 may be about one prompt only (OpenRouter's moderation), so it says most before anything worked.
        if reply.status == 401 or (reply.status == 403 and not self._answered and not self._quirks.moderates):
            raise self._stopped(self._refused_words(reply), "key-refused")
        if reply.status == 404 and not self._asked_for_name:
            self._asked_for_name = True
            try:
                listed = await self._send("GET", f"{self.base}/models", b"", min(CHECK_SECONDS, self.policy.timeout))
            except OSError:
                return
            if listed.status == 200 and (words := self._no_such_name(listed)):
                raise self._stopped(words, "unknown-model")

    def _stopped(self, words: str, slug: str) -> RerollError:
        if self._answered:
            return NotCompleted(f"{words}; what was drawn is stored, and the same command goes on", slug=slug)
        return ModelError(words, slug=slug)

    def _refused_words(self, reply: Reply) -> str:
        said = wire.server_message(reply, self._key.value)
        which = self._key.source or self._key.variable or "REROLL_API_KEY"
        if self._key.value:
            return f"{self._host} refuses this key (http {reply.status}: {said}); check {which}, which held it"
        return f"{self._host} wants a key (http {reply.status}: {said}); set {which}"

    def _sample(self, parsed: Parsed, attempts: tuple[Any, ...], seed: int | None, raw: str | None) -> Sample:
        counts = Usage(parsed.prompt_tokens, parsed.completion_tokens)
        usd = parsed.usd if self._quirks.reports_cost else None  # the very cost of this call
        if usd is None:
            usd = price(parsed.model or self.name, counts, self._provider, parsed.cached_tokens or 0)
        if usd is None and parsed.model not in (None, self.name):
            usd = price(self.name, counts, self._provider, parsed.cached_tokens or 0)
        return Sample(
            completion=parsed.completion,
            attempts=attempts,
            usage=Usage(counts.prompt_tokens, counts.completion_tokens, usd, parsed.cached_tokens),
            seed=seed,
            model=parsed.model,
            fingerprint=parsed.fingerprint,
            raw=raw,
        )

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and JSON (None if it is none) of one call for the probe; path from the host if it starts with `/`.

        Sent away, it comes back as a draw does, and what breaks is tried once more: a busy moment says nothing of what
        the server can do. Status 0: no answer came.
        """
        parts = urlsplit(self.base)
        url = f"{parts.scheme}://{parts.netloc}{path}" if path.startswith("/") else f"{self.base}/{path}"
        data = json.dumps({"model": self.name, **body}).encode()

        def read(reply: Reply) -> Any:
            try:
                return json.loads(reply.body)
            except (ValueError, RecursionError):
                raise Malformed("no JSON") from None

        settled = await wire.settle(
            lambda: self._send("POST", url, data, self.policy.timeout),
            read,
            policy=replace(self.policy, tries=min(PROBE_TRIES, self.policy.tries)),
            rng=self._rng,
            sleep=self._sleep,
            secrets=(self._key.value,),
        )
        if settled.reply is None:
            return 0, None
        try:
            return settled.reply.status, hide(json.loads(settled.reply.body), self._key.value)
        except (ValueError, RecursionError):
            return settled.reply.status, None

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
            reply = await self._send("GET", f"{self.base}/models", b"", seconds)
        except OSError as error:
            words = scrub(wire.connection_words(error, seconds), self._key.value)
            cut = words == "connection reset" and self.base.startswith("http:")
            hint = "does the server want https://?" if cut else "is base_url right?"
            raise ModelError(f"cannot reach {self.base}: {words}; {hint}", slug="unreachable") from None
        if reply.status in (401, 403):
            raise ModelError(self._refused_words(reply), slug="key-refused")
        if reply.status < 400 and reply.content_type == "text/html":
            raise ModelError(
                f"{self.base} answers with an HTML page, so it is a web site and no model server; "
                "base_url is the address of the API, which often ends in /v1",
                slug="not-an-api",
            )
        if reply.status == 200 and (missing := self._no_such_name(reply)):
            raise ModelError(missing, slug="unknown-model")

    async def server_kind(self) -> str:
        """Which software answers, as its list of models tells: llama.cpp, vllm, sglang, ollama; else `openai`."""
        try:
            reply = await self._send("GET", f"{self.base}/models", b"", min(CHECK_SECONDS, self.policy.timeout))
            rows = json.loads(reply.body)["data"]
            owner = str(rows[0].get("owned_by")) if rows else ""
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return "openai"
        return OWNERS.get(owner, "openai")

    @property
    def _host(self) -> str:
        return urlsplit(self.base).netloc

    def _no_such_name(self, reply: Reply) -> str | None:
        """A sentence where the server lists models, and this one is not among them."""
        try:
            data = hide(json.loads(reply.body), self._key.value)["data"]
            rows = [r for r in data if isinstance(r, dict) and isinstance(r.get("id"), str)]
        except (ValueError, RecursionError, KeyError, TypeError):
            return None
        # llama.cpp serves one model under any name.
        if self._quirks.names_differ or any(r.get("owned_by") == "llamacpp" for r in rows):
            return None
        names = {n for r in rows for n in (r["id"], *(r.get("aliases") or ())) if isinstance(n, str)}
        # Ollama lists `llama3:latest` for llama3, OpenRouter takes `name:free` for a listed name;
        # Google lists `models/name` for name.
        if not names or names & {self.name, f"{self.name}:latest", f"models/{self.name}", self.name.rsplit(":", 1)[0]}:
            return None
        near = difflib.get_close_matches(self.name, sorted(names), n=3, cutoff=0.4)
        if near:
            return f"{self._host} has no model `{self.name}`; did you mean {' or '.join(f'`{n}`' for n in near)}?"
        return f"{self._host} has no model `{self.name}`; it has, for example, `{min(names)}`"

    @abstractmethod
    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""

    async def close(self) -> None:
        """Let go of all connections. The model may be used again afterwards."""
        server, self._server = self._server, None
        if server is not None and self._loop is asyncio.get_running_loop():
            await server.close()
