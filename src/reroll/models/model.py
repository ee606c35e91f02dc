"""What reroll asks of a model, whatever the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

from reroll.program import Request
from reroll.sample import Sample, made_often

__all__ = ["Capabilities", "Draw", "Model", "Wrapping", "bare", "sent_away"]

sent_away: ContextVar[Callable[[Awaitable[None]], Awaitable[None]] | None] = ContextVar("sent_away", default=None)
"""What a wire awaits with its pause when the server sent a draw away (429, 529): others may go meanwhile."""


@made_often
class Draw:
    """One call to make: which request, for whom, and with which seed (None: the server's own).

    `again`: how many calls this very draw has made before, where steps around the model ask for more than one.
    """

    request: Request
    case_id: str
    index: int
    seed: int | None = None
    variant: str = "baseline"
    again: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do, as probed; None means not tried, or that it cannot be told. `notes` are for people.

    `versions` are what the server said answered the probe's calls (`sample.served`), each once, the last heard last.
    `unanswered`: so many calls of the probe brought no answer, so that what they asked after is None.
    """

    n: bool | None = None
    seed: bool | None = None
    temperature: bool | None = None
    logprobs: int | None = None  # how many alternatives per token; 0 means none
    logprobs_mode: Literal["raw", "sampled"] | None = None  # before temperature, or what was drawn from
    post_sampling: bool | None = None  # probabilities after all samplers can be asked for besides
    prompt_logprobs: bool | None = None  # those of a given text can be asked for (teacher forcing)
    echo: bool | None = None  # they come with the prompt that /completions repeats, by their texts
    prefix_continuation: bool | None = None
    token_ids: bool | None = None  # the answer's token ids are shown
    token_prompt: bool | None = None  # a prompt of token ids is taken
    json_schema: bool | None = None
    tools: bool | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    versions: tuple[str, ...] = ()
    unanswered: int = 0


class Model(Protocol):
    """A place where draws are made. `identity` names the very model: name, address or weights.

    `concurrency` is how many draws in flight suit it. `priced` says whether its money cost is
    known (bundled and recorded models cost nothing, which is known).
    """

    name: str
    identity: str
    concurrency: int

    @property
    def priced(self) -> bool: ...

    async def check(self) -> None:
        """Return if the model can be reached. Raises: ModelError in one sentence otherwise."""

    async def draw(self, draw: Draw) -> Sample:
        """Make one draw. Never raises for a server's failure: that is a sample with an error."""
        ...

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        ...

    async def close(self) -> None: ...


class Wrapping:
    """A model around another one, `inner`: what it does not say itself is said by that one."""

    inner: Model
    identity: str

    @property
    def priced(self) -> bool:
        return self.inner.priced

    async def check(self) -> None:
        """Return if the model inside can be reached. Raises: ModelError."""
        await self.inner.check()

    async def probe(self) -> Capabilities:
        """What the model inside can do."""
        return await self.inner.probe()

    async def close(self) -> None:
        await self.inner.close()


def bare(model: Model) -> Model:
    """The model itself, without what stands around it: a model that wraps another names it as `inner`."""
    inner: Model | None = getattr(model, "inner", None)
    return model if inner is None else bare(inner)
