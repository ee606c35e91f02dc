"""What `forks` says: the reply, its price, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Sequence

from reroll.associated import AssociationPrice
from reroll.astray import shown
from reroll.conversing import Conversing
from reroll.dud_report import Dud, DudPrice
from reroll.numbers import counts, percent
from reroll.reading import Opened
from reroll.sample import Token
from reroll.sampler import Sampling

__all__ = [
    "USUAL_LIST",
    "association_words",
    "caveats",
    "conversed",
    "price_words",
    "reply",
    "turn_price_words",
    "why_no_chances",
]

USUAL_LIST = 20  # alternatives that servers list at most, mostly, and that are asked for
STOPS = "Ctrl-C stops it, --budget limits it"
MOST_SHOWN = 60  # characters of a turn in a sentence


def reply(dud: Dud, unit: str = "", path: Sequence[str] = ()) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than the verdict.

    unit: what its places are called; default: as in the search; path: the tokens, of which a window is shown whole.
    """
    start = percent(dud.success_at_start.value or 0.0)
    unit = unit or dud.unit
    whole, what = ("conversation", "a conversation") if dud.unit == "turn" else ("answer", "an answer")
    if dud.verdict == "doomed":
        return (
            f"No single {unit} is to blame: this request fails nearly always, whatever is "
            f"{'said' if dud.unit == 'turn' else 'sampled'} first (it works in about {start} of runs). Look at the "
            "prompt or the model, not at luck."
        )
    if dud.verdict == "slide":
        half = f" It takes {counts(unit, dud.half_life)} to lose half of its chances." if dud.half_life else ""
        return (
            f"No single {unit} is to blame: the {whole} lost its chances little by little.{half} The request works "
            f"in about {start} of runs."
        )
    if dud.verdict == "unsure" or dud.token is None:
        why = dud.reason or "too few runs were made to search for it"
        return f"It is not shown whether a single {unit} is to blame: {why}."
    assert dud.drop is not None
    assert dud.success_before is not None
    assert dud.success_after is not None
    before, after = percent(dud.success_before.value or 0.0), percent(dud.success_after.value or 0.0)
    name, at = shown(dud.token), "at"
    place = f"{unit} {dud.position} of the {'assistant' if dud.unit == 'turn' else whole}"
    if dud.first is not None and dud.last is not None and dud.first < dud.last:
        name, at = "".join(path[dud.first - 1 : dud.last]) or name, "somewhere in"
        place = f"{unit}s {dud.first} to {dud.last} of the {whole}"
    name = _short(name.strip() or repr(name))
    sentences = [
        f"It went wrong {at} “{name}” ({place}): before it such {what} works out in about {before} of runs, after it "
        f"in about {after}.",
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


def _short(text: str) -> str:
    """A turn may be long: its beginning, on one line."""
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"


def conversed(conversing: Conversing, why: str) -> list[str]:
    """What to keep in mind where turns were asked for anew."""
    said = [
        "the later turns of the user were replayed as recorded, whatever the assistant said before them; a person "
        "might have answered otherwise",
        "the recorded turns are held against what this model says now, whoever wrote them",
    ]
    if conversing.talk.kept:
        said.append(
            f"{counts('turn', conversing.talk.kept)} of the assistant with tools, and what the tools said, stayed as "
            "recorded"
        )
    if conversing.lost:
        said.append(
            f"{counts('conversation', conversing.lost)} could not be played to the end (an error, or a tool was called "
            "whose result nobody recorded)"
        )
    if why:
        said.append(f"turns, not tokens, because {why}")
    return said


def price_words(expected: DudPrice, stored: int = 0) -> str:
    """What a search by tokens will take, before its first call. stored: draws of this very search."""
    return (
        f"a search takes about {counts('call', expected.rollouts)} and {counts('generated token', expected.tokens)}, "
        f"at the very most {counts('call', expected.most_rollouts)}{_again('run', stored)}; {STOPS}"
    )


def turn_price_words(expected: DudPrice, calls: int, most: int, stored: int = 0) -> str:
    """The same of a search by turns. calls, most: about, and at the very most; stored: calls of this very search."""
    return (
        f"a search plays about {counts('conversation', expected.rollouts)} on, in about {counts('call', calls)} and "
        f"{counts('generated token', expected.tokens)}, at the very most {counts('call', most)}"
        f"{_again('call', stored)}; {STOPS}"
    )


def _again(what: str, stored: int) -> str:
    return f"; {counts(what, stored)} of it {'is' if stored == 1 else 'are'} stored and cost nothing" if stored else ""


def association_words(expected: AssociationPrice) -> str:
    """What a look at words will take, before its first call."""
    stored = f" ({expected.stored:,} stored ones count)" if expected.stored else ""
    if not expected.samples:
        return f"no call is needed: {counts('stored run', expected.stored)} are looked at"
    tokens = "" if expected.tokens is None else f", about {counts('generated token', expected.tokens)}"
    return f"words are looked at over {counts('more run', expected.samples)}{stored}{tokens}; {STOPS}"


def caveats(opened: Opened, tokens: Sequence[Token], sampling: Sampling | None, dud: Dud) -> list[str]:
    """What to keep in mind of a search by tokens."""
    said = list(dud.caveats)
    if sampling is None:
        said.append(f"places are found by prefixes alone, because {why_no_chances(opened)}")
    if not opened.continuer.exact:
        said.append("prefixes go as text, which the server cuts into tokens anew at the seam: the place is approximate")
    listed = max((len(t.top) for t in tokens), default=0)
    if sampling is not None and listed < USUAL_LIST:
        said.append(
            f"at most {counts('token', listed)} are listed at each place, not {USUAL_LIST}; what is not listed cannot "
            "be tried there"
        )
    if sampling is not None and sampling.unsure:
        said.append(
            f"{counts('setting', len(sampling.unsure))} of the sampler ({', '.join(sampling.unsure)}) "
            "is left to the server; the probabilities are read as if it did nothing"
        )
    return said


def why_no_chances(opened: Opened) -> str:
    """Why the search goes without token probabilities."""
    if not isinstance(opened.sampling, Sampling):
        return opened.sampling.why
    return opened.continuer.why or "no token probabilities came"
