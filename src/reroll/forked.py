"""What `forks` answers: the verdict on one failing sample, with all that a screen shows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reroll.answer import Cost, to_json
from reroll.astray import astray, earlier, find_dud, shown
from reroll.branching import Branches
from reroll.case import Case
from reroll.check import overall
from reroll.dud import DudRule, DudSearch
from reroll.dud_report import Dud, DudPrice, price
from reroll.errors import ModelError, UsageError
from reroll.forking import Outcome
from reroll.models.continuing import Tier
from reroll.numbers import counts, percent
from reroll.odds import END
from reroll.reading import Opened, open_case
from reroll.sample import Sample, Token
from reroll.sampler import Sampling
from reroll.session import Session, Slots, judged, slots
from reroll.store import StoredSample

__all__ = ["Forked", "ask_forks", "draws_of", "tokens_of"]


@dataclass(frozen=True, slots=True)
class Forked:
    """The answer of `forks`. `strip` and `chances`: the failing completion's tokens and how likely each was."""

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
            "price": to_json(self.price),
            "tokens": [{"text": t, "prob": p} for t, p in zip(self.strip, self.chances, strict=True)],
            "cost": to_json(self.cost),
            "caveats": list(self.caveats),
            "text": self.text,
            "finished": self.finished,
            "stopped": self.stopped,
        }


async def ask_forks(
    session: Session, case: Case, stored: StoredSample, seed: int, tell_price: Callable[[DudPrice], None]
) -> Forked:
    """Which token led this sample astray, or that none did.

    Args:   tell_price: called with what it will take before the first call.
    Raises: UsageError where the sample cannot be searched; ModelError where its server cannot do it.
    """
    sample = stored.sample
    at = slots(session, case)
    if stored.request_id != at.request_id and not stored.series.endswith(f"of {at.request_id}"):
        raise UsageError(
            f"{stored.id} answered another request than case `{case.id}` makes now (program, case or model has "
            f"changed); draw a new one with `reroll rerun {case.id}`",
            slug="other-request",
        )
    said = overall(session.checker.judge(case, session.judging, sample))
    if said.outcome != "fail":
        raise UsageError(
            f"{stored.id} did not fail ({said.outcome}: {said.reason}); name a failing one: "
            f"`reroll samples {case.id}` lists them",
            slug="no-failure",
        )
    opened = await open_case(session, case)
    if opened.continuer.tier in ("C", "D"):
        raise ModelError(
            f"{opened.continuer.why}, so no fork can be run again there; "
            f"`reroll samples {case.id} --tree` shows where its completions part",
            slug="no-prefix",
        )
    if opened.continuer.tier == "A" and not isinstance(opened.sampling, Sampling):
        raise ModelError(f"what is sampled cannot be read: {opened.sampling.why}", slug="no-prefix")
    tokens, how = await tokens_of(opened, sample.completion.tokens if sample.completion else (), stored)
    sampling = opened.sampling if isinstance(opened.sampling, Sampling) else Sampling()
    found = astray(sample, tokens, opened.continuer, sampling)
    rule = DudRule(alpha=session.options.alpha)
    expected = price(found.failing, rule)
    tell_price(expected)
    before = earlier(found, opened.branches.known(), draws_of(session, at, stored.id), stored.id)
    rng = np.random.default_rng(seed)
    dud, finished = await find_dud(
        opened.branches, found, before, rule, rng, lambda search: _tell(opened.branches, search)
    )
    finished = finished and not session.stopped
    return Forked(
        sample=stored.id,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        tier=opened.continuer.tier,
        exact=opened.continuer.exact,
        dud=dud,
        price=expected,
        strip=tuple(
            t.text or (shown(name) if name == END else "")
            for t, name in zip(found.path, found.failing.tokens, strict=True)
        ),
        chances=found.failing.probs or (None,) * len(found.path),
        method=how,
        cost=session.spent.cost(),
        caveats=tuple(_caveats(opened, dud)),
        text=reply(dud),
        finished=finished,
        stopped="" if finished else "the calls, the money or the time were up before a verdict fell",
    )


