"""Every setting in one place: its environment name, unit, default and meaning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reroll.errors import UsageError

__all__ = ["MOST", "SETTINGS", "Setting", "setting"]

MOST = 1_000_000  # calls: more than anybody makes, and less than any table minds


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `parse` turns the environment's text into a value or raises ValueError."""

    name: str
    unit: str
    default: Any
    parse: Callable[[str], Any]
    about: str

    @property
    def env(self) -> str:
        return f"REROLL_{self.name.upper()}"


def _between(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low < value < high:
            raise ValueError(f"must lie between {low:g} and {high:g}")
        return value

    return parse


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST:
        raise ValueError(f"must lie between 1 and {MOST:,}")
    return value


def _engine(text: str) -> str:
    if text not in ("asyncio", "ray"):
        raise ValueError("must be asyncio or ray")
    return text


def _method(text: str) -> str:
    if text not in ("auto", "sampling"):
        raise ValueError("must be auto or sampling")
    return text


def _flag(text: str) -> int:
    return int(text != "0")


_ALL = (
    Setting(
        "store", "path or URL", None, str, "Where samples are kept; default `.reroll/store.sqlite` in the project."
    ),
    Setting("alpha", "chance", 0.05, _between(0.0005, 0.5), "Allowed chance that one verdict is ever wrong."),
    Setting("budget", "calls", 400, _count, "Calls a command may make before it stops, undecided if need be."),
    Setting("control_share", "share of budget", 0.25, _between(0, 1), "Most of the budget that control cases may use."),
    Setting("concurrency", "calls in flight", None, _count, "Calls at once; default: what suits the model."),
    Setting(
        "method",
        "auto or sampling",
        "auto",
        _method,
        "Whether a verdict may be read from a model's own probabilities where that takes fewer calls than runs.",
    ),
    Setting("max_seconds", "seconds", None, _between(0, 1e9), "Wall time that one command may take; default: no end."),
    Setting("engine", "asyncio or ray", "asyncio", _engine, "Where calls are made: in this process, or on a cluster."),
    Setting("cluster", "HOST:PORT", None, str, "The Ray cluster; default: one on this machine for this command."),
    Setting("actors", "actors", None, _count, "Ray actors that make calls; default: one for each CPU."),
    Setting("timeout", "seconds", 120.0, _between(0, 1e6), "How long one HTTP try may take."),
    Setting("tries", "HTTP tries", 3, _count, "Tries of one call that may end in a server's failure."),
    Setting("check_timeout", "seconds", 5.0, _between(0, 1e6), "How long one python check may take."),
    Setting(
        "migrate",
        "1 or 0",
        0,
        lambda text: int(text != "0"),
        "1: a PostgreSQL store of an older version may be migrated.",
    ),
    Setting("debug", "1 or 0", 0, _flag, "1: show the traceback of an unexpected error."),
)
SETTINGS: Mapping[str, Setting] = {s.name: s for s in _ALL}


def setting(name: str, given: Any = None, environment: Mapping[str, str] | None = None) -> Any:
    """The value in force: what the command line gave, else the environment, else the default.

    Raises: UsageError naming the variable and what it wants.

    >>> setting("budget", environment={"REROLL_BUDGET": "50"})
    50
    """
    if given is not None:
        return given
    known = SETTINGS[name]
    text = (os.environ if environment is None else environment).get(known.env, "")
    if not text:
        return known.default
    try:
        return known.parse(text)
    except ValueError as error:
        reason = str(error) if "must" in str(error) else f"is not a number of {known.unit}"
        raise UsageError(f"environment variable {known.env}={text!r} {reason}; unset it or mend it") from None
