"""What `forks` answers: the verdict on one failing sample, with all that a screen shows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reroll.answer import Cost, to_json
from reroll.associated import DRAWS, Associated, ask_association
from reroll.astray import astray, by_tokens, earlier, find_dud, shown, unnatural
from reroll.branching import INSTEAD, Branch, Branches, is_of
from reroll.case import Case
from reroll.check import overall
from reroll.conversing import Conversation, Conversing, conversation_of, need_conversation
from reroll.dud import DudRule, DudSearch
from reroll.dud_report import Dud, DudPrice, doubted, price
from reroll.errors import ModelError, UsageError
from reroll.forked_words import (
    association_words,
    caveats,
    conversed,
    price_words,
    reply,
    turn_price_words,
    why_no_chances,
)
from reroll.forking import Outcome, Rollout
from reroll.models.continuing import Tier
from reroll.models.stepped import SteppedModel
from reroll.models.thoughts import thought_in
from reroll.numbers import counts
from reroll.odds import END
from reroll.reading import Opened, open_case
from reroll.sample import Sample, Token
from reroll.sampler import Sampling
from reroll.session import Session, Slots, judged, slots
from reroll.store import StoredSample

__all__ = ["WITHOUT", "By", "Forked", "ask_forks", "draws_of", "tokens_of"]

By = Literal["tokens", "turns", "words"]

# What a server may turn out not to do although it was probed: then the next best method is used.
FALLS_BACK = ("no-prefix", "no-score", "model-no-answer")
WITHOUT = "; without --by tokens the best remaining method is used"
WINDOW = 10  # tokens on either side that a place may take in where no probabilities are known


@dataclass(frozen=True, slots=True)
class Forked:
    """The answer of `forks` where something can be run again: tokens, or turns of a conversation.

    `strip` and `chances`: the failing completion's tokens (or the conversation's turns) and how likely each was; `why`:
    why not by tokens and probabilities, if so; `calls`: how many a search takes about, and at the very most.
    """

    sample: str
    case: str
    program: dict[str, Any]
    model: str
    tier: Tier
    exact: bool
    dud: Dud
    price: DudPrice
    strip: tuple[str, ...]
    chances: tuple[float | None, ...]
    method: str
    cost: Cost
    caveats: tuple[str, ...]
    text: str
    finished: bool
    stopped: str = ""
    why: str = ""
    calls: tuple[int, int] = (0, 0)

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.dud/1`."""
        dud = self.dud
        plain = {name: to_json(getattr(dud, name)) for name in dud.__dataclass_fields__ if name != "caveats"}
        plain["alternatives"] = [{**to_json(row), "token": shown(row.token)} for row in dud.alternatives]
        plain["token"] = None if dud.token is None else shown(dud.token)
        return {
            "schema": "reroll.dud/1",
            **plain,
            "tier": self.tier,
            "sample": self.sample,
            "case": self.case,
            "program": self.program,
            "model": self.model,
            "exact": self.exact,
            "method": self.method,
            "why": self.why,
            "price": {**to_json(self.price), "calls": self.calls[0], "most_calls": self.calls[1]},
            "tokens": [{"text": t, "prob": p} for t, p in zip(self.strip, self.chances, strict=True)],
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "text": self.text,
            "finished": self.finished,
            "stopped": self.stopped,
        }


async def ask_forks(
    session: Session,
    case: Case,
    stored: StoredSample,
    seed: int,
    tell_price: Callable[[str], None],
    by: By | None = None,
    draws: int = DRAWS,
) -> Forked | Associated:
    """Which token or turn led this sample astray, or that none did; else which words go with failure.

    Args:   tell_price: called with what it will take, in a sentence, before the first call; by: what to look at; None:
            tokens where its server lets them be run again, else turns where it is a conversation, else words; draws:
            runs that words are looked at over.
    Raises: UsageError where the sample cannot be searched; ModelError where its server cannot do what was asked for.
    """
    at = slots(session, case)
    _failing(session, case, stored, at)
    if isinstance(session.model, SteppedModel):
        if by in ("tokens", "turns"):
            raise UsageError(
                f"{stored.id} came through the program's steps, and --by {by} looks at the model alone; leave it out "
                "for the words that go with failure, or take the `steps` out of a copy of the program",
                slug="steps",
            )
        why = "steps stand around the model, so that its tokens are not those of the answer"
        return await _by_words(session, case, stored, "D", why, draws, tell_price)
    opened = await open_case(session, case)
    tier, why = _reach(opened, stored.sample)
    talk = conversation_of(session, case, stored.sample)
    if (by is None and not why) or by == "tokens":
        if why:
            raise ModelError(f"{why}{WITHOUT}", slug="no-prefix")
        try:
            return await _by_tokens(session, case, stored, seed, tell_price, opened)
        except ModelError as problem:
            if by == "tokens" or problem.slug not in FALLS_BACK:
                raise
            tier, why = _poorer(opened), str(problem).removesuffix(INSTEAD)
    if by == "turns" or (by is None and not isinstance(talk, str)):
        found = need_conversation(talk, stored.id)
        return await _by_turns(session, case, stored, seed, tell_price, found, opened, tier, why)
    why = why or "words were asked for (--by words), not places"
    return await _by_words(session, case, stored, tier, why, draws, tell_price)


