"""What `surprise` answers: how likely a reported completion is under its request, and where it left the usual paths."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reroll.agreement import Agreement
from reroll.answer import Cost, to_json
from reroll.branching import Branch, Wanted
from reroll.case import Case
from reroll.errors import ModelError, UsageError
from reroll.evidence import Est
from reroll.exploring import Exploration, begin, check, readable
from reroll.models.stepped import left_out
from reroll.numbers import counts, percent
from reroll.reading import Opened, open_case
from reroll.sample import Completion, Token
from reroll.sampler import Sampling
from reroll.session import Session
from reroll.surprise import (
    Scored,
    SurpriseVerdict,
    at_least_this_surprising,
    enumerated_surprise,
    score,
    surprise_verdict,
)
from reroll.tree import path_of

__all__ = ["Surprised", "ask_surprise"]


@dataclass(frozen=True, slots=True)
class Surprised:
    """The answer of `surprise`. `per_day`: calls of this kind a day, as told; None where nobody said."""

    verdict: SurpriseVerdict
    scored: Scored
    at_least: Est
    enumerated: Est | None
    agreement: Agreement
    read_as: str
    per_day: float | None
    case: str
    program: dict[str, Any]
    model: str
    cost: Cost
    caveats: tuple[str, ...]
    text: str

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.surprise/1`."""
        scored = self.scored
        return {
            "schema": "reroll.surprise/1",
            "verdict": self.verdict,
            "log_prob": scored.log_prob,
            "log_prob_low": scored.low,
            "log_prob_high": scored.high,
            "departure": scored.departure,
            "at_least_this_surprising": to_json(self.at_least),
            "enumerated": to_json(self.enumerated),
            "per_day": self.per_day,
            "tokens": [
                {"text": t.text, "log_prob": math.log(t.prob) if t.prob > 0 else None, **_token(t)}
                for t in scored.tokens
            ],
            "agreement": to_json(self.agreement),
            "read_as": self.read_as,
            "case": self.case,
            "program": self.program,
            "model": self.model,
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "text": self.text,
        }


def _token(t: Any) -> dict[str, Any]:
    return {"rank": t.rank, "usual": t.usual, "usual_prob": t.usual_prob, "left": t.left}


async def ask_surprise(
    session: Session,
    case: Case,
    text: str,
    tokens: Sequence[Token],
    ended: Literal["end", "cut"],
    draws: int,
    per_day: float | None,
) -> Surprised:
    """How surprising this text is as an answer to the case's request.

    Args:   tokens: those of the completion where they are known, else empty: the text is cut anew; ended: whether
            the answer ended by itself; draws: fresh samples that it is held against, stored ones counted.
    Raises: UsageError for an empty text; ModelError where the server cannot score it.
    """
    if not text and not tokens:
        raise UsageError("an empty completion has no tokens whose chances could be told", slug="no-completion")
    session.store.put_program(session.project.program)
    session.store.put_case(case)
    opened = await open_case(session, case)
    sampling = _scorable(opened, case)
    found = begin(session, opened)
    ways = await _ways(opened, text, tokens)
    opened.branches.tell("fresh runs that it is held against")
    agreed = await check(found, min(draws, _room(session, opened, ways, cut=not tokens)))
    if not agreed.draws:
        raise ModelError(
            "no fresh run came back that the text could be held against; give more --draws", slug="no-score"
        )
    opened.branches.tell("scoring what was said")
    end = await _end(opened) if ended == "end" and not tokens else ()
    scored, how = await _scored(opened, found, sampling, [(how, (*path, *end)) for how, path in ways], ended)
    counted = at_least_this_surprising(scored, _fresh(opened, found, sampling, scored), session.options.alpha)
    enumerated = enumerated_surprise(found.search, scored) if found.calls else None
    verdict = surprise_verdict(scored, counted, enumerated, checked=agreed.agrees)
    return Surprised(
        verdict=verdict,
        scored=scored,
        at_least=counted,
        enumerated=enumerated,
        agreement=agreed,
        read_as=how,
        per_day=per_day,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        cost=session.spent.cost(),
        caveats=(*left_out(session.model, session.project.program), *_caveats(scored, agreed, how)),
        text=reply(verdict, scored, counted, per_day),
    )


