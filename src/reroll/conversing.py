"""A recorded conversation played on anew from one of its turns: how the turn that cost the success is found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reroll.astray import Run
from reroll.branching import SOURCE, Place, before_checks, continued, settle, still_alive
from reroll.case import Case
from reroll.check import overall
from reroll.dud import DudRule
from reroll.dud_report import DudPrice, price
from reroll.errors import UsageError
from reroll.forking import Draw, Failing, Outcome, Rollout
from reroll.models.model import Draw as Call
from reroll.program import Request
from reroll.sample import Completion, Sample
from reroll.session import Session, Slots, outcomes_of, seed_of, slots, too_dear
from reroll.store import StoredSample

__all__ = ["Conversation", "Conversing", "conversation_of", "need_conversation"]

PLAYED = re.compile(r"conversation \S+ from (\d+)(?: for \S+ way \d+)?")  # its last call


@dataclass(frozen=True, slots=True)
class Conversation:
    """One failing conversation: its messages as they are sent, and the assistant's turns that can be asked for anew.

    turns:  places in `messages`, in order; the failing completion is one more turn, after all messages.
    kept:   how many of the assistant's turns are kept as recorded: those that call tools, whose results cannot be
            had for other calls. Turns of the user and of tools are always kept.
    text:   what was said in each turn, the failing completion last.
    """

    request: Request
    turns: tuple[int, ...]
    kept: int
    text: tuple[str, ...]

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.request.body["messages"]
        return found

    @property
    def length(self) -> int:
        return len(self.text)

    def begin(self, prefix: int) -> list[Mapping[str, Any]]:
        """The messages before the turn that comes after so many turns kept as they were."""
        return list(self.messages[: self.turns[prefix]] if prefix < len(self.turns) else self.messages)

    def between(self, turn: int) -> Sequence[Mapping[str, Any]]:
        """What was said between this turn (from 0) and the next one that is asked for anew."""
        end = self.turns[turn + 1] if turn + 1 < len(self.turns) else len(self.messages)
        return self.messages[self.turns[turn] + 1 : end]

    def failing(self, tokens: float = 1.0) -> Failing:
        """The conversation as a path of turns. tokens: generated in a turn, about."""
        tail = tuple(tokens * (self.length - i) for i in range(self.length + 1))
        return Failing(self.text, unit="turn", tail=tail)


def conversation_of(session: Session, case: Case, sample: Sample) -> Conversation | str:
    """The conversation that ends with this failing completion, or why its turns cannot be asked for anew."""
    program = session.project.program
    if program.is_product:
        return "the program is a product of its own, which is not sent the conversation's turns one by one"
    if program.raw is not None:
        return "the request is kept as raw bytes, whose messages are not changed"
    request = program.render(case.input, case.history)
    messages = request.body["messages"]
    first = bool(program.system_text()) + 2 * len(program.examples)  # a few-shot example is no turn
    said = [k for k in range(first, len(messages) - 1) if messages[k].get("role") == "assistant"]
    turns = tuple(k for k in said if not messages[k].get("tool_calls") and not messages[k].get("function_call"))
    if not turns:
        kept = "all of its earlier turns call tools" if said else "it has no earlier turn of the assistant"
        return f"the conversation cannot be played anew: {kept}"
    last = sample.completion
    text = (*(_text(messages[k].get("content")) for k in turns), "" if last is None else last.text)
    return Conversation(request, turns, len(said) - len(turns), text)


def _text(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    parts = content if isinstance(content, list | tuple) else [{"text": content}]
    return "".join(str(p.get("text") or "") for p in parts if isinstance(p, Mapping))


@dataclass(slots=True)
class _Way:
    """One conversation under way: the messages so far, and the turn (from 0) that is asked for next.

    whose: which one of a search's it is, as the series of its calls say; "": of none.
    """

    prefix: int
    messages: list[Mapping[str, Any]]
    turn: int
    whose: str = ""
    outcome: Outcome | None = None
    generated: int = 0


@dataclass(slots=True)
class Conversing:
    """Draws of one conversation: stored ones, and new ones, each turn a call of its own, stored as it comes.

    After `search_again` those of one sample's search are found again, call by call, before any is made.
    """

    session: Session
    case: Case
    talk: Conversation
    lost: int = 0  # conversations that ended early: in an error, or in a call of a tool
    _search: str = ""
    _ways: Counter[int] = field(default_factory=Counter)  # by prefix, how many this search has begun
    _again: dict[Place, StoredSample] = field(default_factory=dict)
    _known: list[StoredSample] | None = None
    at: Slots = field(init=False)  # the place of the case's runs

    def __post_init__(self) -> None:
        self.at = slots(self.session, self.case)

    def _stored(self) -> list[StoredSample]:
        """The calls of this case's conversations that are stored, but for those from before its checks were known: a
        check that was written after looking would fit them."""
        if self._known is None:
            session = self.session
            older = before_checks(session, self.at, source=SOURCE)
            found = session.store.samples(
                program_id=session.project.program.id, case_id=self.case.id, source=SOURCE, payload=True
            )
            mine = f"conversation {self.at.request_id} "
            self._known = [one for one in found if one.seq > older and one.series.startswith(mine)]
        return self._known

    def search_again(self, sample: str) -> int | None:
        """Play for the search of this sample from now on. The `seq` of the first call that it made before; None: it
        made none."""
        self._search, mine = sample, re.compile(rf".* for {re.escape(sample)} way \d+")
        found = [one for one in self._stored() if mine.fullmatch(one.series)]
        # Where two processes searched at once a call has two answers: the one that was begun first counts, not the one
        # that came first, which would favour answers that come fast.
        for one in sorted(found, key=lambda one: one.idx):
            self._again.setdefault((one.request_id, one.series), one)
        return min((one.seq for one in found), default=None)

    @property
    def found(self) -> int:
        """Calls of this sample's search that are stored."""
        return len(self._again)

    def price(self, rule: DudRule, tokens: float) -> tuple[DudPrice, int, int]:
        """What a search will take in conversations and generated tokens; and in calls: about, at the very most."""
        calls = price(self.talk.failing(), rule)
        return price(self.talk.failing(tokens), rule), calls.tokens, calls.most_tokens

    def earlier(self, draws: Sequence[tuple[Sample, Outcome]], own: str, before: int | None = None) -> list[Rollout]:
        """What is known already: plain runs keep all earlier turns; other searches may have played on from any.

        before: only what was stored before that `seq`.
        """
        whole = self.talk.length - 1
        known = [Rollout(whole, outcome, "stored") for sample, outcome in draws if sample.completion is not None]
        mine: list[tuple[StoredSample, int]] = []
        for one in self._stored():
            place = PLAYED.fullmatch(one.series)
            told = one.sample.completion is not None and one.id != own and (before is None or one.seq < before)
            if place is not None and told:
                mine.append((one, int(place[1])))
        said = outcomes_of(self.session, self.at, {one.id: one.sample for one, _ in mine})
        return known + [Rollout(prefix, overall(said[one.id]).outcome, "stored") for one, prefix in mine]

    def run(self) -> Run:
        """What makes a batch of draws."""

        async def run(draws: Sequence[Draw]) -> list[Rollout] | None:
            of = [draw for draw in draws for _ in range(draw.count)]
            ways = [self._way(draw.prefix) for draw in of]
            if not await self._play(ways):
                return None
            return [
                Rollout(draw.prefix, way.outcome or "invalid", draw.why, tokens=way.generated)
                for draw, way in zip(of, ways, strict=True)
            ]

        return run

    def _way(self, prefix: int) -> _Way:
        """A new one from there. The same command begins them in the same order, so each has its name."""
        whose = f" for {self._search} way {self._ways[prefix]}" if self._search else ""
        self._ways[prefix] += 1
        return _Way(prefix, self.talk.begin(prefix), prefix, whose)

    async def _play(self, ways: Sequence[_Way]) -> bool:
        """Play all on to their ends, a turn of each at once; False where it had to stop before.

        Of more than the budget holds the first ones are played, and found again by the next command.
        """
        session = self.session
        for way in ways:
            self._find_again(way)
        playing, left = [], session.left
        for way in (way for way in ways if way.outcome is None):
            left -= self.talk.length - way.turn
            if left < 0:
                break
            playing.append(way)
        while open_ways := [way for way in playing if way.outcome is None]:
            if session.stopped or too_dear(session) or session.spent.out_of_time():
                return False
            calls = self._calls(open_ways)
            came = await self._settle(calls)
            for way, (call, _) in zip(open_ways, calls, strict=True):
                if id(call) in came:
                    self._take(way, *came[id(call)])
            still_alive(session, dict(came.values()), "calls of a conversation")
            if len(came) < len(calls):
                return False
        return left >= 0

    def _find_again(self, way: _Way) -> None:
        """Play it on as far as an earlier run of the same search did."""
        while way.outcome is None and (stored := self._again.get(self._place(way)[1])) is not None:
            self.session.spent.found([stored.id])
            self._take(way, stored.id, stored.sample)

    async def _settle(self, calls: Sequence[tuple[Call, Place]]) -> dict[int, tuple[str, Sample]]:
        place = {id(call): where for call, where in calls}
        session = self.session
        came = await settle(
            session,
            session.model,
            [call for call, _ in calls],
            lambda c, s: continued(session, self.case, s, *place[id(c)], c.index),
        )
        session.spent.own.update(stored for stored, _ in came.values())
        return came

    def _place(self, way: _Way) -> tuple[Request, Place]:
        """The next call of a way, and where it is stored."""
        body = {**self.talk.request.body, "messages": way.messages}
        body.pop("n", None)
        request = Request(self.talk.request.model, self.talk.request.base_url, body)
        start = f" from {way.prefix}"
        turn = "" if way.turn == self.talk.length - 1 else f" turn {way.turn + 1}"
        series = f"conversation {self.at.request_id}{start if way.whose or not turn else ''}{turn}{way.whose}"
        return request, (request.id(self.session.model.identity), series)

    def _calls(self, ways: Sequence[_Way]) -> list[tuple[Call, Place]]:
        """The next call of each way, and where it is stored."""
        session = self.session
        asked = [self._place(way) for way in ways]
        for place, request in {place: request for request, place in asked}.items():
            session.store.put_request(place[0], request, session.model.identity)
        indices = session.store.reserve_all([(*place, 1) for _, place in asked])
        return [
            (Call(request, self.case.id, index, seed_of(session.options.seed, *place, index)), place)
            for (request, place), (index,) in zip(asked, indices, strict=True)
        ]

    def _take(self, way: _Way, stored: str, sample: Sample) -> None:
        """The way with one more turn: judged at its end; a turn that brought nothing to go on with ends it, too."""
        way.generated += sample.usage.completion_tokens or 0
        said = sample.completion
        if way.turn == self.talk.length - 1:
            way.outcome = overall(outcomes_of(self.session, self.at, {stored: sample})[stored]).outcome
        elif said is None or said.tool_calls:
            way.outcome = "invalid"
            self.lost += 1
        else:
            way.messages = [*way.messages, _message(said), *self.talk.between(way.turn)]
            way.turn += 1


def _message(said: Completion) -> Mapping[str, Any]:
    return {"role": "assistant", "content": said.text or said.refusal or ""}


def need_conversation(found: Conversation | str, sample: str) -> Conversation:
    """The conversation. Raises: UsageError where there is none whose turns can be asked for anew."""
    if isinstance(found, str):
        raise UsageError(f"no turn before {sample} can be asked for anew: {found}", slug="no-turns")
    return found
