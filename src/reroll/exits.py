"""How a command ends: one sentence for whatever went wrong, and an exit code that no gate mistakes for a verdict."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback

from cyclopts import CycloptsError, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from reroll.errors import RerollError

__all__ = ["ended"]

BROKE_OFF, READER_GONE = 4, 141
OTHERWISE = {"CASE": ("SAMPLE", "WHAT"), "SAMPLE": ("WHAT",)}  # words that may be a case, or a sample, too
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def ended(error: BaseException) -> int:
    """The exit code, once the one sentence is said."""
    if _reader_gone(error):
        return READER_GONE
    if isinstance(error, CycloptsError):
        command = " ".join(["reroll", *(error.command_chain or ())])
        return _fail(f"{_usage(error, command)} Try `{command} --help`.", 2)
    if isinstance(error, RerollError):
        return _fail(f"{error}", error.exit_code, error.slug)
    if isinstance(error, KeyboardInterrupt):
        words = "stopped by you; what was drawn is stored, and the same command goes on from there"
        return _fail(words, BROKE_OFF, "not-completed")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        problem = (error.strerror or "no room").lower()
        return _fail(f"the output cannot be written: {problem}; make room or print it elsewhere", 2, "out")
    return _unexpected(error)


def _reader_gone(error: BaseException) -> bool:
    """Whether stdout leads to nobody any more; rich says so by a SystemExit of its own."""
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, SystemExit) and error.__context__ is not None and _reader_gone(error.__context__)


def _unexpected(error: BaseException) -> int:
    from reroll.settings import setting

    if setting("debug"):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    return _fail(
        f"unexpected error: {type(error).__name__}: {error}; what was drawn is stored; please report this, with the "
        "output of `reroll doctor`; REROLL_DEBUG=1 shows the traceback",
        BROKE_OFF,
        "unexpected",
    )


def _usage(error: CycloptsError, command: str) -> str:
    """What is wrong with the words after `reroll`. A value that is not there and an option that is not there read
    alike in the library's own words."""
    words = _one_line(str(error))
    if isinstance(error, MissingArgumentError) and error.argument is not None and "Did you mean" not in words:
        name = error.argument.name
        return f"{name} needs a value after it." if error.keyword is not None else f"`{command}` needs {name}."
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"`{command}` takes no `{' '.join(error.unused_tokens)}`."
    if isinstance(error, UnknownOptionError) and (word := _as_a_word(error)):
        return f"`{command}` has no `{_option(error)}`; {word} needs none before it: `{command} {word}`."
    return words


def _as_a_word(error: UnknownOptionError) -> str:
    """What this command takes under the name of the option that it does not have; empty: nothing."""
    said = _option(error).lstrip("-").upper()
    names = {said, f"{said}S", f"{said}ES", *OTHERWISE.get(said, ())}
    return next((a.name for a in error.argument_collection if a.name in names), "")


def _option(error: UnknownOptionError) -> str:
    return (error.token.keyword or error.token.value).split("=", 1)[0]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(message: str, code: int, slug: str = "usage") -> int:
    with contextlib.suppress(OSError):
        print(f"reroll: {_one_line(message)} [{slug}]", file=sys.stderr)
    return code
