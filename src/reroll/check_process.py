"""The child process that runs a project's python checks and patches: a script that imports nothing of reroll.

Reads requests and writes replies as JSON lines on the pipes that it was born with; what a check
prints goes nowhere. It bounds time and memory, and is no sandbox: a check can read files and
reach the network, which is why python checks come only from the project's own folder.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import sys
import traceback
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows: the parent's clock is the only limit there
    resource = None  # type: ignore[assignment]

LONGEST = 2_000  # characters of a reason that are kept
LONGEST_TEXT = 80_000  # characters that a patch may return; as JSON they still fit a reply


def main() -> None:
    requests, replies = _take_pipes()
    _limit_memory(int(sys.argv[1]))
    modules: dict[str, dict[str, Any]] = {}
    _send(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        _limit_seconds(request["seconds"])
        try:
            work = _load if "source" in request else _patch if "patch" in request else _run
            reply = work(modules, request)
        except BaseException as error:
            reply = {"crash": _describe(error, request["file"])}
        _send(replies, {"id": request["id"], **reply})


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Our own ends of the pipes; 0, 1 and 2 lead nowhere from now on."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    return requests, replies


def _limit_memory(limit: int) -> None:
    if resource is None:
        return
    for name, value in (("RLIMIT_AS", limit), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _limit_seconds(seconds: float) -> None:
    """The parent kills by the clock; this is for a parent that is gone, and for threads."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + 2 * seconds) + 1
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _load(modules: dict[str, dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": request["module"], "__file__": request["file"]}
    exec(compile(request["source"], request["file"], "exec"), space)  # noqa: S102  this is the user's own file
    modules[request["module"]] = space
    return {"loaded": True}


def _run(modules: dict[str, dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    return _verdict(modules[request["module"]][request["function"]](request["text"], request["sample"]))


def _patch(modules: dict[str, dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """What a patch makes of the text: it gets that alone, or, if it takes two arguments, what is around it besides."""
    function, value = modules[request["module"]][request["function"]], request["patch"]
    said = function(value["text"], value) if _takes_two(function) else function(value["text"])
    if not isinstance(said, str):
        return {"nonsense": repr(said)[:200]}
    return {"text": said} if len(said) <= LONGEST_TEXT else {"nonsense": f"a text of {len(said):,} characters"}


def _takes_two(function: Any) -> bool:
    try:
        inspect.signature(function).bind("", {})
    except (TypeError, ValueError):
        return False
    return True


def _verdict(said: Any) -> dict[str, Any]:
    """What a check returned: a bool, a reason (which means no), or both; else how it looks."""
    if type(said).__module__ == "numpy" and hasattr(said, "item"):
        said = said.item()
    reason = ""
    if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], str):
        said, reason = said
    elif isinstance(said, str) and said.strip():
        said, reason = False, said
    if isinstance(said, bool):
        return {"holds": said, "reason": str(reason)[:LONGEST]}
    return {"nonsense": repr(said)[:200]}


def _describe(error: BaseException, file: str) -> dict[str, Any]:
    """Type, message and the deepest line of the user's file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file and not lines:
        lines = [error.lineno]
    try:
        words = f"{type(error).__name__}({', '.join(map(repr, error.args))})"
    except BaseException:  # a repr that raises is the user's code too
        words = type(error).__name__
    return {"words": words[:LONGEST], "line": lines[-1] if lines else None}


if __name__ == "__main__":
    main()
