"""One case opened for reading its distribution: what its model can do, how it goes on, and how it samples."""

from __future__ import annotations

from dataclasses import dataclass

from reroll.branching import Branches
from reroll.case import Case
from reroll.models.continuing import Continuer, open_continuer
from reroll.models.http_wire import HttpModel
from reroll.models.local import NEUTRAL, LocalModel
from reroll.probing import capabilities_of
from reroll.sampler import Sampling, Unreadable, sampling_of
from reroll.session import Session

__all__ = ["Opened", "open_case", "server_of"]


@dataclass(frozen=True, slots=True)
class Opened:
    """`sampling`: how its tokens are drawn from the probabilities that are listed, or why that cannot be read."""

    continuer: Continuer
    branches: Branches
    sampling: Sampling | Unreadable


async def open_case(session: Session, case: Case) -> Opened:
    """The case with its model's abilities: stored ones, or found by a few small calls and stored.

    Raises: ModelError where the server is gone.
    """
    can = await capabilities_of(session.store, session.model)
    request = session.project.program.render(case.input, case.history)
    continuer = await open_continuer(session.model, request, can)
    sampled = can.logprobs_mode == "sampled"
    defaults = NEUTRAL if isinstance(session.model, LocalModel) else {}
    sampling = sampling_of({**defaults, **request.body}, await server_of(session), drawn_from=sampled)
    return Opened(continuer, Branches(session, case, continuer), sampling)


async def server_of(session: Session) -> str:
    """Which software samples: it decides the order of the sampler's steps and what is left to its defaults."""
    if isinstance(session.model, LocalModel):
        return "llama.cpp"
    return await session.model.server_kind() if isinstance(session.model, HttpModel) else "openai"
