"""What a section of an answer says first: one or two plain sentences; numbers and tables come after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reroll.answer import CauseSection, DudSection, LuckSection
from reroll.evidence import Est
from reroll.numbers import counts, in_ten

__all__ = ["fixes_sentence", "next_step", "place_of", "token_sentence"]

JSON = Any
FEW = 0.02
MANY_CALLS = 5000  # that a verdict about one fix is still worth
AROUND = 600  # characters on each side of a place
ELSE = {
    "slide": "It went wrong little by little: no single place in the answer is to blame.",
    "doomed": "It was lost before the answer began: no place in the answer is to blame.",
}
NOT_SHOWN = "No single place in the answer was shown to be where it went wrong."


def next_step(
    luck: LuckSection | None, cause: CauseSection | None, cards: Sequence[Mapping[str, JSON]], changed: str
) -> tuple[str, str] | None:
    """What somebody may do now, in a few words, and the section of the page where it is done; None: nothing is known.

    >>> next_step(None, None, (), "")
    """
    if luck is None or not luck.rate.n:
        return None
    if changed:
        return f"Run it again: {changed} {'have' if changed.endswith('s') else 'has'} changed since", "again"
    if luck.verdict == "not_reproduced":
        return "Nothing to mend: it did not come back. Is this the request that failed?", "request"
    if luck.verdict == "bad_luck":
        return "Nothing to mend: see what a second try is worth", "second-try" if luck.rate.failures else "again"
    if luck.verdict == "undecided":
        return "Run it more often, until it is known whether it was bad luck", "luck"
    if cause is None or cause.verdict == "undecided":
        return "Find out why it fails", "why"
    if not cards:
        return "Try what would help", "fixes"
    helped = next((str(card["fix"]) for card in cards if card["verdict"] == "accept"), None)
    if helped is not None:
        return f"Put {helped} in: it is shown to help", "fixes"
    open_ones = [card for card in cards if card["verdict"] == "undecided"]
    near = [card for card in open_ones if 0 < (card.get("needed") or 0) <= MANY_CALLS]
    harm = next((card for card in open_ones if _helps(card)), None)
    if harm is not None and harm not in near:
        return f"Decide about {harm['fix']}: it helps, and to rule out harm elsewhere takes very many calls", "fixes"
    if near:
        best = near[0]  # the best of them comes first
        return (
            f"Find out whether {best['fix']} helps: about {counts('more call', int(best['needed']))} would tell",
            "fixes",
        )
    if open_ones:
        return "Try something else: what was tried takes very many more calls to tell", "fixes"
    return "Try something else: nothing that was tried is worth having", "fixes"


def token_sentence(dud: DudSection) -> str:
    """Where the answer went wrong, for somebody who never heard of tokens."""
    before, after = _often(dud.success_before), _often(dud.success_after)
    if dud.verdict != "dud" or dud.token is None or before is None or after is None:
        return ELSE.get(dud.verdict, NOT_SHOWN)
    said = (
        f"It went wrong at “{dud.token}”: up to there such an answer comes out right {before}, from there on {after}."
    )
    best = max(dud.alternatives, key=lambda one: one.success.value or 0.0, default=None)
    if best is not None and (best.success.value or 0.0) > (dud.success_after.value or 0.0 if dud.success_after else 0):
        said += f" With “{best.token}” in its place it comes out right {_often(best.success)}."
    return said


def place_of(dud: DudSection, found: Mapping[str, JSON]) -> tuple[str, tuple[int, int]] | None:
    """The answer around that place, and where in it that is; None where the finding is of another answer."""
    texts = [str(token.get("text", "")) for token in found.get("tokens") or []]
    if found.get("sample") != dud.sample or dud.position is None or not 1 <= dud.position <= len(texts):
        return None
    before, at, after = (
        "".join(part) for part in (texts[: dud.position - 1], [texts[dud.position - 1]], texts[dud.position :])
    )
    head = before if len(before) <= AROUND else "…" + before[-AROUND:]
    tail = after if len(after) <= AROUND else after[:AROUND] + "…"
    return head + at + tail, (len(head), len(head) + len(at))


def fixes_sentence(cards: Sequence[Mapping[str, JSON]]) -> str:
    """What came of the changes that were tried."""
    tried = f"{counts('change', len(cards))} {'was' if len(cards) == 1 else 'were'} tried"
    helped = [str(card["fix"]) for card in cards if card["verdict"] == "accept"]
    if helped:
        return f"{tried}; shown to help: {', '.join(helped)}."
    open_ones = [card for card in cards if card["verdict"] not in ("accept", "reject")]
    halfway = [str(card["fix"]) for card in open_ones if _helps(card)]
    if halfway:
        return f"{tried}; {', '.join(halfway)} helps requests like it, and whether it harms others is still open."
    undecided = [str(card["fix"]) for card in open_ones]
    more = f" More runs may still tell of {', '.join(undecided)}." if undecided else ""
    return f"{tried}; none was shown to help.{more}"


def _helps(card: Mapping[str, JSON]) -> bool:
    """Whether it is shown to help requests like the reported one, whatever it does to others."""
    return (card.get("claims") or {}).get("helps") == "shown"


def _often(rate: Est | None) -> str | None:
    """An estimate in words: one of all or of nothing is never quite that."""
    if rate is None or rate.value is None:
        return None
    if not FEW < rate.value < 1 - FEW:
        return "hardly ever" if rate.value <= FEW else "nearly always"
    return in_ten(rate.value)
