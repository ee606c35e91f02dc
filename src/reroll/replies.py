"""Which answers are copies: a server names each answer once, unless a stored one is given out again."""

from __future__ import annotations

import hashlib
import re

from reroll.sample import Sample
from reroll.step_record import taken

__all__ = ["Replies", "reply_name"]

# A shorter one is no name that comes once: Ollama, for one, has a thousand of them (`chatcmpl-417`).
LEAST = 16
# In JSON, `"id"` inside a string stands as `\"id\"`, which this does not match.
ID = re.compile(rf'"id"\s*:\s*"([^"\\]{{{LEAST},200}})"')
CREATED = re.compile(r'"created(?:_at)?"\s*:\s*([0-9.]+)')
MOST = 10_000  # names that are kept: whoever gives stored answers out has few of them for one request


def reply_name(sample: Sample) -> str | None:
    """What tells this answer of a server from all others, of the first call that was made for it; None where nothing
    does.

    The server's own name for it, when it says to have made it, and what it says: a server that calls all of
    its answers the same has many different ones, and none of them is a copy.
    """
    took = taken(sample)
    if took is not None:
        made = next((one for one in took.drawn if one.calls), None)
        return None if made is None else reply_name(made)
    if sample.completion is None or sample.raw is None or (found := ID.search(sample.raw)) is None:
        return None
    created = CREATED.search(sample.raw)
    said = f"{found[1]} {created[1] if created else ''} {sample.completion.text} {sample.completion.tool_calls!r}"
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Replies:
    """The names of answers that came before; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self.looked: set[tuple[str, str]] = set()  # places whose stored answers were looked at: request, series

    def learn(self, sample: Sample) -> bool:
        """Whether this very answer came before; from now on it has."""
        name = reply_name(sample)
        if name is None:
            return False
        if name in self._known:
            return True
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[name] = None
        return False
