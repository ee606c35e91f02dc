"""What can be answered where nothing can be run again from a prefix: which words go with failure, over whole runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from reroll.answer import Cost, to_json
from reroll.association import LAST_LOOK, Association, WordTest, look_from, word_test
from reroll.case import Case
from reroll.errors import UsageError
from reroll.evidence import Evidence
from reroll.models.continuing import Tier
from reroll.numbers import counts, percent
from reroll.runner import draw_more, tell
from reroll.sample import Completion, Sample
from reroll.session import Session, Slots, judged, too_dear
from reroll.store import StoredSample

__all__ = ["DRAWS", "ROWS", "Associated", "AssociationPrice", "Phrase", "ask_association", "pieces_of", "words_said"]

DRAWS = 128  # fresh runs looked at, unless another number is asked for: what the benchmark was measured with
LEAST = 0.3  # points of success that a word must go with to be named
BATCH = 32  # runs between two looks at the clock, the money and the live line
ROWS = 8  # phrases on the page and in the text

# Words as people see them in texts and in JSON: a date or a time is one, a run of signs is one.
WORD = re.compile(r"\w+(?:[-:.,/'’]\w+)*|[^\w\s]+")

Unit = Literal["token", "word"]


@dataclass(frozen=True, slots=True)
class AssociationPrice:
    """What it will take: whole runs to draw besides those that are stored, and about so many generated tokens."""

    samples: int
    stored: int
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words side by side that the same samples have, at `first`...`last` (from 1). `shown`: they go with failure."""

    first: int
    last: int
    text: str
    shown: bool
    word: Association


