"""The command line of the recording proxy: words into a call of the function beneath, registered by `reroll.cli`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["record"]

OUT = Path("calls.jsonl")


def record(*, upstream: str, port: int = 8586, out: Path = OUT) -> int:
    """Stand between your product and its model's server, and keep every call in a file that `reroll import` reads.

    Parameters
    ----------
    upstream
        The server that calls go on to, such as https://api.openai.com/v1.
    port
        The port on this machine; 0 takes a free one.
    out
        Where calls are kept, one JSON object a line: request and answer whole, never a header.
    """
    from reroll import commands_record

    return commands_record.record(upstream, port, out)
