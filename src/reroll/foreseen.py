"""What `futures` answers: a call's completions by their exact probability, and the failure rate that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reroll.answer import Cost, to_json
from reroll.case import Case
from reroll.exploring import Exploration, Explored, begin, explore
from reroll.models.continuing import Tier
from reroll.models.stepped import left_out
from reroll.numbers import counts, interval_words, percent
from reroll.reading import open_case
from reroll.sampler import Sampling
from reroll.session import Session
from reroll.ways import calls_for_width

__all__ = ["Foreseen", "ask_futures"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The answer of `futures`. `sampling_calls`: what plain sampling would have taken for an interval as narrow."""

    case: str
    program: dict[str, Any]
    model: str
    tier: Tier
    explored: Explored
    calls: int
    tokens: int
    sampling_calls: int
    down_to: float
    cost: Cost
    caveats: tuple[str, ...]
    text: str
    alpha: float

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.futures/1`."""
        found, rate = self.explored.futures, self.explored.rate
        return {
            "schema": "reroll.futures/1",
            "known_failure": found.known_failure,
            "known_success": found.known_success,
            "known_invalid": found.known_invalid,
            "unexplored": found.unexplored,
            "outside_top_k": found.outside_top_k,
            "noise": found.noise,
            "rate": {**to_json(rate), "alpha": self.alpha, "method": self.explored.method},
            "calls": self.calls,
            "tokens": self.tokens,
            "sampling_calls": self.sampling_calls,
            "completions": [to_json(future) for future in found.completions],
            "server_noise": to_json(found.server_noise),
            "agreement": to_json(self.explored.agreement),
            "case": self.case,
            "program": self.program,
            "model": self.model,
            "tier": self.tier,
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "text": self.text,
            "finished": self.explored.finished,
            "stopped": self.explored.stopped,
        }


async def ask_futures(session: Session, case: Case, width: float, down_to: float, draws: int) -> Foreseen:
    """The futures of one case; what was found before is reused. `draws`: plain draws that are held against them.

    Raises: ModelError where they cannot be read.
    """
    session.store.put_program(session.project.program)
    session.store.put_case(case)
    opened = await open_case(session, case)
    found = begin(session, opened)
    rng = np.random.default_rng(session.options.seed)
    alpha = session.options.alpha
    explored = await explore(
        found,
        width=width,
        down_to=down_to,
        draws=draws,
        alpha=alpha,
        rng=rng,
        tell=_tell,
    )
    rate = explored.rate
    low, high = rate.low or 0.0, 1.0 if rate.high is None else rate.high
    plain = calls_for_width(max(high - low, 1e-4), min(max(low, 0.0), 0.5), alpha)
    return Foreseen(
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        tier=opened.continuer.tier,
        explored=explored,
        calls=opened.branches.calls,
        tokens=opened.branches.generated,
        sampling_calls=plain,
        down_to=down_to,
        cost=session.spent.cost(),
        caveats=(*left_out(session.model, session.project.program), *_caveats(opened.sampling, explored)),
        text=reply(explored, found.calls, plain),
        alpha=alpha,
    )


def _tell(found: Exploration) -> None:
    failure, unknown = found.search.known("fail"), found.search.unknown
    found.branches.tell(f"fails for sure: {percent(failure)}, not known yet: {percent(min(1.0, unknown))}")


def reply(explored: Explored, calls: int, plain: int) -> str:
    """What one would paste into a thread, none of it stronger than what was read."""
    found, rate, agreed = explored.futures, explored.rate, explored.agreement
    low, high = rate.low or 0.0, 1.0 if rate.high is None else rate.high
    if not agreed.agrees:
        suspect = f"; it looks like {agreed.suspect}" if agreed.suspect else ""
        return (
            f"The server does not sample from the probabilities that it lists: {counts('plain run', agreed.draws)} "
            f"contradict them{suspect}. Nothing can be read from them; `rerun` measures how often it fails."
        )
    sentences = [f"This request fails in {interval_words(low, high)} of runs."]
    checked = f" (checked by {counts('plain run', agreed.draws)})" if agreed.draws else ""
    if explored.method == "enumeration":
        sentences.append(
            f"That is read from the model's own probabilities in {counts('call', calls)}, not guessed from runs; it "
            f"holds if they are those that it samples from{checked}. Runs would have taken about {plain_words(plain)} "
            "to say as much."
        )
    else:
        sentences.append(
            f"{percent(1 - found.unexplored)} of what can happen is read from the model's own probabilities, the rest "
            "was sampled."
        )
    worst = found.could_go_wrong()
    if worst:
        sentences.append(f"The commonest wrong answer comes in {percent(worst[0].prob)} of runs.")
    elif explored.method == "enumeration" and found.unexplored < 1e-3:
        sentences.append("No wrong answer was found among those that were followed.")
    return " ".join(sentences)


def plain_words(calls: int) -> str:
    """About so many calls, to two digits: nobody knows it better.

    >>> plain_words(374917), plain_words(11)
    ('370,000 calls', '11 calls')
    """
    return counts("call", int(float(f"{calls:.2g}")))


def _caveats(sampling: object, explored: Explored) -> list[str]:
    found, agreed, said = explored.futures, explored.agreement, []
    if agreed.draws:
        seen = f"; so many would have shown {' or '.join(agreed.sees[:2])}" if agreed.sees else ""
        said.append(
            f"{counts('plain run', agreed.draws)} were held against the probabilities (true ones are refuted with a "
            f"chance of at most {percent(agreed.alpha)}){seen}"
        )
    else:
        said.append("the probabilities are the server's own, and no plain run was held against them (--draws)")
    if isinstance(sampling, Sampling) and sampling.unsure:
        said.append(f"left to the server, and read as if they did nothing: {', '.join(sampling.unsure)}")
    if found.outside_top_k > 1e-4:
        said.append(
            f"{percent(found.outside_top_k)} of what can happen begins with tokens that the server does not list; it "
            "counts both ways"
        )
    if found.noise > 1e-3:
        said.append(
            f"{percent(found.noise)} is lost to rounding and to a server that is not steady; it counts both ways"
        )
    if found.known_invalid > 1e-4:
        said.append(f"{percent(found.known_invalid)} could not be judged, and counts both ways")
    if explored.method == "hybrid":
        said.append(f"the interval's drawn part is wrong with a chance of at most alpha; {explored.rate.n} draws")
    return said
