"""`bundled` and `gguf:PATH`: llama.cpp in this very process, spoken to over the same wire as any other server."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reroll.errors import ModelError
from reroll.models.choices import asked_for
from reroll.models.gguf import context_length, file_hash, read_metadata
from reroll.models.model import Capabilities, Draw
from reroll.models.openai import OpenAIModel
from reroll.models.wire import Policy
from reroll.sample import Sample

__all__ = ["BUNDLED_CONTEXT", "NEUTRAL", "SLOTS", "LocalModel", "bundled_file"]

# The plain distribution of the model. llama.cpp's own defaults (temperature 0.8, top_k 40, top_p 0.95,
# min_p 0.05) cut off what is rare: one prompt that fails in 37 % of runs failed in 22 % under them.
# The last four are neutral already, but a GGUF file may carry defaults of its own.
NEUTRAL: Mapping[str, Any] = {
    "temperature": 1,
    "top_k": 0,
    "top_p": 1,
    "min_p": 0,
    "typical_p": 1,
    "repeat_penalty": 1,
    "xtc_probability": 0,
    "mirostat": 0,
}

SLOTS = 8  # requests that llama.cpp decodes together
BUNDLED_CONTEXT = 1024  # tokens a slot; llama.cpp goes no higher than the model was trained for
MOST_CONTEXT = 4096  # tokens a slot for other files: memory is taken for all slots at once
SMALL = 64 << 20  # bytes; below, one thread is fastest: threads would wait for each other at every layer
EVERY_SAMPLER_SET = 0xFFF  # tells llama.cpp that no default of the GGUF file may replace ours


def bundled_file() -> Path:
    """Where the model file that comes with reroll lies."""
    return Path(str(files("reroll") / "bundled" / "meetings.gguf"))


@dataclass(slots=True)
class _Shared:
    """A running server and how many models use it."""

    server: Any
    address: str
    users: int


_servers: dict[tuple[str, str], _Shared] = {}  # by path and content
_lock = threading.Lock()


def _acquire(path: Path, name: str, context: int) -> tuple[tuple[str, str], str]:
    """Key and address of the one server of this file, started if need be. Raises: ModelError."""
    key = (str(path), file_hash(path))
    with _lock:
        shared = _servers.get(key)
        if shared is None:
            server = _start(path, name, context)
            shared = _servers[key] = _Shared(server, str(server.listening_address), 0)
        shared.users += 1
        return key, shared.address


def _release(key: tuple[str, str]) -> None:
    """One user less; the last one stops the server, which frees its port."""
    with _lock:
        shared = _servers[key]
        shared.users -= 1
        if shared.users == 0:
            del _servers[key]
            shared.server = None  # xllamacpp stops a server when its last reference goes


def _start(path: Path, name: str, context: int) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise ModelError(
            "models that run here need the package xllamacpp, which is not installed: run `pip install xllamacpp`, "
            "or, where it has no wheel for your machine, serve the file by llama-server and use openai: with base_url",
            slug="no-llama-cpp",
        ) from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {name}  # what the server calls itself; the default is the path
    params.n_parallel = SLOTS
    params.n_ctx = context * SLOTS
    threads = 1 if path.stat().st_size < SMALL else max(1, (os.cpu_count() or 2) - 1)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.port = 0
    params.verbosity = -1  # silent
    params.warmup = params.fit_params = params.ui = False
    params.cache_ram_mib = 0  # by default up to 8 GiB of other prompts' states, which gains nothing here
    # Also the server's own defaults, for raw requests, to which we add nothing.
    sampling = params.sampling
    sampling.temp, sampling.top_k, sampling.top_p, sampling.min_p = 1.0, 0, 1.0, 0.0
    sampling.user_sampling_config = EVERY_SAMPLER_SET
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        raise ModelError(
            f"llama.cpp cannot load {path}: an unknown architecture, a damaged file, or too little memory",
            slug="no-gguf",
        ) from None
    _wait_for_loop(str(server.listening_address))
    return server


def _wait_for_loop(address: str) -> None:
    """Return once the server's loop has answered. /slots goes through the loop's queue, /health does not.

    A server that is stopped before its loop runs never stops: the loop misses the word, and the
    stopping thread waits for it with Python's global lock in its hand (seen with xllamacpp 2026.10).
    """
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=60)
    try:
        connection.request("GET", "/slots")
        connection.getresponse().read()
    finally:
        connection.close()


class LocalModel:
    """A GGUF file, decoded in this process. Its server starts with the first call and is shared by all
    models of the same file; the last `close` stops it.

    Repeats are decoded anew each time: llama.cpp keeps the prompt's attention state, never an answer.
    Without a seed every call draws its own.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        context: int | None = None,
        policy: Policy = Policy(),  # noqa: B008 (frozen)
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """name: "bundled", or "gguf:" and the file's name. Raises: ModelError for a missing or foreign file."""
        trained = context_length(read_metadata(path))
        self.path = path.resolve()
        self.name = name
        self.identity = f"{name}@{file_hash(self.path)}"
        self.concurrency = SLOTS
        self.priced = True
        self.context = min(context or MOST_CONTEXT, trained or MOST_CONTEXT)
        self._options: dict[str, Any] = {"policy": policy, "rng": rng, "sleep": sleep}
        self._starting: asyncio.Future[tuple[tuple[str, str], str]] | None = None
        self._wire: OpenAIModel | None = None

    choices = staticmethod(asked_for)

    def __repr__(self) -> str:
        return f"<{self.identity}>"

    async def wire(self) -> OpenAIModel:
        """The running server, seen as any OpenAI-compatible one. Raises: ModelError."""
        if self._wire is None:
            if self._starting is None:
                work = asyncio.to_thread(_acquire, self.path, self.name, self.context)
                self._starting = asyncio.ensure_future(work)
            # Shielded: whoever waits may be cancelled, the server then still has its one owner.
            _, address = await asyncio.shield(self._starting)
            if self._wire is None:
                self._wire = OpenAIModel(
                    self.name,
                    address,
                    environment={},
                    defaults=NEUTRAL,
                    identity=self.identity,
                    provider="bundled" if self.name == "bundled" else "gguf",
                    **self._options,
                )
        return self._wire

    async def check(self) -> None:
        """Return if llama.cpp has loaded the file. Raises: ModelError."""
        await (await self.wire()).check()

    async def draw(self, draw: Draw) -> Sample:
        """One draw; see `OpenAIModel.draw`. Raises: ModelError if llama.cpp is not there or cannot load the file."""
        return await (self._wire or await self.wire()).draw(draw)

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        return await (await self.wire()).probe()

    async def close(self) -> None:
        """Stop using the server; closing twice is fine, and so is using the model again."""
        wire, starting = self._wire, self._starting
        self._wire = self._starting = None
        if wire is not None:
            await wire.close()
        if starting is not None:
            try:
                key, _ = await starting
            except ModelError:
                return
            await asyncio.to_thread(_release, key)
