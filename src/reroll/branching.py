"""A case's completions gone on with from prefixes: stored and judged like any draw, never counted as one."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reroll.answer import ProgressEvent
from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.engine import DEAD_AFTER, run_draws
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.freshness import count_silence, mark_silence
from reroll.keeping import Keeper
from reroll.models.continuing import Continuer, scored_as
from reroll.models.model import Capabilities, Draw, Model
from reroll.numbers import counts
from reroll.sample import Completion, Sample, Token
from reroll.session import Session, Slots, checks_of, outcomes_of, seed_of, slots, too_dear
from reroll.store import NewSample

__all__ = [
    "INSTEAD",
    "SOURCE",
    "Branch",
    "Branches",
    "Place",
    "Wanted",
    "before_checks",
    "continued",
    "is_of",
    "settle",
    "still_alive",
    "was_searched",
]

SOURCE: Literal["continued"] = "continued"
PLACE = re.compile(r"after (\d+) (greedily |)of (\S+)(?: for (\S+))?")
REFUSALS = ("http 400", "http 404", "http 405", "http 422")  # the same call would be turned down again
FEW_REFUSED = 2
Place = tuple[str, str]  # request id and series: where a call's draws are stored
INSTEAD = "; `rerun` and `certify` sample instead"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call: go on from the prefix, as sampled or greedily."""

    prefix: tuple[Token, ...]
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One completion that was gone on with from its first `prefix` tokens.

    id and seq: of the stored sample, seq 0 where it was not read from the store; search: the sample in whose search it
    was drawn, if in any.
    """

    id: str
    prefix: int
    greedy: bool
    sample: Sample
    outcome: Outcome
    seq: int = 0
    search: str = ""

    @property
    def tokens(self) -> tuple[Token, ...]:
        return self.sample.completion.tokens if self.sample.completion else ()

    @property
    def generated(self) -> int:
        """Tokens that this call generated."""
        counted = self.sample.usage.completion_tokens
        return max(0, len(self.tokens) - self.prefix) if counted is None else counted


class Branches:
    """All branches of one request: those that are stored, and new ones.

    purpose: whose branches these are, where they must not be mixed with those of other questions: a question that
    chose its place by what was drawn there before must not count that again.

    After `search_again` those of one sample's search are found again, call by call, before any is drawn.
    """

    def __init__(self, session: Session, case: Case, continuer: Continuer, purpose: str = "") -> None:
        self.session, self.case, self.continuer, self.purpose = session, case, continuer, purpose
        self.place: Slots = slots(session, case)
        self.generated = 0  # tokens that this command's branches took
        self.calls = 0
        self._doing = "reading the model's own probabilities"
        self._program_id = session.project.program.id
        self._known: list[Branch] | None = None
        self._older: int | None = None
        self._search = ""
        self._again: dict[Place, list[Branch]] = {}  # by call, those found that are not used yet

    def search_again(self, sample: str) -> list[Branch]:
        """Draw for the search of this sample from now on; what its search drew before, in the order of storing."""
        self._search = sample
        stored = self._stored()
        if self._known is None:  # read once for both
            self._known = _completed(stored)
        return [branch for branch in stored if branch.search == sample and branch.seq > self.older]

    @property
    def older(self) -> int:
        """The `seq` of the last branch of this case that was there before its checks as they are now were known."""
        if self._older is None:
            self._older = before_checks(self.session, self.place, source=SOURCE)
        return self._older

    def tell(self, doing: str = "") -> None:
        """Show what this command has spent by now, whatever it was for; `doing`: what the next calls are for.

        They are no runs of the case, so that no failures are counted here.
        """
        self._doing = doing or self._doing
        session = self.session
        session.notify(
            ProgressEvent(
                phase="case",
                case_id=self.case.id,
                calls=session.spent.calls,
                budget=session.options.budget,
                failures=None,
                invalid=0,
                estimate=None,
                low=0.0,
                high=1.0,
                question="",
                usd=session.spent.usd,
                seconds=session.spent.seconds,
                doing=self._doing,
            )
        )

    def _spent(self, sample: Sample) -> None:
        self.session.spent.add(sample, control=False)
        self.tell()

    def known(self) -> list[Branch]:
        """What earlier commands drew, in the order of storing, judged by the checks as they are now; then what this
        command drew. Branches that brought nothing back are left out."""
        if self._known is None:
            self._known = _completed(self._stored())
        return list(self._known)

    def _stored(self) -> list[Branch]:
        found = self.session.store.samples(
            program_id=self._program_id, case_id=self.case.id, source=SOURCE, payload=True
        )
        placed = [(one, PLACE.fullmatch(one.series)) for one in found]
        mine = [(one, place) for one, place in placed if place is not None and place[3] == self.place.request_id]
        said = outcomes_of(self.session, self.place, {one.id: one.sample for one, _ in mine})
        return [
            Branch(one.id, int(place[1]), bool(place[2]), one.sample, overall(said[one.id]), one.seq, place[4] or "")
            for one, place in mine
        ]

    def drawn(self, one: Wanted) -> list[Branch]:
        """What was drawn of this very call before, for the same purpose, in the order of drawing, judged.

        Not what was there before these checks were known: a check that was written after looking would fit it.
        """
        session, (request_id, series) = self.session, self._place_of(one)
        older = before_checks(session, self.place, request_id=request_id, series=series, source=SOURCE)
        stored = session.store.samples(request_id=request_id, series=series, source=SOURCE, payload=True)
        found = sorted((each for each in stored if each.seq > older), key=lambda each: each.idx)
        said = outcomes_of(session, self.place, {each.id: each.sample for each in found})
        return [
            Branch(each.id, len(one.prefix), one.greedy, each.sample, overall(said[each.id]), each.seq, self._search)
            for each in found
        ]

    def scored(self, tokens: Sequence[Token], first: int = 0) -> tuple[Token, ...] | None:
        """The tokens with their probabilities for this request, from `first` on, if they are stored."""
        return next((have for have in self._scored(first) if _alike(have, tokens) == len(have) == len(tokens)), None)

    def _scored(self, first: int) -> list[tuple[Token, ...]]:
        found = self.session.store.samples(
            request_id=self.place.request_id, series=self._scores(first), source=SOURCE, payload=True
        )
        return [one.sample.completion.tokens for one in found if one.sample.completion]

    def _begun(self, tokens: Sequence[Token], runs: Iterable[Sequence[Token]]) -> tuple[Token, ...]:
        """As much of the beginning of these tokens as runs, and texts that were scored before, tell of it.

        What comes after the same tokens has the same probabilities: they are told up to the first token that differs,
        and that one, too, where it stands in the list that came for its place. Not of a run: where a character takes
        several tokens, some servers list one for it, whose place is another.
        """
        longest: tuple[Token, ...] = ()
        for run in runs:
            told = next((k for k, t in enumerate(run) if t.logprob is None or not t.top), len(run))
            longest = max(longest, tuple(run[: min(told, _alike(run, tokens))]), key=len)
        for have in self._scored(0):
            same = _alike(have, tokens)
            begun = have[:same]
            differs = same < min(len(have), len(tokens))
            # By ids only: texts may be those of several tokens. A list that is longer than asked for has the other
            # token behind it because that one was there: others may be likelier.
            if differs and have[same].top_ids and len(have[same].top) <= self.continuer.top:
                instead = scored_as(tokens[same], have[same])
                begun = (*begun, instead) if instead.logprob is not None else begun
            longest = max(longest, begun, key=len)
        return longest

    async def score(
        self, tokens: Sequence[Token], first: int = 0, runs: Iterable[Sequence[Token]] = ()
    ) -> tuple[Token, ...]:
        """The tokens with their probabilities for this request: as stored, or asked for now, counted and stored.

        Of a text that begins as one that was scored before only the rest is asked for. first: those before this place
        need none; runs: the tokens of completions of this very request, at its own temperature, which tell as much.
        Raises: ModelError where the server cannot score them; UsageError where the budget does not hold its calls.
        """
        session, series = self.session, self._scores(first)
        if (have := self.scored(tokens, first)) is not None:
            return have
        begun = self._begun(tokens, runs)
        lacking = len(tokens) - max(first, len(begun))
        if (calls := self._calls_of(lacking)) > session.left:
            raise UsageError(
                f"asking this server how likely {counts('token', lacking)} of the answer were takes "
                f"{counts('call', calls)}, and the budget has {max(0, session.left):,} left; give "
                f"--budget {session.spent.samples + calls:,} or more",
                slug="budget",
            )
        scored = await self.continuer.score(
            (*begun, *tokens[len(begun) :]),
            first=max(first, len(begun)),
            at_once=session.options.concurrency or session.model.concurrency,
            case_id=self.case.id,
            tally=self._spent,
        )
        sample = Sample(completion=Completion("".join(t.text for t in scored), "scored", tokens=scored))
        index = session.store.reserve(self.place.request_id, series, 1)[0]
        session.store.add_samples([continued(session, self.case, sample, self.place.request_id, series, index)])
        return scored

    async def draw(self, wanted: Sequence[Wanted]) -> list[Branch | None]:
        """One branch for each, in the order wanted; None where none was drawn: stopped, budget, money or time.

        Raises: ModelError, NotCompleted when the server brings nothing back any more.
        """
        out = self._found_again(wanted)
        lacking = [k for k, branch in enumerate(out) if branch is None]
        for k, branch in zip(lacking, await self._draw_new([wanted[k] for k in lacking]), strict=True):
            out[k] = branch
        return out

    def _found_again(self, wanted: Sequence[Wanted]) -> list[Branch | None]:
        """For each the next one that an earlier run of the same search drew of this very call; None: there is none."""
        if not self._search:
            return [None] * len(wanted)
        places = {one: self._place_of(one) for one in set(wanted)}  # what looks different may be the same call
        for one, place in places.items():
            if place not in self._again:
                self._again[place] = self.drawn(one)
        left = [self._again[places[one]] for one in wanted]
        out = [found.pop(0) if found else None for found in left]
        self.session.spent.found(branch.id for branch in out if branch is not None)
        return out

    async def _draw_new(self, wanted: Sequence[Wanted]) -> list[Branch | None]:
        session = self.session
        out: list[Branch | None] = [None] * len(wanted)
        wanted = wanted[: max(0, session.left)]
        if session.stopped or too_dear(session) or session.spent.out_of_time() or not wanted:
            return out
        draws, places = self._draws(wanted)
        going = _Going(self.continuer, {id(d): w for d, w in zip(draws, wanted, strict=True)}, session)
        new = {id(draw): place for draw, place in zip(draws, places, strict=True)}
        settled = await settle(
            session,
            going,
            draws,
            lambda d, sample: continued(session, self.case, sample, *new[id(d)], d.index),
            self.tell,
        )
        number = {id(draw): k for k, draw in enumerate(draws)}
        came = {number[draw]: sample for draw, (_, sample) in settled.items()}
        ids = {id(sample): stored for stored, sample in settled.values()}
        self.calls += len(came)
        self.generated += sum(sample.usage.completion_tokens or 0 for sample in came.values())
        said = outcomes_of(session, self.place, {ids[id(sample)]: sample for sample in came.values()})
        for k, sample in came.items():
            stored = ids[id(sample)]
            prefix, greedy = len(wanted[k].prefix), wanted[k].greedy
            out[k] = Branch(stored, prefix, greedy, sample, overall(said[stored]), search=self._search)
        session.spent.own.update(ids[id(sample)] for sample in came.values())
        if self._known is not None:
            self._known += [branch for branch in out if branch is not None and branch.sample.completion is not None]
        all_came = {ids[id(sample)]: sample for sample in came.values()}
        self._not_refused([came[k] for k in came if wanted[k].prefix], all_came)
        still_alive(session, all_came, "calls that go on from a given beginning")
        return out

    def _not_refused(self, going_on: Sequence[Sample], came: Mapping[str, Sample]) -> None:
        """Raises: ModelError where the server turns down every beginning: it was probed when it was another one."""
        if len(going_on) >= FEW_REFUSED and all((sample.error or "").startswith(REFUSALS) for sample in going_on):
            self.session.store.mark_outage([stored for stored, sample in came.items() if sample.completion is None])
            raise ModelError(
                f"{self.session.model.name} refuses to go on from a given beginning ({going_on[-1].error}){INSTEAD}",
                slug="no-prefix",
            )

    def _draws(self, wanted: Sequence[Wanted]) -> tuple[list[Draw], list[tuple[str, str]]]:
        """A call for each, with the request's id and the series that it is stored under; what is alike is made once."""
        session, alike = self.session, {}
        for one, count in Counter(wanted).items():
            request, place = self.continuer.request_after(one.prefix, greedy=one.greedy), self._place_of(one)
            session.store.put_request(place[0], request, session.model.identity)
            alike[one] = request, place, iter(session.store.reserve(*place, count))
        draws, places = [], []
        for one in wanted:
            request, place, indices = alike[one]
            index = next(indices)
            draws.append(Draw(request, self.case.id, index, seed_of(session.options.seed, *place, index)))
            places.append(place)
        return draws, places

    def _calls_of(self, tokens: int) -> int:
        """Calls that scoring so many tokens takes."""
        return min(1, tokens) if self.continuer.scores_prompts else tokens

    def scoring(self, tokens: Sequence[Token], first: int = 0) -> int:
        """Calls that `score` will take for these tokens at most; 0 where they are stored."""
        if self.scored(tokens, first) is not None:
            return 0
        return self._calls_of(len(tokens) - max(first, len(self._begun(tokens, ()))))

    def _scores(self, first: int) -> str:
        return f"scored {f'from {first} ' if first else ''}of {self.place.request_id}"

    def _place_of(self, one: Wanted) -> Place:
        request = self.continuer.request_after(one.prefix, greedy=one.greedy)
        return request.id(self.session.model.identity), self._series(one)

    def _series(self, one: Wanted) -> str:
        whose = f" for {self._search}" if self._search else ""
        greedily = "greedily " if one.greedy else ""
        return f"{self.purpose}after {len(one.prefix)} {greedily}of {self.place.request_id}{whose}"


