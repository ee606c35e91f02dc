"""Several programs drawn side by side in rounds until enough is known: the loop that comparisons of all kinds share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from reroll.case import Case
from reroll.errors import ModelError, NotCompleted
from reroll.runner import crashing_check
from reroll.runs import Runs
from reroll.session import Session

__all__ = ["SideBySide", "draw_side_by_side"]


class SideBySide(Protocol):
    """A table of the runs of several sessions, round by round."""

    sessions: Sequence[Session]

    @property
    def begun(self) -> bool:
        """Whether any round is whole."""
        ...

    def wanted(self) -> int:
        """How many rounds there should be in all after the next draws; 0: enough."""
        ...

    async def draw(self, rounds: int) -> None:
        """Make the draws that the first `rounds` still lack."""
        ...

    def refresh(self, *, anew: bool = False) -> None:
        """Read what is stored by now; `anew`: whole, since an outage has taken back what was read before."""
        ...

    def judged(self) -> Iterable[tuple[Case, Runs]]:
        """The runs of every session, with the case that they are of."""
        ...


async def draw_side_by_side(table: SideBySide) -> str:
    """Draw until the table wants no more, a recording is at its end or calls stop coming back; why they did, else "".

    Raises: ModelError where nothing came back before a round was whole; UsageError for a check that crashes always.
    """
    broken = ""
    try:
        while rounds := table.wanted():
            await table.draw(rounds)
            table.refresh()
            for case, runs in table.judged():
                crashing_check(case, runs)
            if any(session.exhausted for session in table.sessions):
                break
    except NotCompleted as error:
        broken = str(error)
        table.refresh(anew=True)
        if not table.begun:  # one of them never answered: there is nothing to show
            raise ModelError(broken, slug="model-no-answer") from None
    ran_out = next((s.exhausted for s in table.sessions if s.exhausted), None)
    if ran_out and not table.begun:
        raise ran_out
    return broken
