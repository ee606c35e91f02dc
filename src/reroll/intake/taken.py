"""One recorded call as it was taken in, whatever format it came from, and how exactly its request is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reroll.errors import sayable
from reroll.sample import Completion, Usage, made_often
from reroll.store_rows import Evaluation

__all__ = ["API", "FIDELITY_WORDS", "Evaluated", "Fidelity", "Format", "Mark", "Skipped", "Taken", "Value"]

JSON = Any  # what json.loads returns
Fidelity = Literal["exact", "partly", "messages"]
# The family of addresses that a request body is meant for: its shape follows from it.
API = Literal["chat", "responses", "messages", "completions"]

FIDELITY_WORDS: Mapping[str, str] = {
    "exact": "the request is known whole, as it was sent",
    "partly": "the messages are known whole, the parameters only in part",
    "messages": "only the messages are known, no parameter",
}

UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class Mark:
    """A score, label or thumb that came with a call; `value` is a number, a word, or None."""

    name: str
    value: float | str | None
    comment: str = ""


@made_often
class Taken:
    """One call. It has a completion, an error, a reward (a whole conversation), or none: only the request.

    body:     the request as it would be sent, in the shape of its `api`; values that an exporter invented left out.
    raw:      its very text, where it was pasted as a text; else `body` has all that was sent.
    others:   further completions of the same call, or why one of them cannot be read.
    ids:      trace, span, session, record (the call's own id), case (the user's name of the case), run.
    whole:    the messages are a conversation from beginning to end, not what one call was asked.
    guessed:  sentences: what is not known of the request, or was left out because an exporter made it up.
    """

    format: str
    where: str
    body: Mapping[str, JSON]
    fidelity: Fidelity
    api: API = "chat"
    raw: str | None = None
    url: str | None = None
    provider: str | None = None
    completion: Completion | None = None
    others: tuple[Completion | str, ...] = ()
    error: str | None = None
    reward: float | None = None
    expected: JSON = None
    started: float | None = None
    seconds: float | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    usage: Usage = UNKNOWN
    model: str | None = None
    fingerprint: str | None = None
    whole: bool = False
    guessed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is no call, or one that cannot be used: where, and why in words."""

    format: str
    where: str
    why: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", sayable(self.why))  # it quotes what somebody else wrote


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a file says of a call that is elsewhere, or beside it: the store joins the two, whichever comes first."""

    evaluation: Evaluation


def not_ahead(first: Sequence[JSON]) -> bool:
    """For formats in which no file must be read before the others."""
    return False


@made_often
class Value:
    """One JSON value of a file (or, for `curl`, a text), and where it stands."""

    where: str
    value: JSON
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how it is called, whether the first values of a file look like it, and how calls are read from it.

    ahead: whether a file with these first values holds only evaluations: it is read before the others, so that what
    is counted of the calls has them.
    """

    name: str
    looks_like: Callable[[Sequence[JSON]], bool]
    read: Callable[[Iterable[Value]], Iterator[Taken | Skipped | Evaluated]]
    ahead: Callable[[Sequence[JSON]], bool] = not_ahead