@dataclass(frozen=True, slots=True)
class Associated:
    """The answer. `why`: what was not possible, and why, in one sentence; `pieces`: the completion word by word."""

    sample: str
    case: str
    program: dict[str, Any]
    model: str
    tier: Tier
    why: str
    unit: Unit
    test: WordTest
    phrases: tuple[Phrase, ...]
    pieces: tuple[str, ...]
    stored: int
    drawn: int
    next_look: int | None
    price: AssociationPrice
    cost: Cost
    caveats: tuple[str, ...]
    text: str
    finished: bool
    stopped: str = ""

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.association/1`."""
        test = self.test
        shown = {k for one in self.phrases if one.shown for k in range(one.first, one.last + 1)}
        return {
            "schema": "reroll.association/1",
            "verdict": test.verdict,
            "tier": self.tier,
            "why": self.why,
            "unit": self.unit,
            "p_value": test.p_value,
            "alpha": test.alpha,
            "least": LEAST,
            "success": to_json(test.success),
            "words": [
                {
                    "first": one.first,
                    "last": one.last,
                    "text": one.text,
                    "shown": one.shown,
                    "p_value": one.word.p_value,
                    "success_with": to_json(one.word.having),
                    "success_without": to_json(one.word.lacking),
                    "difference": to_json(one.word.difference),
                    "lost": to_json(one.word.lost),
                }
                for one in self.phrases
            ],
            "untested": test.untested,
            "samples": test.samples,
            "invalid": test.invalid,
            "stored": self.stored,
            "drawn": self.drawn,
            "more_samples": test.more,
            "next_look": self.next_look,
            "completion": [{"text": text, "shown": k in shown} for k, text in enumerate(self.pieces, 1)],
            "sample": self.sample,
            "case": self.case,
            "program": self.program,
            "model": self.model,
            "price": to_json(self.price),
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "text": self.text,
            "finished": self.finished,
            "stopped": self.stopped,
        }


async def ask_association(
    session: Session,
    case: Case,
    stored: StoredSample,
    at: Slots,
    *,
    tier: Tier,
    why: str,
    draws: int,
    tell_price: Callable[[AssociationPrice], None],
) -> Associated:
    """Which words of this failing completion go with failure, over the request's stored runs and fresh ones.

    Args:   draws: runs that are to be looked at, stored ones counted, rounded up to the next look; tell_price: called
            before the first call.
    Raises: UsageError where the completion has no words.
    """
    own = stored.sample.completion
    if own is None or not words_said(own):
        raise UsageError(
            f"the completion of {stored.id} is empty, so no word of it can go with failure; `reroll rerun {case.id}` "
            "says how often this request fails",
            slug="no-completion",
        )
    before = _outcomes(session, at, stored.id)
    reused, wanted = len(before), look_from(draws)
    missing = max(0, wanted - reused)
    each = stored.sample.usage.completion_tokens
    price = AssociationPrice(missing, reused, None if each is None else each * missing)
    tell_price(price)
    have = await _drawn(session, at, stored.id, before, missing)
    session.spent.reused += reused
    unit, failing, said = _read(own, _whole(session, at, have))
    # The same samples give the same answer: chance has no seed of its own here.
    test = word_test(failing, said, np.random.default_rng(0), session.options.alpha, LEAST)
    texts = pieces_of(own, unit)
    phrases = _phrases(test, texts)
    finished = len(have) >= wanted or test.verdict != "undecided"
    stopped = "" if finished else _why_stopped(session, len(have), wanted)
    to_go = None if test.more is None or not test.more else len(have) + test.more
    return Associated(
        sample=stored.id,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        tier=tier,
        why=why,
        unit=unit,
        test=test,
        phrases=phrases,
        pieces=texts,
        stored=reused,
        drawn=len(have) - reused,
        next_look=to_go,
        price=price,
        cost=session.spent.cost(),
        caveats=tuple(_caveats(test, len(have))),
        text=reply(test, phrases, why, to_go, stored.id),
        finished=finished,
        stopped=stopped,
    )


async def _drawn(session: Session, at: Slots, own: str, have: dict[str, str], missing: int) -> dict[str, str]:
    """The outcomes by id, with so many more runs, or as many as there was time, money and budget for."""
    while missing > 0 and not _over(session) and not session.exhausted:
        seen = Evidence.of(list(have.values()))
        tell(session, at.case.id, seen, "which words go with failure?", session.options.budget)
        await draw_more(session, [at], min(missing, BATCH, session.left))
        missing -= max(1, len(new := _outcomes(session, at, own)) - len(have))
        have = new
    return have


def _over(session: Session) -> bool:
    return session.stopped or session.left <= 0 or too_dear(session) or session.spent.out_of_time()


def _why_stopped(session: Session, have: int, wanted: int) -> str:
    if session.exhausted:
        return f"the recording has {counts('run', have)} of the {wanted} wanted"
    return f"the calls, the money or the time were up after {have} of {wanted} runs"


def _outcomes(session: Session, at: Slots, own: str) -> dict[str, str]:
    """The outcome of every counted run of this request, by its id, whatever series it was drawn for; from zero
    (`--fresh`) those of this command alone.

    own: the failing sample's id, which is no evidence: it was picked because it failed.
    """
    drawn = session.store.samples(request_id=at.request_id, source="draw")
    series = dict.fromkeys(one.series for one in drawn if one.series == at.series or not session.fresh)
    said: dict[str, str] = {}
    for name in series:
        said |= {j.stored.id: j.outcome.outcome for j in judged(session, replace(at, series=name, whole=True))}
    return {one.id: said[one.id] for one in drawn if one.id in said and one.id != own}


def _whole(session: Session, at: Slots, outcomes: dict[str, str]) -> list[tuple[Sample, str]]:
    """These runs with their tokens, in the order of storing."""
    whole = session.store.samples(request_id=at.request_id, source="draw", payload=True)
    return [(one.sample, outcomes[one.id]) for one in whole if one.id in outcomes]


# ---------------------------------------------------------------- words


def words_said(completion: Completion) -> str:
    """All that a completion says, as one text: what it wrote or refused with, and each tool that it called."""
    calls = [one.get("function") for one in completion.tool_calls]
    told = [f"{one.get('name')}({one.get('arguments')})" for one in calls if isinstance(one, dict)]
    return "\n".join(part for part in (completion.text or completion.refusal or "", *told) if part)


def pieces_of(completion: Completion, unit: Unit) -> tuple[str, ...]:
    """The completion cut into its tokens or words, with the white space that belongs to each: joined, it is whole."""
    if unit == "token":
        return tuple(token.text for token in completion.tokens)
    text = words_said(completion)
    starts = [match.start() for match in WORD.finditer(text)]
    return tuple(text[a:b] for a, b in zip([0, *starts[1:]], [*starts[1:], len(text)], strict=True)) if starts else ()


def _read(
    own: Completion, runs: Sequence[tuple[Sample, str]]
) -> tuple[Unit, tuple[str, ...], list[tuple[tuple[str, ...], str]]]:
    """How the completions are cut, the failing one, and the others with their outcomes.

    Tokens where every completion came with them and they are all that it says, else words.
    """
    others = [(sample.completion, outcome) for sample, outcome in runs]
    both = [own, *(one for one, _ in others if one is not None)]
    unit: Unit = "token" if all("".join(t.text for t in c.tokens) == words_said(c) for c in both) else "word"
    cut = [(() if one is None else _units(one, unit), outcome) for one, outcome in others]
    return unit, _units(own, unit), cut


def _units(completion: Completion, unit: Unit) -> tuple[str, ...]:
    if unit == "token":
        return tuple(token.text for token in completion.tokens)
    return tuple(WORD.findall(words_said(completion)))


def _phrases(test: WordTest, pieces: Sequence[str]) -> tuple[Phrase, ...]:
    """The strongest words, those side by side that samples have alike put together."""
    by_place = {word.position: word for word in test.words}
    groups: list[list[int]] = []
    for place in sorted(by_place):
        word, before = by_place[place], by_place.get(place - 1)
        if before is not None and (before.having, before.lacking) == (word.having, word.lacking):
            groups[-1].append(place)
        else:
            groups.append([place])
    found = [
        Phrase(g[0], g[-1], "".join(pieces[g[0] - 1 : g[-1]]).strip(), test.shown(by_place[g[0]]), by_place[g[0]])
        for g in groups
    ]
    rank = {word.position: k for k, word in enumerate(test.words)}
    return tuple(sorted(found, key=lambda one: min(rank[k] for k in range(one.first, one.last + 1))))


# ---------------------------------------------------------------- what is said


def reply(test: WordTest, phrases: Sequence[Phrase], why: str, next_look: int | None, sample: str) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than the verdict."""
    limit = f"Where it went wrong cannot be tested, because {why}."
    return " ".join([*_finding(test, phrases, next_look, sample), limit])


def _finding(test: WordTest, phrases: Sequence[Phrase], next_look: int | None, sample: str) -> list[str]:
    success = percent(test.success.value or 0.0)
    runs = counts("run", test.samples)
    more = "No affordable number of further runs would show more."
    if next_look is not None:
        asked = f"--draws {look_from(next_look)}"
        more = f"About {next_look:,} runs in all would decide it, if they look like these ({asked})."
    if test.verdict == "doomed":
        return [
            f"This request fails nearly always, whatever it says: it works out in about {success} of {runs}.",
            "Look at the prompt or the model, not at luck.",
        ]
    if not test.samples:
        return [f"Too few runs of this request are known to say which words of {sample} go with failure.", more]
    if test.p_value is None:
        if test.success.value == 0:
            return [f"All of {runs} fail, so no word can be told from the others.", more]
        if test.success.value == 1:
            return [f"None of {runs} fails, so no word can go with failure among them.", more]
        said = f"In {runs} no word of this answer comes in some and is missing in others often enough to tell anything."
        return [said, more]
    if test.verdict == "undecided":
        return [
            f"No word of this answer is shown to go with failure ({runs}, p = {test.p_value:.2g} for all words "
            "together).",
            more,
        ]
    best = next(one for one in phrases if one.shown)
    with_it, without = percent(best.word.having.value or 0.0), percent(best.word.lacking.value or 0.0)
    p = f"{test.p_value:.2g}"
    first = (
        f"Runs that say “{best.text}” there work out in about {with_it}, runs that do not in about {without} "
        f"({runs}, p = {p} for all words together)."
    )
    if test.verdict == "weak":
        return [f"Words go with failure here, but only weakly. {first}"]
    others = [f"“{one.text}”" for one in phrases if one.shown and one is not best][: ROWS - 1]
    also = [f"Failure goes with {', '.join(others)}, too."] if others else []
    return [first, *also, "That is no proof of a cause: what came before those words differs, too."]


def _caveats(test: WordTest, have: int) -> list[str]:
    said = ["words that go with failure need not cause it; words that follow from an early slip go with it as well"]
    if have > test.samples and test.samples < LAST_LOOK and test.samples:
        said.append(
            f"{test.samples} of {have} runs are looked at: looks lie at 32, 64, 128, … runs, so that asking often "
            "costs no certainty"
        )
    if have > LAST_LOOK:
        said.append(f"the first {LAST_LOOK:,} runs are looked at, no more")
    if test.untested and test.words:
        words = "word or sign is" if test.untested == 1 else "words and signs are"
        said.append(
            f"{test.untested} {words} not tested: nearly all runs have them there, or nearly none; a rare word may "
            "matter and not show here"
        )
    if test.invalid:
        said.append(f"{counts('run', test.invalid)} could not be judged, and say nothing about words")
    said.append("ranges of rates hold in about 90 % of cases each; the p-value is for all words together")
    return said
