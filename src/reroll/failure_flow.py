"""Where failures leave the way that one failing completion took, over units that samples share.

Exact tokens part after a few dozen, and hardly any sample comes by again.  Over canonical units (a turn, a tool's
name and arguments, a JSON field, a sentence's meaning) many do, and their failures can be counted along the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.evidence import Est, interval

__all__ = ["FlowStep", "failure_flow"]


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One unit of the failing completion, and what the samples did there.

    reached:   share of all samples that shared every unit before it.
    left:      share of all FAILURES that left the way here (took another unit); these and the share that stayed to
               the end sum to 1 over the steps.
    through:   share of all failures that passed through this unit.
    stayed, other: success rate of those that reached it and took this unit, and of those that took another.
    avoidable: what forbidding the unit here would add to the whole success rate, in 0...1: the chance of coming
               here and taking it, times how much better the others did. None where one of the two was never seen.
    """

    position: int
    unit: str
    reached: Est
    left: float
    through: float
    stayed: Est
    other: Est
    avoidable: float | None


def failure_flow(
    failing: Sequence[str], samples: Sequence[tuple[Sequence[str], str]], alpha: float = 0.05
) -> tuple[FlowStep, ...]:
    """The steps of the failing completion in order, with how samples and their failures flowed.

    Args:    samples: (units, outcome) of fresh samples from the prompt, the failing completion not among them;
             invalid ones are left out of shares and rates.
    Raises:  ValueError: alpha out of range.

    >>> first = failure_flow(["search", "book"], [(["search", "ask"], "pass"), (["search", "book"], "fail")])[1]
    >>> first.through, first.avoidable
    (1.0, 0.5)
    """
    judged = [(tuple(units), outcome == "pass") for units, outcome in samples if outcome in ("pass", "fail")]
    n, failures = len(judged), sum(not passed for _, passed in judged)
    here, steps = judged, []
    for k, unit in enumerate(failing, 1):
        stay = [one for one in here if len(one[0]) >= k and one[0][k - 1] == unit]
        leave = [one for one in here if not (len(one[0]) >= k and one[0][k - 1] == unit)]
        stayed, other = _rate(stay, alpha), _rate(leave, alpha)
        avoidable = None
        if n and stayed.value is not None and other.value is not None:
            avoidable = len(stay) / n * (other.value - stayed.value)
        steps.append(
            FlowStep(
                position=k,
                unit=unit,
                reached=_share(len(here), n, alpha),
                left=_failed(leave) / failures if failures else 0.0,
                through=_failed(stay) / failures if failures else 0.0,
                stayed=stayed,
                other=other,
                avoidable=avoidable,
            )
        )
        here = stay
    return tuple(steps)


def _failed(some: Sequence[tuple[tuple[str, ...], bool]]) -> int:
    return sum(not passed for _, passed in some)


def _rate(some: Sequence[tuple[tuple[str, ...], bool]], alpha: float) -> Est:
    return _share(len(some) - _failed(some), len(some), alpha)


def _share(count: int, n: int, alpha: float) -> Est:
    low, high = interval(count, n, alpha)
    return Est(count / n if n else None, low, high, n)