async def _by_words(
    session: Session,
    case: Case,
    stored: StoredSample,
    tier: Tier,
    why: str,
    draws: int,
    tell_price: Callable[[str], None],
) -> Associated:
    return await ask_association(
        session,
        case,
        stored,
        slots(session, case),
        tier=tier,
        why=why,
        draws=draws,
        tell_price=lambda price: tell_price(association_words(price)),
    )


def _failing(session: Session, case: Case, stored: StoredSample, at: Slots) -> None:
    """Raises: UsageError where the sample is none of this request, or did not fail."""
    if stored.request_id != at.request_id and not is_of(stored.series, at.request_id):
        raise UsageError(
            f"{stored.id} answered another request than case `{case.id}` makes now (program, case or model has "
            f"changed); draw a new one with `reroll rerun {case.id}`",
            slug="other-request",
        )
    said = overall(session.checker.judge(case, session.judging, stored.sample))
    if said.outcome != "fail":
        raise UsageError(
            f"{stored.id} did not fail ({said.outcome}: {said.reason}); name a failing one: "
            f"`reroll samples {case.id}` lists them",
            slug="no-failure",
        )


def _reach(opened: Opened, sample: Sample) -> tuple[Tier, str]:
    """What can be done with this sample's tokens, and why they cannot be run again, if so."""
    continuer = opened.continuer
    if continuer.tier in ("C", "D"):
        return continuer.tier, continuer.why
    if thought_in(sample.raw):
        return _poorer(opened), "the model thought before it answered, and those tokens are hidden"
    if sample.completion is not None and sample.completion.tool_calls:
        return _poorer(opened), "this answer calls a tool, which is more than its tokens"
    return ("A" if isinstance(opened.sampling, Sampling) and continuer.tier == "A" else "B"), ""


def _poorer(opened: Opened) -> Tier:
    return "C" if opened.continuer.top else "D"


async def _by_tokens(
    session: Session, case: Case, stored: StoredSample, seed: int, tell_price: Callable[[str], None], opened: Opened
) -> Forked:
    at = slots(session, case)
    tokens, sampling, how = await tokens_of(opened, stored, tell_price)
    found = astray(stored.sample, tokens, sampling)
    # Without probabilities a window is named: a twentieth of the answer to each side, ten tokens at most. Ten to each
    # side of a short answer would be nearly all of it: that takes fewer runs, and says nothing.
    reach = None if sampling is not None else min(WINDOW, max(1, round(found.failing.length / (2 * WINDOW))))
    rule = DudRule(alpha=session.options.alpha, reach=reach)
    expected = price(found.failing, rule)
    own, branches, draws = _known_at_first(session, at, opened.branches, stored.id)
    tell_price(price_words(expected, stored=len(own)))
    dud, finished = await find_dud(
        found.failing,
        earlier(found, branches, draws, stored.id),
        rule,
        np.random.default_rng(seed),
        by_tokens(opened.branches, found),
        lambda search: _tell(opened.branches, search),
    )
    if not opened.continuer.exact and dud.last is not None:
        mine = [branch for branch in opened.branches.known() if branch.search == stored.id]
        dud = _at_seam(dud, unnatural(found, [*branches, *mine], dud.last))
    texts = zip(found.path, found.failing.tokens, strict=True)
    return _answered(
        session,
        case,
        stored,
        dud,
        finished and not session.stopped,
        tier="B" if sampling is None else "A",
        exact=opened.continuer.exact,
        price=expected,
        calls=(expected.rollouts, expected.most_rollouts),
        strip=tuple(t.text or (shown(name) if name == END else "") for t, name in texts),
        chances=found.failing.probs or (None,) * len(found.path),
        method=how,
        why="" if sampling is not None else why_no_chances(opened),
        caveats=caveats(opened, tokens, sampling, dud),
        text=reply(dud, "word" if not tokens else "token", [t.text for t in found.path]),
    )


def _known_at_first(
    session: Session, at: Slots, branches: Branches, sample: str
) -> tuple[list[Branch], list[Branch], list[tuple[Sample, Outcome]]]:
    """The draws of this sample's own search that are stored, and what was known when it was searched first.

    With those branches and runs, and its own draws found again, the same command ends where it ended and calls nothing.
    All that is known, where it was not searched; nothing with `--fresh`. Never what is older than the checks, here and
    in all three.
    """
    if session.fresh:
        return [], [], []
    own = branches.search_again(sample)
    began = min((branch.seq for branch in own), default=None)
    known = [b for b in branches.known() if b.seq > branches.older and (began is None or b.seq < began)]
    return own, known, draws_of(session, at, sample, before=began)


