"""reroll measures how often an LLM call fails, whether it was bad luck or a cause, and what may be claimed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reroll.evidence import Evidence, interval
    from reroll.verdict import decide

__version__ = "0.1.0"
__all__ = ["Evidence", "__version__", "decide", "interval"]

# Names are loaded when first used: the pytest plugin and `reroll --help` must start at once.
_HOME = {"Evidence": "reroll.evidence", "interval": "reroll.evidence", "decide": "reroll.verdict"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'reroll' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
