"""A case's completions gone on with from prefixes: stored and judged like any draw, never counted as one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.engine import run_draws
from reroll.errors import ModelError, NotCompleted, RerollError
from reroll.keeping import Keeper
from reroll.models.continuing import Continuer
from reroll.models.model import Capabilities, Draw
from reroll.program import Request
from reroll.sample import Completion, Sample, Token
from reroll.session import Session, Slots, checks_of, seed_of, slots, too_dear
from reroll.store import NewSample

__all__ = ["Branch", "Branches", "Wanted"]

SOURCE: Literal["continued"] = "continued"
PLACE = re.compile(r"after (\d+) (greedily |)of (.+)")
DEAD_AFTER = 8  # calls in a row that bring nothing back: the server is down


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call: go on from the prefix, as sampled or greedily."""

    prefix: tuple[Token, ...]
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One completion that was gone on with from its first `prefix` tokens. `id` is that of the stored sample."""

    id: str
    prefix: int
    greedy: bool
    sample: Sample
    outcome: Outcome

    @property
    def tokens(self) -> tuple[Token, ...]:
        return self.sample.completion.tokens if self.sample.completion else ()

    @property
    def generated(self) -> int:
        """Tokens that this call generated."""
        counted = self.sample.usage.completion_tokens
        return max(0, len(self.tokens) - self.prefix) if counted is None else counted


class Branches:
    """All branches of one request: those that are stored, and new ones."""

    def __init__(self, session: Session, case: Case, continuer: Continuer) -> None:
        self.session, self.case, self.continuer = session, case, continuer
        self.place: Slots = slots(session, case)
        self.generated = 0  # tokens that this command's branches took
        self.calls = 0

    def stored(self) -> list[Branch]:
        """What earlier commands drew, in the order of storing; judged by the checks as they are now."""
        session = self.session
        found = session.store.samples(
            program_id=session.project.program.id, case_id=self.case.id, source=SOURCE, payload=True
        )
        mine = []
        for one in found:
            place = PLACE.fullmatch(one.series)
            if place is not None and place[3] == self.place.request_id and one.sample.completion is not None:
                mine.append((one, int(place[1]), bool(place[2])))
        said = session.store.outcomes([one.id for one, _, _ in mine], checks_of(session, self.place))
        return [
            Branch(one.id, prefix, greedy, one.sample, self._outcome(one.id, one.sample, said.get(one.id)))
            for one, prefix, greedy in mine
        ]

    async def score(self, tokens: Sequence[Token]) -> tuple[Token, ...]:
        """The tokens with their probabilities for this request: as stored, or asked for now, counted and stored.

        Raises: ModelError where the server cannot score them.
        """
        session, series = self.session, f"scored of {self.place.request_id}"
        found = session.store.samples(request_id=self.place.request_id, series=series, source=SOURCE, payload=True)
        for one in found:
            have = one.sample.completion.tokens if one.sample.completion else ()
            if [(t.id, t.text) for t in have] == [(t.id, t.text) for t in tokens]:
                return have
        scored = await self.continuer.score(
            tokens,
            at_once=session.options.concurrency or session.model.concurrency,
            case_id=self.case.id,
            tally=lambda sample: session.spent.add(sample, control=False),
        )
        text = "".join(t.text for t in scored)
        new = NewSample(
            Sample(completion=Completion(text, "scored", tokens=scored)),
            request_id=self.place.request_id,
            series=series,
            idx=session.store.reserve(self.place.request_id, series, 1)[0],
            program_id=session.project.program.id,
            case_id=self.case.id,
            variant=session.variant,
            source=SOURCE,
        )
        session.store.add_samples([new])
        return scored

    async def draw(self, wanted: Sequence[Wanted]) -> list[Branch | None]:
        """One branch for each, in the order wanted; None where none was drawn: stopped, budget, money or time.

        Raises: ModelError, NotCompleted when the server brings nothing back any more.
        """
        session = self.session
        wanted = list(wanted)[: max(0, session.left)]
        if session.stopped or too_dear(session) or session.spent.out_of_time() or not wanted:
            return [None] * len(wanted)
        places = [self._place(one) for one in wanted]
        draws = [Draw(request, self.case.id, index, seed) for request, _, index, seed in places]
        number = {id(draw): k for k, draw in enumerate(draws)}
        out: list[Branch | None] = [None] * len(wanted)
        came: dict[int, Sample] = {}
        ids: dict[int, str] = {}

        def keep(new: Sequence[NewSample]) -> None:
            for one, stored in zip(new, session.store.add_samples(new), strict=True):
                ids[id(one.sample)] = stored

        keeper = Keeper(keep)
        program_id = session.project.program.id

        def settled(draw: Draw, sample: Sample) -> asyncio.Future[None]:
            k = number[id(draw)]
            came[k] = sample
            session.spent.add(sample, control=False)
            session.got_through |= sample.error is None
            self.calls += 1
            self.generated += sample.usage.completion_tokens or 0
            return keeper.add(
                NewSample(
                    sample,
                    request_id=places[k][1],
                    series=self._series(wanted[k]),
                    idx=draw.index,
                    program_id=program_id,
                    case_id=self.case.id,
                    variant=session.variant,
                    source=SOURCE,
                )
            )

        purse = session.spent.purse
        drawing = asyncio.ensure_future(
            run_draws(
                _Going(self.continuer, {id(d): w for d, w in zip(draws, wanted, strict=True)}, session),
                draws,
                session.options.concurrency or session.model.concurrency,
                settled,
                deadline=session.spent.begin(session.options.max_seconds),
                enough=purse.shut if purse else None,
            )
        )
        session.drawing.add(drawing)
        try:
            await drawing
        except asyncio.CancelledError:
            if not session.stopped:
                raise
        finally:
            session.drawing.discard(drawing)
            keeper.flush()
        for k, sample in came.items():
            said = self._outcome(ids[id(sample)], sample, None)
            out[k] = Branch(ids[id(sample)], len(wanted[k].prefix), wanted[k].greedy, sample, said)
        self._still_alive(list(came.values()))
        return out

    def _series(self, one: Wanted) -> str:
        return f"after {len(one.prefix)} {'greedily ' if one.greedy else ''}of {self.place.request_id}"

    def _place(self, one: Wanted) -> tuple[Request, str, int, int | None]:
        """The request that is sent, its id, and the index and seed of a new draw there."""
        session = self.session
        request = self.continuer.request_after(one.prefix, greedy=one.greedy)
        request_id = request.id(session.model.identity)
        session.store.put_request(request_id, request, session.model.identity)
        index = session.store.reserve(request_id, self._series(one), 1)[0]
        return request, request_id, index, seed_of(session.options.seed, request_id, self._series(one), index)

    def _outcome(self, id: str, sample: Sample, known: dict[str, Outcome] | None) -> Outcome:
        session, checks = self.session, checks_of(self.session, self.place)
        if known is not None and all(check in known for check in checks):
            return overall(known[check] for check in checks)
        said = session.checker.judge(self.case, session.judging, sample)
        session.store.add_all_outcomes({id: [(c, o) for c, o in zip(checks, said, strict=True) if not o.broken]})
        return overall(said)

    def _still_alive(self, came: Sequence[Sample]) -> None:
        errors = [sample.error for sample in came if sample.error]
        if len(errors) == len(came) and (len(came) >= DEAD_AFTER or (came and not self.session.got_through)):
            raise self._dead(errors[-1])

    def _dead(self, last: str) -> RerollError:
        name = self.session.model.name
        said = f"calls that go on from a given beginning; the last error was: {last}; what was drawn is stored"
        if self.session.got_through:
            return NotCompleted(f"{name} stopped answering {said}", slug="model-stopped-answering")
        return ModelError(f"{name} does not answer {said}", slug="model-no-answer")


class _Going:
    """What goes on with completions, as a model that the engine draws from."""

    def __init__(self, continuer: Continuer, wanted: dict[int, Wanted], session: Session) -> None:
        self.continuer, self.wanted = continuer, wanted
        self.name, self.identity = session.model.name, session.model.identity
        self.concurrency, self.priced = session.model.concurrency, session.model.priced

    async def check(self) -> None:
        return None

    async def draw(self, draw: Draw) -> Sample:
        one = self.wanted[id(draw)]
        return await self.continuer.go_on(one.prefix, greedy=one.greedy, seed=draw.seed, case_id=draw.case_id)

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None:
        return None