def _at_seam(dud: Dud, others: int) -> Dud:
    """Not sure after all, where no continuation went on as the answer did: the text's seam may have done it."""
    if not others:
        return dud
    reason = (
        f"none of {others} runs from the place that was found went on as this answer did, so the server may have cut "
        "that beginning into other tokens, and the loss may come from that"
    )
    return doubted(dud, reason)


async def _by_turns(
    session: Session,
    case: Case,
    stored: StoredSample,
    seed: int,
    tell_price: Callable[[str], None],
    talk: Conversation,
    opened: Opened,
    tier: Tier,
    why: str,
) -> Forked:
    each = float(stored.sample.usage.completion_tokens or max(1, len(talk.text[-1]) // 4))
    rule, failing = DudRule(alpha=session.options.alpha), talk.failing(each)
    conversing = Conversing(session, case, talk)
    expected, calls, most = conversing.price(rule, each)
    began = None if session.fresh else conversing.search_again(stored.id)
    tell_price(turn_price_words(expected, calls, most, stored=conversing.found))
    before: list[Rollout] = []
    if not session.fresh:
        draws = draws_of(session, conversing.at, stored.id, before=began)
        before = conversing.earlier(draws, stored.id, before=began)
    dud, finished = await find_dud(
        failing,
        before,
        rule,
        np.random.default_rng(seed),
        conversing.run(),
        lambda search: _tell(opened.branches, search),
    )
    return _answered(
        session,
        case,
        stored,
        dud,
        finished and not session.stopped,
        tier=tier,
        exact=False,
        price=expected,
        calls=(calls, most),
        strip=talk.text,
        chances=(None,) * talk.length,
        method="the assistant's turns, asked for anew one after the other",
        why=why,
        caveats=[*dud.caveats, *conversed(conversing, why)],
        text=reply(dud),
    )


def _answered(session: Session, case: Case, stored: StoredSample, dud: Dud, finished: bool, **more: Any) -> Forked:
    """The answer with what is the same for tokens and turns."""
    return Forked(
        sample=stored.id,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        dud=dud,
        cost=session.spent.cost(),
        finished=finished,
        stopped="" if finished else "the calls, the money or the time were up before a verdict fell",
        **{**more, "caveats": tuple(more["caveats"])},
    )


def draws_of(session: Session, at: Slots, own: str, before: int | None = None) -> list[tuple[Sample, Outcome]]:
    """The case's other draws with their tokens, and their outcomes; of those before that `seq`, if one is given."""
    said = {j.stored.id: j.outcome.outcome for j in judged(session, at)}
    whole = session.store.samples(request_id=at.request_id, series=at.series, source="draw", payload=True)
    told = [one for one in whole if one.id in said and one.id != own]
    return [(one.sample, said[one.id]) for one in told if before is None or one.seq < before]


async def tokens_of(
    opened: Opened, stored: StoredSample, tell_price: Callable[[str], None] = lambda words: None
) -> tuple[tuple[Token, ...], Sampling | None, str]:
    """The sample's tokens with probabilities, as they came or scored now, and how they were drawn from those.

    tell_price: is told beforehand what scoring takes.

    None for how where that is not known: then places are found without, over its tokens, or over pieces of its text
    where there are none. Raises: ModelError where neither goes.
    """
    continuer, completion = opened.continuer, stored.sample.completion
    assert completion is not None
    have = completion.tokens
    sampling = opened.sampling if isinstance(opened.sampling, Sampling) and continuer.tier == "A" else None
    known = bool(have) and all(t.id is not None for t in have)
    pieces = ((), None, "pieces of the text")
    if sampling is None:
        if not continuer.exact:
            return pieces
        if known:
            return have, None, "the sample's own tokens"
    listed = bool(have) and all(t.logprob is not None and t.top for t in have)
    if sampling is not None and listed and (known or not continuer.exact):
        return have, sampling, "the sample's own tokens"
    how = "the sample's own tokens, scored now"
    if not known:
        cut = await continuer.cut(completion.text)
        if cut is None and not continuer.exact:
            return pieces
        if cut is None:
            raise ModelError(
                f"{stored.id} came without token probabilities, and this server does not cut a text into tokens",
                slug="no-score",
            )
        have, how = cut, "the text cut into tokens anew, and scored now"
    if sampling is None:
        return have, None, "the text cut into tokens anew"
    if calls := opened.branches.scoring(have):
        tell_price(f"first {counts('call', calls)} to ask how likely each of its {counts('token', len(have))} was")
    try:
        return await opened.branches.score(have), sampling, how
    except ModelError:
        return (have if continuer.exact else ()), None, "tokens, whose probabilities did not come"


def _tell(branches: Branches, search: DudSearch) -> None:
    words = {"triage": "is anything lost at all?", "search": "where is it lost?", "certify": "is it really there?"}
    branches.tell(words.get(search.phase, "what else could it have said?"))