def _scorable(opened: Opened, case: Case) -> Sampling:
    """How this case's tokens are sampled. Raises: ModelError in one sentence where no text can be scored."""
    why = ""
    if opened.continuer.tier != "A":
        why = opened.continuer.why
    elif not opened.continuer.exact:
        why = "this server takes prefixes as text only, which it cuts into tokens anew"
    elif not isinstance(opened.sampling, Sampling):
        why = opened.sampling.why
    if why:
        raise ModelError(
            f"{why}, so the chance of a text cannot be read; `reroll rerun {case.id}` draws answers, and "
            f"`reroll samples {case.id} --tree` shows how often they go the same way",
            slug="no-score",
        )
    return readable(opened)


def _fresh(opened: Opened, found: Exploration, sampling: Sampling, reported: Scored) -> list[tuple[float, float]]:
    """Bounds of the log probabilities of the fresh samples of this request.

    A sample of the very tokens that were reported is exactly as likely as they are: it has their bounds, which a
    server that is not steady would tell a little otherwise from run to run.
    """
    same = [token.text for token in reported.tokens]
    out = []
    for completion in _runs(opened):
        if completion.tokens:
            tokens, ended = path_of(completion)
            one = score(tokens, sampling, found.search.seen, ended=ended == "end", asked=opened.continuer.top or None)
            again = [token.text for token in tokens] == same and one.low <= reported.high and one.high >= reported.low
            out.append((reported.low, reported.high) if again else (one.low, one.high))
    return out


def _runs(opened: Opened) -> list[Completion]:
    found = [b.sample.completion for b in opened.branches.known() if b.prefix == 0 and not b.greedy]
    return [completion for completion in found if completion is not None]


async def _ways(opened: Opened, text: str, tokens: Sequence[Token]) -> list[tuple[str, tuple[Token, ...]]]:
    """The ways in which the text may be read as tokens, and what each is called. Raises: ModelError: there is none."""
    if tokens:
        return [("the tokens that came", tuple(tokens))]
    cuts = [(how, await opened.continuer.cut(form)) for how, form in _forms(text)]
    if ways := [(how, cut) for how, cut in cuts if cut is not None]:
        return ways
    raise ModelError("this server does not cut a text into tokens, so it cannot be scored", slug="no-score")


def _room(session: Session, opened: Opened, ways: Sequence[tuple[str, Sequence[Token]]], *, cut: bool) -> int:
    """How many fresh runs the budget holds, stored ones counted, beside the scoring. Raises: UsageError: none.

    cut: of a text that was cut into tokens, the one that ends it is looked for, and asked about in each way.
    """
    scoring = sum(opened.branches.scoring(path) for _, path in ways if not _is_whole(path))
    room = session.left - scoring - (len(ways) + 1 if cut else 0)
    have = len(_runs(opened))
    if not have and room < 1:
        raise UsageError(
            f"--budget is too small: how likely the text was takes up to {counts('call', session.left - room)}, and "
            "fresh runs that it is held against come on top",
            slug="budget",
        )
    return have + max(0, room)


def _is_whole(path: Sequence[Token]) -> bool:
    """Whether each token came with its chances."""
    return all(t.logprob is not None and t.top for t in path)


async def _scored(
    opened: Opened, found: Exploration, sampling: Sampling, ways: Sequence[tuple[str, tuple[Token, ...]]], ended: str
) -> tuple[Scored, str]:
    """The text as the request would draw it: of several ways to read it the likeliest, and which that was."""
    noise, asked = found.search.seen, opened.continuer.top or None
    best: tuple[Scored, str] | None = None
    runs = [completion.tokens for completion in _runs(opened)]
    for how, path in ways:
        try:
            told = path if _is_whole(path) else await opened.branches.score(path, runs=runs)
        except UsageError:  # another way to read it that the budget does not hold
            if best is None:
                raise
            break
        one = score(told, sampling, noise, ended=ended == "end", asked=asked)
        if best is None or one.high > best[0].high:
            best = one, how
    assert best is not None
    return best


