"""Plain business text from grammars: every sentence holds an invented name, so no two worlds share a clause."""

from __future__ import annotations

import random

__all__ = ["Writer"]

DOMAINS = {
    "support": (["ticket", "refund", "parcel", "complaint"], ["customer", "agent", "courier"]),
    "invoices": (["invoice", "credit note", "purchase order", "payment"], ["supplier", "clerk", "auditor"]),
    "meetings": (["meeting", "agenda", "workshop", "call"], ["organiser", "guest", "chair"]),
    "extraction": (["contract", "clause", "signature", "annex"], ["lawyer", "tenant", "notary"]),
    "translation": (["brochure", "manual", "label", "caption"], ["translator", "editor", "printer"]),
    "logistics": (["shipment", "pallet", "manifest", "delivery"], ["driver", "dispatcher", "forwarder"]),
    "hiring": (["application", "interview", "reference", "offer"], ["recruiter", "candidate", "manager"]),
}
ASKS = [
    "The {who} {name} sent the {thing} {tail}.",
    "Please note the {thing} that the {who} wrote {tail}.",
    "Our {who} has asked about the {thing} {tail}.",
    "We moved the {thing} of the {who} {tail}.",
    "It was the {who} who first raised this {thing} {tail}.",
    "Somebody at {name} put the {thing} on hold {tail}.",
]
RULES = [
    "Treat every {thing} from the {who} as open {tail}.",
    "Name the {who} whenever a {thing} is mentioned {tail}.",
    "Do not quote the {thing} in full {tail}.",
    "Keep the tone of the {who} polite {tail}.",
    "Use the {thing} number as it was given {tail}.",
    "If the {who} is unknown, leave the {thing} alone {tail}.",
]
TAILS = [
    "before the {name} review",
    "after the {name} audit",
    "for the office in {name}",
    "under the {name} terms",
    "at half {hour} by {name} time",
    "within {number} days of {name}",
    "unless {name} says otherwise",
    "on behalf of {name} Partners",
]
HOURS = ["six", "seven", "eight", "nine", "ten", "eleven"]
ONSETS = "b br d dr f g gl h j k kr l m n p pl r s st t tr v w z".split()
VOWELS = "a e i o u ai ea io ou".split()


class Writer:
    """Writes sentences of one domain; `sentence` returns the text and the phrase in it that can be a cue."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.domain = rng, rng.choice(sorted(DOMAINS))
        self.used: set[str] = set()

    def name(self) -> str:
        """A name that was not used in this world."""
        while True:
            word = "".join(self.rng.choice(ONSETS) + self.rng.choice(VOWELS) for _ in range(4))
            if word not in self.used:
                self.used.add(word)
                return word.capitalize()

    def word(self) -> str:
        return self.name().lower()

    def sentence(self, rule: bool = False) -> tuple[str, str]:
        rng, (things, people) = self.rng, DOMAINS[self.domain]
        tail = rng.choice(TAILS).format(name=self.name(), hour=rng.choice(HOURS), number=rng.randint(2, 60))
        text = rng.choice(RULES if rule else ASKS)
        said = text.format(who=rng.choice(people), thing=rng.choice(things), name=self.name(), tail=tail)
        return said, tail
