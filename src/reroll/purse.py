"""The spending cap of one command, held against what every command on its store spends."""

from __future__ import annotations

from dataclasses import dataclass

from reroll.store import Store

__all__ = ["Purse"]


@dataclass(slots=True)
class Purse:
    """What was spent on a store since this command began, by it and by every other process.

    Other commands' calls count as far as their prices are known. A call may start while the cap leaves room for it
    and for those that this command has in flight, each at the price of the dearest so far; so the cap is
    overshot by what is in flight at most: other processes' calls, and the first ones, whose price nobody knows yet.
    """

    store: Store
    cap: float
    seen: int = 0  # the newest `seq` that was counted
    stored: float = 0.0  # what is stored since then, in US dollars
    own: float | None = 0.0  # what this command spent, stored or not yet; None once not known
    dearest: float = 0.0  # the dearest of its draws, or what one would be of as many calls as one may take
    most_calls: int = 1  # that one draw may take, through the steps around the model

    def __post_init__(self) -> None:
        self.seen = self.store.newest()

    def add(self, usd: float | None, unknown: bool, calls: int = 1) -> None:
        """Count a draw of this command; `unknown`: it brought something back and nobody knows its price."""
        if usd is not None and self.own is not None:
            self.own += usd
            self.dearest = max(self.dearest, usd, usd / max(1, calls) * self.most_calls)
        elif unknown:
            self.own = None

    def spent(self) -> float | None:
        """US dollars, by all since this command began; None where its own part is not known."""
        self.seen, more = self.store.since(self.seen)
        self.stored += more
        return None if self.own is None else max(self.own, self.stored)

    def shut(self, in_flight: int = 0) -> bool:
        """Whether no further call may start."""
        spent = self.spent()
        return spent is None or spent >= self.cap or spent + self.dearest * (in_flight + 1) > self.cap * (1 + 1e-9)