def _forms(text: str) -> Iterator[tuple[str, str]]:
    """The text as it may have been before it was pasted: other line ends, another Unicode form."""
    seen: set[str] = set()
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    forms = [
        ("as it was given", text),
        ("with line ends of one character", lines),
        ("without the line end at its end", lines.removesuffix("\n")),
        ("in Unicode form NFC", unicodedata.normalize("NFC", lines)),
        ("in Unicode form NFD", unicodedata.normalize("NFD", lines)),
    ]
    for how, form in forms:
        if form and form not in seen:
            seen.add(form)
            yield how, form


async def _end(opened: Opened) -> tuple[Token, ...]:
    """The token that ends a completion here, as an earlier completion shows it, or a greedy one."""
    if (end := _shown_end(opened.branches.known())) is None:
        end = _shown_end([b for b in await opened.branches.draw([Wanted((), greedy=True)]) if b is not None])
    return () if end is None else (end,)


def _shown_end(branches: Sequence[Branch]) -> Token | None:
    for branch in branches:
        completion = branch.sample.completion
        if completion is not None and completion.tokens and path_of(completion)[1] == "end":
            last = completion.tokens[-1]
            return Token(last.text, id=last.id)
    return None


def reply(verdict: SurpriseVerdict, scored: Scored, counted: Est, per_day: float | None) -> str:
    """What one would paste into a thread, none of it stronger than the verdict."""
    low, high = counted.low or 0.0, 1.0 if counted.high is None else counted.high
    share = f"between {percent(low)} and {percent(high)} of runs" if low > 0 else f"at most {percent(high)} of runs"
    first = f"This request gives an answer at least as unlikely as this one in {share}."
    if per_day:
        first += f" At {per_day:,.0f} calls a day that is {_daily(low * per_day, high * per_day)} a day."
    left = [scored.tokens[k] for k in scored.left_at]
    where = ""
    if left:
        token = left[0]
        shown = token.text.strip() or repr(token.text)
        usual = token.usual.strip() or repr(token.usual)
        where = (
            f" It left the usual paths at “{shown}” (taken in {percent(token.prob)} of runs there, where “{usual}” "
            f"comes in {percent(token.usual_prob)})."
        )
    said = {
        "usual": " That is an ordinary answer for this request.",
        "rare": " That is rare, but rare answers come every day where there are many calls; a report was picked "
        "because it was odd, so this is no sign of another cause.",
        "other_request": " This request would depart so far from its own chances less than once in a million calls: "
        "something else ran (another version, context or system prompt), or the text was changed.",
        "undecided": " More fresh runs (--draws) would say how rare.",
    }[verdict]
    return first + where + said


def _daily(low: float, high: float) -> str:
    few, many = f"{low:,.0f}", f"{high:,.0f}"
    return f"up to {many}" if low < 1 else many if few == many else f"{few} to {many}"


def _caveats(scored: Scored, agreed: Agreement, how: str) -> list[str]:
    said = []
    if not agreed.agrees:
        suspect = f" ({agreed.suspect})" if agreed.suspect else ""
        said.append(
            f"{counts('plain run', agreed.draws)} contradict the probabilities that the server lists{suspect}; nothing "
            "is said about another request"
        )
    if scored.bound_only:
        said.append("the server did not list one of its tokens: only an upper limit of its probability is known")
    if how != "the tokens that came":
        said.append(f"read {how}, cut into tokens anew: a text can be made of other tokens, too")
    said.append("a report is picked because it is odd: that it is rare says nothing by itself")
    return said
