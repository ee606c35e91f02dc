"""A recorded conversation played on anew from one of its turns: how the turn that cost the success is found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.astray import Run
from reroll.branching import continued, settle, still_alive
from reroll.case import Case
from reroll.check import overall
from reroll.dud import DudRule
from reroll.dud_report import DudPrice, price
from reroll.errors import UsageError
from reroll.forking import Draw, Failing, Outcome, Rollout
from reroll.models.model import Draw as Call
from reroll.program import Request
from reroll.sample import Completion, Sample
from reroll.session import Session, outcomes_of, seed_of, slots, too_dear
from reroll.store import StoredSample

__all__ = ["Conversation", "Conversing", "conversation_of", "need_conversation"]

PLAYED = re.compile(r"conversation (.+) from (\d+)")


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
    """One conversation under way: the messages so far, and the turn (from 0) that is asked for next."""

    prefix: int
    messages: list[Mapping[str, Any]]
    turn: int
    outcome: Outcome | None = None
    generated: int = 0


@dataclass(slots=True)
class Conversing:
    """Draws of one conversation: stored ones, and new ones, each turn a call of its own, stored as it comes."""

    session: Session
    case: Case
    talk: Conversation
    lost: int = 0  # conversations that ended early: in an error, or in a call of a tool

    def price(self, rule: DudRule, tokens: float) -> tuple[DudPrice, int, int]:
        """What a search will take in conversations and generated tokens; and in calls: about, at the very most."""
        calls = price(self.talk.failing(), rule)
        return price(self.talk.failing(tokens), rule), calls.tokens, calls.most_tokens

    def earlier(self, draws: Sequence[tuple[Sample, Outcome]], own: str) -> list[Rollout]:
        """What is known already: plain runs keep all earlier turns; other commands may have played on from any."""
        at = slots(self.session, self.case)
        whole = self.talk.length - 1
        known = [Rollout(whole, outcome, "stored") for sample, outcome in draws if sample.completion is not None]
        found = self.session.store.samples(
            program_id=self.session.project.program.id, case_id=self.case.id, source="continued", payload=True
        )
        mine: list[tuple[StoredSample, int]] = []
        for one in found:
            place = PLAYED.fullmatch(one.series)
            if place is not None and place[1] == at.request_id and one.sample.completion is not None and one.id != own:
                mine.append((one, int(place[2])))
        said = outcomes_of(self.session, at, {one.id: one.sample for one, _ in mine})
        return known + [Rollout(prefix, overall(said[one.id]).outcome, "stored") for one, prefix in mine]

    def run(self) -> Run:
        """What makes a batch of draws."""

        async def run(draws: Sequence[Draw]) -> list[Rollout] | None:
            of = [draw for draw in draws for _ in range(draw.count)]
            ways = [_Way(draw.prefix, self.talk.begin(draw.prefix), draw.prefix) for draw in of]
            if not await self._play(ways):
                return None
            return [
                Rollout(draw.prefix, way.outcome or "invalid", draw.why, tokens=way.generated)
                for draw, way in zip(of, ways, strict=True)
            ]

        return run

    async def _play(self, ways: Sequence[_Way]) -> bool:
        """Play all on to their ends, a turn of each at once; False where it had to stop before."""
        session = self.session
        if sum(self.talk.length - way.prefix for way in ways) > session.left:
            return False
        while open_ways := [way for way in ways if way.outcome is None]:
            if session.stopped or too_dear(session) or session.spent.out_of_time():
                return False
            calls = self._calls(open_ways)
            came = await self._settle(calls)
            for way, (call, _) in zip(open_ways, calls, strict=True):
                if id(call) in came:
                    self._take(way, *came[id(call)])
            still_alive(session, [sample for _, sample in came.values()], "calls of a conversation")
            if len(came) < len(calls):
                return False
        return True

    async def _settle(self, calls: Sequence[tuple[Call, tuple[str, str]]]) -> dict[int, tuple[str, Sample]]:
        place = {id(call): where for call, where in calls}
        session = self.session
        return await settle(
            session,
            session.model,
            [call for call, _ in calls],
            lambda c, s: continued(session, self.case, s, *place[id(c)], c.index),
        )

    def _calls(self, ways: Sequence[_Way]) -> list[tuple[Call, tuple[str, str]]]:
        """The next call of each way, and the request and series that it is stored under; what is alike is made once."""
        session, root = self.session, slots(self.session, self.case).request_id
        asked = []
        for way in ways:
            body = {**self.talk.request.body, "messages": way.messages}
            body.pop("n", None)
            request = Request(self.talk.request.model, self.talk.request.base_url, body)
            last = way.turn == self.talk.length - 1
            series = f"conversation {root} from {way.prefix}" if last else f"conversation {root} turn {way.turn + 1}"
            asked.append((request, (request.id(session.model.identity), series)))
        indices = {}
        for place, count in Counter(place for _, place in asked).items():
            request = next(request for request, where in asked if where == place)
            session.store.put_request(place[0], request, session.model.identity)
            indices[place] = iter(session.store.reserve(*place, count))
        calls = []
        for request, place in asked:
            index = next(indices[place])
            seed = seed_of(session.options.seed, *place, index)
            calls.append((Call(request, self.case.id, index, seed), place))
        return calls

    def _take(self, way: _Way, stored: str, sample: Sample) -> None:
        """The way with one more turn: judged at its end; a turn that brought nothing to go on with ends it, too."""
        way.generated += sample.usage.completion_tokens or 0
        said = sample.completion
        if way.turn == self.talk.length - 1:
            at = slots(self.session, self.case)
            way.outcome = overall(outcomes_of(self.session, at, {stored: sample})[stored]).outcome
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
