"""`python:module:function`: the product itself, called with a case's inputs; what it returns is the answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reroll.errors import ModelError, UsageError
from reroll.keys import hide, known_values
from reroll.match import nearest
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import count_of
from reroll.models.secrets import scrub
from reroll.models.wire import Policy
from reroll.sample import Attempt, Completion, Sample, Usage
from reroll.sources import sources_of

__all__ = ["FunctionModel"]

LONGEST_MESSAGE = 300
ANSWER_KEYS = {"text", "finish_reason", "tool_calls", "refusal", "usage"}


class FunctionModel:
    """A function of the project, sync or async. It gets the program's params and the case's inputs by keyword,
    and `history` where the case has one. Sync functions run in a thread each, async ones in the loop.

    It returns a text, a `reroll.sample.Completion`, or a dict: one with `text` is read as the completion's
    fields, any other is the answer as JSON. An exception is the error of that sample. What it prints goes to
    stderr. A thread cannot be ended: after the time-out it runs on, and its answer is thrown away.
    """

    def __init__(self, reference: str, project: Path = Path(), *, policy: Policy = Policy()) -> None:  # noqa: B008
        """reference: what follows `python:`. Raises: UsageError where it is not `module:function`."""
        self.module, _, self.function = reference.partition(":")
        names = [*self.module.split("."), self.function]
        if not all(name.isidentifier() for name in names):
            raise UsageError(f"`python:{reference}` is no model; write python:module:function", slug="unknown-model")
        self.project = project.resolve()
        self.policy = policy
        self.name = f"python:{reference}"
        self.identity = f"{self.name}@{self._version()}"
        self.concurrency = 8
        self.priced = False
        self._called: Callable[..., Any] | None = None
        self._printing = contextlib.ExitStack()
        self._in_path = False

    def __repr__(self) -> str:
        return f"<{self.identity}>"

    def _file(self) -> Path | None:
        """The module's file in the project, if it is there."""
        path = self.project.joinpath(*self.module.split("."))
        return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)

    def _version(self) -> str:
        """What tells one state of the product from another: the start of the SHA-256 of its modules in the project."""
        file = self._file()
        return hashlib.sha256(b"".join(sources_of(file, self.project))).hexdigest()[:12] if file else "installed"

    async def check(self) -> None:
        """Return if the function can be called. Raises: ModelError in one sentence otherwise."""
        self._load()

    def _load(self) -> Callable[..., Any]:
        if self._called is not None:
            return self._called
        self._open()
        try:
            module = importlib.import_module(self.module)
        except Exception as error:
            missing = isinstance(error, ModuleNotFoundError) and self.module.startswith(error.name or "?")
            words = f"there is no such module in {self.project}" if missing else f"importing it failed ({_say(error)})"
            raise ModelError(f"`{self.name}` cannot be called: {words}", slug="no-function") from None
        found = getattr(module, self.function, None)
        if not callable(found):
            hint = nearest(self.function, [n for n, v in vars(module).items() if inspect.isfunction(v)])
            raise ModelError(f"module `{self.module}` has no function `{self.function}`{hint}", slug="no-function")
        self._called = found
        return self._called

    def _open(self) -> None:
        """Look for modules in the project first, and keep what the product prints off stdout."""
        file = self._file()
        if not self._in_path:
            sys.path.insert(0, str(self.project))
            self._in_path = True
            self._printing.enter_context(contextlib.redirect_stdout(sys.stderr))
        known = sys.modules.get(self.module)
        if file is not None and known is not None and Path(getattr(known, "__file__", None) or "?") != file:
            top = self.module.partition(".")[0]  # another project's module of this name, in a process that runs both
            for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
                del sys.modules[name]
        importlib.invalidate_caches()

    async def draw(self, draw: Draw) -> Sample:
        """One call. Raises: ModelError only where there is nothing to call."""
        function = self._load()
        started, clock = time.time(), time.perf_counter()
        given = _arguments(draw.request.body)
        error: str | None = None
        sample: Sample | None = None
        try:
            async with asyncio.timeout(self.policy.timeout) as limit:
                returned = await (function(**given) if _is_async(function) else _in_thread(function, given))
            sample = _read(returned)
        except TimeoutError as problem:
            error = f"time-out after {self.policy.timeout:g} s" if limit.expired() else _say(problem)
        except Exception as problem:
            error = _say(problem)
        except SystemExit as problem:
            error = f"SystemExit: {problem}"
        attempt = Attempt(started, time.perf_counter() - clock, None, error)
        if sample is None:
            return Sample(error=error, attempts=(attempt,))
        return Sample(completion=sample.completion, attempts=(attempt,), usage=sample.usage)

    async def probe(self) -> Capabilities:
        """What a function can do is its own affair: nothing is called to find out."""
        return Capabilities(
            n=False,
            seed=False,
            logprobs=0,
            prefix_continuation=False,
            token_ids=False,
            notes=(
                "A function of yours is called as it is: its parameters and its inputs are all that can be varied.",
            ),
        )

    async def close(self) -> None:
        """Take the project out of the way of imports again; the function may be used again afterwards."""
        self._printing.close()
        if self._in_path:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(self.project))
        self._in_path = False
        self._called = None


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call: the program's params, then the case's inputs, and its earlier turns if it has any."""
    history = body.get("history")
    return {**body.get("params", {}), **body.get("input", {}), **({"history": list(history)} if history else {})}


async def _in_thread(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """What the function returns, from a thread that nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result(value) if error is None else done.set_exception(error)

    def work() -> None:
        value, error = None, None
        try:
            value = function(**given)
        except BaseException as problem:  # whatever it raises belongs to this sample
            # StopIteration and SystemExit cannot travel through a future.
            error = problem if isinstance(problem, Exception) else RuntimeError(_say(problem))
            error = RuntimeError(_say(problem)) if isinstance(problem, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is whoever wanted the answer
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name="reroll-function", daemon=True).start()
    value = await done
    return await value if inspect.isawaitable(value) else value


def _say(error: BaseException) -> str:
    """An exception as one line, without keys."""
    words = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return scrub(words, *known_values().values())[:LONGEST_MESSAGE]


def _read(returned: Any) -> Sample:
    """What a function returned, as a completion. Raises: TypeError for what is no answer."""
    usage = Usage()
    if isinstance(returned, str):
        completion = Completion(returned)
    elif isinstance(returned, Completion):
        completion = returned
    elif isinstance(returned, Mapping) and isinstance(returned.get("text"), str) and set(returned) <= ANSWER_KEYS:
        calls = returned.get("tool_calls") or ()
        refusal, counts = returned.get("refusal"), returned.get("usage") or {}
        completion = Completion(
            returned["text"],
            str(returned.get("finish_reason") or "stop"),
            tuple(calls),
            refusal=None if refusal is None else str(refusal),
        )
        usage = Usage(count_of(counts.get("prompt_tokens")), count_of(counts.get("completion_tokens")))
    elif isinstance(returned, Mapping | list | tuple):
        completion = Completion(json.dumps(returned, ensure_ascii=False))
    else:
        raise TypeError(
            f"the function returned {type(returned).__name__}; it must return a text, a dict, or a Completion"
        )
    secrets = known_values().values()
    if secrets:
        completion = Completion(
            hide(completion.text, *secrets),
            completion.finish_reason,
            hide(completion.tool_calls, *secrets),
            completion.tokens,
            hide(completion.refusal, *secrets),
        )
    json.dumps(completion.tool_calls)  # what cannot be written as JSON cannot be stored
    return Sample(completion=completion, usage=usage)