def _completed(branches: Sequence[Branch]) -> list[Branch]:
    return [branch for branch in branches if branch.sample.completion is not None]


def was_searched(session: Session, case: Case, sample: str) -> bool:
    """Whether draws of this sample's search are stored, that count."""
    stored = session.store.samples(program_id=session.project.program.id, case_id=case.id, source=SOURCE)
    places = (PLACE.fullmatch(one.series) for one in stored)
    return not session.fresh and any(place is not None and place[4] == sample for place in places)


def before_checks(session: Session, at: Slots, **of: Any) -> int:
    """The `seq` of the last of these samples that was there before the checks as they are now were known.

    It and what came before prove nothing by these checks: one that was written after looking would fit them.
    """
    return session.store.last_before(session.store.first_used(checks_of(session, at), at.request_id), **of)


def is_of(series: str, request_id: str) -> bool:
    """Whether what is stored under this series goes on from a beginning of that request's completion."""
    return re.search(rf"of {re.escape(request_id)}(?: for \S+)?$", series) is not None


def continued(session: Session, case: Case, sample: Sample, request_id: str, series: str, index: int) -> NewSample:
    """The sample as it is stored at its place: no run of the case, whoever counts those."""
    return NewSample(
        sample,
        request_id=request_id,
        series=series,
        idx=index,
        program_id=session.project.program.id,
        case_id=case.id,
        variant=session.variant,
        source=SOURCE,
    )


