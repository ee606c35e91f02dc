"""Where an answer leaves the paths that passing ones take."""

from __future__ import annotations

from dataclasses import dataclass, field

from reroll.sample import Completion
from reroll.tree import steps_of

__all__ = ["Leaving", "Paths"]

COMMON_SHARE = 0.02  # of passing runs: what fewer do is no common path
MOST_NODES = 50_000
DEEPEST = 400  # tokens
BEFORE = 16  # characters before the place that tell one place from another


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where an answer leaves the common paths of passing ones: `token` after `before`; depth: tokens before it."""

    before: str
    token: str
    depth: int = field(compare=False, default=0)


class Paths:
    """The paths that passing answers take, as a tree of token texts; a path is common if enough of them take it.

    >>> paths = Paths()
    >>> for text in ("on Friday, noon", "on Friday at noon"): paths.add(Completion(text))
    >>> paths.leaving(Completion("on Monday at noon"))
    Leaving(before='on', token=' Monday', depth=1)
    >>> paths.leaving(Completion("on Friday at noon")) is None
    True
    """

    def __init__(self) -> None:
        self.passes = 0
        self._counts = [0]
        self._children: list[dict[str, int]] = [{}]
        self._ends: set[int] = set()

    def add(self, completion: Completion) -> None:
        """A passing answer. Past a fixed number of nodes new paths are no longer taken in."""
        self.passes += 1
        at = 0
        for step in steps_of(completion)[:DEEPEST]:
            below = self._children[at].get(step)
            if below is None:
                if len(self._counts) >= MOST_NODES:
                    return
                below = self._children[at][step] = len(self._counts)
                self._counts.append(0)
                self._children.append({})
            self._counts[below] += 1
            at = below

    def leaving(self, completion: Completion) -> Leaving | None:
        """Where this answer first does what too few passing ones do; None if nowhere, or none has passed."""
        if not self.passes:
            return None
        least = max(1, round(COMMON_SHARE * self.passes))
        at, before = 0, ""
        for depth, step in enumerate(steps_of(completion)[:DEEPEST]):
            below = self._children[at].get(step)
            if below is None or self._counts[below] < least:
                if not self._children[at]:
                    return None  # passing answers end here, or were not followed further
                return Leaving(before[-BEFORE:], step, depth)
            before += step
            at = below
        return None