def draws_of(session: Session, at: Slots, own: str) -> list[tuple[Sample, Outcome]]:
    """The case's other draws with their tokens, and their outcomes."""
    said = {j.stored.id: j.outcome.outcome for j in judged(session, at)}
    whole = session.store.samples(request_id=at.request_id, series=at.series, source="draw", payload=True)
    return [(one.sample, said[one.id]) for one in whole if one.id in said and one.id != own]


async def tokens_of(opened: Opened, have: Sequence[Token], stored: StoredSample) -> tuple[tuple[Token, ...], str]:
    """The sample's tokens with probabilities: as they came, or scored now."""
    assert stored.sample.completion is not None
    if opened.continuer.tier == "B":
        return (), "pieces of the text: the server shows no tokens"
    if have and all(t.logprob is not None and t.top and (t.id is not None or not opened.continuer.exact) for t in have):
        return tuple(have), "the sample's own tokens"
    if have and all(t.id is not None for t in have):
        return await opened.branches.score(have), "the sample's own tokens, scored now"
    cut = await opened.continuer.cut(stored.sample.completion.text)
    if cut is None:
        raise ModelError(
            f"{stored.id} came without token probabilities, and this server does not cut a text into tokens; "
            "set `logprobs: true` and `top_logprobs: 20` in the program's params and draw again",
            slug="no-score",
        )
    return await opened.branches.score(cut), "the text cut into tokens anew, and scored now"


def _caveats(opened: Opened, dud: Dud) -> list[str]:
    said = list(dud.caveats)
    if not opened.continuer.exact:
        said.append("prefixes go as text, which the server cuts into tokens anew at the seam: the place is approximate")
    if isinstance(opened.sampling, Sampling) and opened.sampling.unsure:
        said.append(
            f"{counts('setting', len(opened.sampling.unsure))} of the sampler ({', '.join(opened.sampling.unsure)}) "
            "is left to the server; the probabilities are read as if it did nothing"
        )
    return said


def _tell(branches: Branches, search: DudSearch) -> None:
    words = {"triage": "is anything lost at all?", "search": "where is it lost?", "certify": "is it really there?"}
    branches.tell(words.get(search.phase, "what else could it have said?"))


def reply(dud: Dud) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than the verdict."""
    start = percent(dud.success_at_start.value or 0.0)
    unit = {"token": "token", "turn": "turn", "sentence": "sentence"}[dud.unit]
    if dud.verdict == "doomed":
        return (
            f"No single {unit} is to blame: this request fails nearly always, whatever is sampled first (it works in "
            f"about {start} of runs). Look at the prompt or the model, not at luck."
        )
    if dud.verdict == "slide":
        half = f" It takes {counts(unit, dud.half_life)} to lose half of its chances." if dud.half_life else ""
        return (
            f"No single {unit} is to blame: the answer lost its chances little by little.{half} The request works "
            f"in about {start} of runs."
        )
    if dud.verdict == "unsure" or dud.token is None:
        return f"It is not shown whether a single {unit} is to blame: {dud.reason}."
    assert dud.drop is not None
    assert dud.success_before is not None
    assert dud.success_after is not None
    before, after = percent(dud.success_before.value or 0.0), percent(dud.success_after.value or 0.0)
    name = shown(dud.token).strip() or repr(dud.token)
    sentences = [
        f"It went wrong at “{name}” ({unit} {dud.position} of the answer): before it such an answer works out in about "
        f"{before} of runs, after it in about {after}.",
    ]
    if dud.prob is not None:
        word = {"unlucky": "a draw against the odds", "trap": "the model's own preference"}[dud.kind or "unlucky"]
        sentences.append(f"The model takes it there in {percent(dud.prob)} of runs: {word}.")
    best = max(dud.alternatives, key=lambda row: row.success.value or 0.0, default=None)
    if best is not None and best.success.value is not None:
        other = shown(best.token).strip() or repr(best.token)
        sentences.append(f"With “{other}” there instead it works out in about {percent(best.success.value)} of runs.")
    low = percent(max(0.0, dud.drop.low or 0.0))
    sentences.append(
        f"Fresh pairs of runs show that the place costs at least {low} points of success.".replace(" %", "")
    )
    return " ".join(sentences)