def _alike(one: Sequence[Token], other: Sequence[Token]) -> int:
    """How many tokens both begin with."""
    pairs = zip(one, other, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if (a.id, a.text) != (b.id, b.text)), min(len(one), len(other)))


async def settle(
    session: Session,
    model: Model,
    draws: Sequence[Draw],
    new: Callable[[Draw, Sample], NewSample],
    told: Callable[[], None] = lambda: None,
) -> dict[int, tuple[str, Sample]]:
    """By `id` of the draw, the stored sample's id and the sample; draws that were stopped, or not begun, are left out.

    Each is stored the moment that it is settled, and counted as spent. new: where it is stored; told: is called then.
    """
    ids: dict[int, str] = {}
    came: dict[int, Sample] = {}

    def keep(rows: Sequence[NewSample]) -> None:
        for one, stored in zip(rows, session.store.add_samples(rows), strict=True):
            ids[id(one.sample)] = stored
            count_silence(session, stored, one.sample, bool(one.sample.error))

    keeper = Keeper(keep)

    def settled(draw: Draw, sample: Sample) -> asyncio.Future[None]:
        came[id(draw)] = sample
        session.spent.add(sample, control=False)
        session.made += 1
        session.got_through |= sample.error is None
        told()
        return keeper.add(new(draw, sample))

    purse = session.spent.purse
    drawing = run_draws(
        model,
        draws,
        session.options.concurrency or session.model.concurrency,
        settled,
        deadline=session.spent.begin(session.options.max_seconds),
        enough=purse.shut if purse else None,
    )
    try:
        await session.until_done(asyncio.ensure_future(drawing))
    finally:
        keeper.flush()
    return {draw: (ids[id(sample)], sample) for draw, sample in came.items()}


def still_alive(session: Session, came: Mapping[str, Sample], what: str) -> None:
    """Raises: ModelError, NotCompleted where a server brings nothing back any more.

    Its last calls in a row without an answer are marked, of earlier batches, too: they say nothing about the case, and
    are no draws that are found again. came: the last batch, by the ids that its samples are stored under; what: the
    calls that they are.
    """
    errors = [sample.error for sample in came.values() if sample.error]
    none_yet = len(errors) == len(came) and not session.got_through
    if not errors or not (none_yet or len(session.silent) >= DEAD_AFTER):
        return
    mark_silence(session)
    name = session.model.name
    said = f"{what}; the last error was: {errors[-1]}; what was drawn is stored"
    if session.got_through:
        raise NotCompleted(f"{name} stopped answering {said}", slug="model-stopped-answering")
    raise ModelError(f"{name} does not answer {said}", slug="model-no-answer")


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
