"""What can be said wrongly, word by word, and in which worlds; its twin: planted effects of stated sizes.

`VOCABULARY` has every word of every verdict in the code; a test holds it against the code, so that a new word cannot be
forgotten. A word either has claims here, or a reason why it is none that chance could make wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import _nothing as worlds
from benchmarks import _nothing_served as served
from benchmarks._nothing import ALPHA, Worlds
from reroll.calibrate import met_boundary, not_met_boundary, operating_characteristics
from reroll.dependence import STRANGE
from reroll.ledger import WORTH
from reroll.paired import pair_boundary
from reroll.suite_gate import Rule, gate, outlook
from reroll.verdict import not_worse_rate

__all__ = ["FALSE", "POWER", "VOCABULARY", "Claim"]


@dataclass(frozen=True)
class Claim:
    """One word in one kind of world. of: `module.Name` of the verdict; part: of the worlds, what this dear one gets.

    alpha: what is promised of it, where saying it would be wrong. exact: the chance by computation, for steady rates.
    """

    of: str
    word: str
    world: str
    run: Worlds
    part: float = 1.0
    alpha: float = ALPHA
    exact: Callable[[], float] | None = None


def _met_at(rate: float, calls: int) -> float:
    return operating_characteristics(rate, met_boundary(rate, ALPHA, None, calls), None, calls).met


def _not_met_at(rate: float, calls: int) -> float:
    return operating_characteristics(rate, None, not_met_boundary(rate, ALPHA, None, calls), calls).not_met


def _better() -> float:
    return operating_characteristics(0.5, pair_boundary(ALPHA, None, 10_000), None, 10_000).met


def _red() -> float:
    return 1 - (1 - outlook(gate(Rule(), 100), 0.95).not_met) ** 100


CERTIFY, LUCK, COMPARE = "verdict.CertifyVerdict", "verdict.LuckVerdict", "compare.CompareVerdict"
WORDINGS, AUDIT, WORD = "wording_rounds.WordingsVerdict", "audit.AuditVerdict", "association.AssociationVerdict"
SURPRISE, DUD, CAUSE = "surprise.SurpriseVerdict", "dud.DudVerdict", "finding.Verdict"
FIX, STATE, SHADE, STANDS = "scorecard.FixVerdict", "scorecard.ClaimState", "suite_gate.Shade", "ledger.Entry.stands"
TOKENS, ADJUDICATED = "phrased.WordingVerdict", "adjudicate.Adjudicated.verdict"
STRETCHES = "clustering.Stretches"
EVENT, SEED, BEST = "watching.EventKind", "audit.Seed", "best.Best.verdict"
ALIKE = [0.2] * 8

FALSE: list[Claim] = [
    Claim(
        CERTIFY,
        "met",
        "fails just 10 % or more, target 90 %, 400 calls",
        worlds.certified("met", 0.9, 400),
        exact=lambda: _met_at(0.1, 400),
    ),
    Claim(
        CERTIFY,
        "met",
        "fails just 1 % or more, target 99 %, 1,500 calls",
        worlds.certified("met", 0.99, 1500),
        exact=lambda: _met_at(0.01, 1500),
    ),
    Claim(CERTIFY, "met", "suite of 20 cases, 10 % on average, target 90 %, 60 rounds", worlds.certified_suite("met")),
    Claim(CERTIFY, "met", "read in part, fails just 1 %, target 99 %", worlds.enumerated("met")),
    Claim(
        CERTIFY,
        "not_met",
        "fails just 10 % or less, target 90 %, 400 calls",
        worlds.certified("not_met", 0.9, 400),
        exact=lambda: _not_met_at(0.1, 400),
    ),
    Claim(
        CERTIFY,
        "not_met",
        "fails just 1 % or less, target 99 %, 1,500 calls",
        worlds.certified("not_met", 0.99, 1500),
        exact=lambda: _not_met_at(0.01, 1500),
    ),
    Claim(CERTIFY, "not_met", "suite of 20 cases, 10 % on average, target 90 %", worlds.certified_suite("not_met")),
    Claim(CERTIFY, "not_met", "read in part, fails just 1 %, target 99 %", worlds.enumerated("not_met")),
    Claim(
        "adjudicate.Adjudicated.verdict", "met", "5 % bad, target 95 %, checker finds 4 of 5", worlds.adjudicated("met")
    ),
    Claim(
        "adjudicate.Adjudicated.verdict",
        "not_met",
        "4 % bad confirmed at most, target 95 %",
        worlds.adjudicated("not_met"),
    ),
    Claim(
        LUCK,
        "worse_than_reference",
        "as bad as the reference rate, 5 %, or better, 300 calls",
        worlds.lucky("worse_than_reference", 0.05, 0.05, 300, -1),
        exact=lambda: _not_met_at(0.05, 300),
    ),
    Claim(LUCK, "worse_than_reference", "as good as its controls, nothing known before", worlds.first_reports),
    Claim(
        LUCK,
        "bad_luck",
        "three times the reference rate of 5 %, or more, 300 calls",
        worlds.lucky("bad_luck", 0.05, not_worse_rate(0.05), 300, 1),
    ),
    Claim(
        LUCK,
        "not_reproduced",
        "fails 5 % or more, no reference, 200 calls",
        worlds.lucky("not_reproduced", None, 0.05, 200, 1),
    ),
    Claim(COMPARE, "better", "equally often, 250 pairs", worlds.compared({"better"}), 1.0, exact=_better),
    Claim(COMPARE, "worse", "equally often, 250 pairs", worlds.compared({"worse"}), 1.0, exact=_better),
    Claim(
        COMPARE,
        "no_different",
        "5 points apart, margin 5 points, 250 pairs",
        worlds.compared({"no_different"}, 250, 0.05, 0.05),
    ),
    Claim(COMPARE, "better", "30 cases, 5 pairs each, the one or the other better on each", worlds.compared_cases),
    Claim(COMPARE, "better", "graded scores of one distribution, 300 pairs", worlds.compared_scores),
    Claim(
        BEST,
        "best",
        "another than the best of five, which is better by 1 point",
        worlds.best_named(0.19, 0.2, "bcde"),
    ),
    Claim(BEST, "best", "family: any of eight better than a baseline as good as all", worlds.family),
    Claim(BEST, "best", "exploring: any of eight better than such a baseline", worlds.discoveries),
    Claim(WORDINGS, "differ", "eight wordings alike, 50 rounds", worlds.wordings("differ", ALIKE)),
    Claim(WORDINGS, "differ", "the same, drifting from round to round", worlds.wordings("differ", ALIKE, None, 1.5)),
    Claim(WORDINGS, "differ", "seven alike, one that never works", worlds.wordings("differ", [0.2] * 7 + [1.0])),
    Claim(
        WORDINGS,
        "no_different",
        "one 15 points worse, margin 15 points",
        worlds.wordings("no_different", [0.1, 0.1, 0.1, 0.25], 0.15),
    ),
    Claim(
        "wording_rounds.Standing.aside",
        "aside",
        "a wording set aside that works as the others do",
        worlds.wordings("aside", [0.6] * 7 + [1.0]),
        alpha=0.005,
    ),
    Claim(AUDIT, "load", "no circumstance matters, 300 calls: any is blamed", worlds.audited()),
    Claim(SEED, "honoured", "seeds ignored, few different answers", worlds.seeds_honoured),
    Claim(
        WORD,
        "associated",
        "no word goes with failure (or weak), 128 samples",
        worlds.associated({"associated", "weak"}, 0.4),
    ),
    Claim(
        WORD,
        "doomed",
        "succeeds in just 15 %",
        worlds.associated({"doomed"}, 0.85),
        exact=lambda: _not_met_at(0.85, 128),
    ),
    Claim(SURPRISE, "usual", "just 1 in 20 is as improbable, 300 samples", worlds.surprising("usual")),
    Claim(SURPRISE, "rare", "just 1 in 20 is as improbable, 300 samples", worlds.surprising("rare")),
    Claim(SURPRISE, "other_request", "texts of the very request", worlds.other_request, alpha=1e-6),
    Claim(DUD, "dud", "no token costs 15 points: one named that costs less than 5", worlds.duds("dud")),
    Claim(DUD, "doomed", "a prompt that succeeds in 15 % or more", worlds.duds("doomed")),
    Claim(
        CAUSE,
        "systematic",
        "nothing in the request is to blame (or the check flips 1 in 10)",
        worlds.inquiries(("null5", "null15", "null30", "null60", "null30+lb3", "null15+flip"), "systematic"),
    ),
    Claim(
        CAUSE,
        "nothing",
        "one strong factor is to blame",
        worlds.inquiries(("single", "single+flip"), "nothing"),
        alpha=0.2,  # it says what would have shown in four of five such screens
    ),
    Claim(
        CAUSE,
        "nothing",
        "one is to blame for 45 of 90 points; three that break, with and without control cases",
        worlds.inquiries(("often", "often+lb3", "often+nomap+lb3"), "nothing"),
        alpha=0.2,
    ),
    Claim(CAUSE, "not_reproduced", "fails in 5 % as reported", worlds.inquiries(("null5",), "not_reproduced")),
    Claim(STATE, "shown", "changes nothing: cures or helps", worlds.scored("nothing", {"cures"}, "shown")),
    Claim(
        STATE,
        "shown",
        "neighbours gain just half of what the case gains: generalises",
        worlds.scored("half", {"generalises"}, "shown"),
    ),
    Claim(
        STATE,
        "shown",
        "harm of just the margin: spares ordinary requests",
        worlds.scored("the margin", {"spares_control"}, "shown", 1200),
    ),
    Claim(
        STATE,
        "shown",
        "harm of just the margin: spares look-alikes",
        worlds.scored("the margin", {"spares_lookalikes"}, "shown"),
    ),
    Claim(
        STATE,
        "refuted",
        "each claim just true: any refuted",
        worlds.scored("a quarter", {"cures", "helps", "generalises"}, "refuted"),
    ),
    Claim(
        STATE,
        "refuted",
        "harm of just the margin: spares refuted",
        worlds.scored("the margin", {"spares_control", "spares_lookalikes"}, "refuted"),
    ),
    Claim(
        FIX,
        "accept",
        "special cases, copies, blocks, duds, harm: a whole trial, 2,000 calls",
        worlds.tried(("patch", "dud"), "accept", 2000),
        alpha=0.02,
    ),
    Claim(
        FIX,
        "reject",
        "harmless general levers: a whole trial, 2,000 calls",
        worlds.tried(("lever",), "reject", 2000),
    ),
    Claim(STANDS, "earns", "an earlier fix that is worth nothing", worlds.piled("earns", 0.0)),
    Claim(STANDS, "debt", "an earlier fix that is worth just what counts", worlds.piled("debt", WORTH)),
    Claim(SHADE, "red", "a healthy suite of 100 tests, 95 % each", worlds.suites("red", 0.95, 100), exact=_red),
    Claim(
        SHADE,
        "green",
        "a test at 80 %, not better",
        worlds.suites("green", 0.80, 1),
        exact=lambda: outlook(gate(Rule(), 1), 0.80).met,
    ),
    Claim(EVENT, "resolved", "the rate stays where an alarm is not over, 1,000 calls", worlds.resolved()),
    Claim(
        TOKENS,
        "better",
        "another wording halves the dud's chance, which is as good as the rest",
        worlds.token_wordings("better", (0.4, 0.2), (0.8, 0.8)),
    ),
    Claim(
        TOKENS,
        "worse",
        "the same wording twice, a token that succeeds in 3 of 10",
        worlds.token_wordings("worse", (0.4, 0.4), (0.3, 0.3)),
    ),
    Claim(
        STRETCHES, "stretches", "separate runs, stopped when decided, 400 at most", worlds.stretches(0.0), 1.0, STRANGE
    ),
    Claim(
        COMPARE,
        "better",
        "the same twice, behind two servers by turns, one fails 70 %, the other never, 60 pairs",
        served.two_servers("better", 0.7),
    ),
    Claim(AUDIT, "replica", "two replicas alike, 300 calls: either is blamed", served.replicas(0.0)),
]

POWER: list[Claim] = [
    Claim(CERTIFY, "met", "fails 0.2 %, target 99 %, 1,500 calls", worlds.certified("met", 0.99, 1500, 0.002), 0.1),
    Claim(CERTIFY, "not_met", "fails 5 %, target 99 %, 400 calls", worlds.certified("not_met", 0.99, 400, 0.05), 0.2),
    Claim(
        "adjudicate.Adjudicated.verdict",
        "met",
        "1 % bad, target 95 %, 600 outputs",
        worlds.adjudicated("met", 0.01),
        0.2,
    ),
    Claim(
        LUCK,
        "worse_than_reference",
        "fails 20 %, reference 5 %, 300 calls",
        worlds.lucky("worse_than_reference", 0.05, 0.2, 300, 1),
        0.1,
    ),
    Claim(
        LUCK, "bad_luck", "fails 5 %, as the reference, 300 calls", worlds.lucky("bad_luck", 0.05, 0.05, 300, -1), 0.1
    ),
    Claim(
        LUCK,
        "not_reproduced",
        "fails 0.1 %, no reference, 200 calls",
        worlds.lucky("not_reproduced", None, 0.001, 200, -1),
        0.1,
    ),
    Claim(COMPARE, "worse", "10 points worse, 250 pairs", worlds.compared({"worse"}, 250, None, 0.10), 0.1),
    Claim(
        COMPARE,
        "no_different",
        "the same, margin 10 points, 250 pairs",
        worlds.compared({"no_different"}, 250, 0.10),
        0.1,
    ),
    Claim(BEST, "best", "one of five at 10 %, the others at 25 %", worlds.best_named(0.10, 0.25, "a"), 0.03),
    Claim(
        WORDINGS,
        "differ",
        "one of eight at 60 %, the others at 10 %, 50 rounds",
        worlds.wordings("differ", [0.1] * 7 + [0.6]),
        0.1,
    ),
    Claim(
        WORDINGS, "no_different", "four at 5 %, margin 20 points", worlds.wordings("no_different", [0.05] * 4, 0.2), 0.1
    ),
    Claim(AUDIT, "load", "under load 40 points more, 300 calls", worlds.audited("L", 0.4), 0.02),
    Claim(AUDIT, "cold_cache", "cold 40 points more, 300 calls", worlds.audited("C", 0.4), 0.02),
    Claim(AUDIT, "replica", "one of two by turns 40 points more, 300 calls", served.replicas(0.4), 0.1),
    Claim(
        WORD,
        "associated",
        "a word with 50 points more failures (or weak), 128 samples",
        worlds.associated({"associated", "weak"}, 0.3, 0.5),
        0.02,
    ),
    Claim(SURPRISE, "usual", "1 in 7 is as improbable, 300 samples", worlds.surprising("usual", 0.15), 0.02),
    Claim(SURPRISE, "rare", "1 in 200 is as improbable, 300 samples", worlds.surprising("rare", 0.005), 0.02),
    Claim(DUD, "dud", "one token costs 30 points or more: named rightly", worlds.duds("dud", planted=True), 0.01),
    Claim(CAUSE, "systematic", "one strong factor: named alone", worlds.inquiries(("single",), "systematic"), 0.01),
    Claim(CAUSE, "systematic", "two that act together: named, both", worlds.inquiries(("and",), "systematic"), 0.01),
    Claim(CAUSE, "systematic", "either of two: named, both", worlds.inquiries(("or",), "systematic"), 0.01),
    Claim(
        FIX,
        "accept",
        "harmless general levers, a whole trial, 6,000 calls",
        worlds.tried(("lever",), "accept", 6000),
        0.006,
    ),
    Claim(
        FIX,
        "reject",
        "special cases and duds, a whole trial, 2,000 calls",
        worlds.tried(("patch", "dud"), "reject", 2000),
        0.012,
    ),
    Claim(STANDS, "earns", "an earlier fix worth 40 points", worlds.piled("earns", 0.4), 0.05),
    Claim(STANDS, "debt", "an earlier fix worth nothing", worlds.piled("debt", 0.0), 0.05),
    Claim(SHADE, "red", "a test that fell to 75 %, in a run of 100", worlds.suites("red", 0.75, 1), 0.5),
    Claim(SHADE, "green", "a test at 99 %", worlds.suites("green", 0.99, 1), 0.5),
    Claim(EVENT, "alarm", "from 1 % to 5 %, 10,000 calls between false alarms", worlds.alarms(0.05, 10_000)),
    Claim(EVENT, "resolved", "back at the baseline, 1,000 calls", worlds.resolved(0.01), 0.2),
    Claim(
        TOKENS,
        "better",
        "another wording takes the dud from 60 % to 10 %; it never succeeds",
        worlds.token_wordings("better", (0.6, 0.1), (0.0, 0.0)),
        0.01,
    ),
    Claim(STRETCHES, "stretches", "four of five runs end as the one before, 400 at most", worlds.stretches(0.8), 0.1),
]

OPEN = "no claim: it says that nothing was shown"
SEEN = "no claim about chance: it was seen to happen"
VOCABULARY: dict[str, dict[str, str]] = {
    CERTIFY: {"met": "", "not_met": "", "undecided": OPEN},
    LUCK: {"worse_than_reference": "", "bad_luck": "", "not_reproduced": "", "undecided": OPEN},
    COMPARE: {"better": "", "worse": "", "no_different": "", "undecided": OPEN},
    BEST: {"best": "", "undecided": OPEN},
    ADJUDICATED: {"met": "", "not_met": "", "undecided": OPEN},
    WORDINGS: {"differ": "", "no_different": "", "undecided": OPEN},
    "variation.Wordings.verdict": {"differ": f"the same evidence as {WORDINGS}", "undecided": OPEN},
    AUDIT: {
        "load": "",
        **dict.fromkeys(("cold_cache", "replica", "model", "parameter"), "one claim with `load`: any blamed"),
        "checker": f"{SEEN}: one output was judged both ways",
        "nondeterminism": f"{SEEN}: temperature 0 both passed and failed",
        "sampling": "what is left over when nothing else was shown; said with the smallest rate that could be seen",
        "steady": "nothing varied in so many runs; said with the smallest rate that could be seen",
        "undecided": OPEN,
    },
    SEED: {"honoured": "", "ignored": f"{SEEN}: one seed brought two answers", "not_known": OPEN},
    WORD: {"associated": "", "weak": "one claim with `associated`", "doomed": "", "undecided": OPEN},
    SURPRISE: {"usual": "", "rare": "", "other_request": "", "undecided": OPEN},
    DUD: {
        "dud": "",
        "doomed": "",
        "slide": "claims nothing that is proved, and says so",
        "unsure": OPEN,
    },
    CAUSE: {"systematic": "", "nothing": "", "not_reproduced": "", "undecided": OPEN},
    "caused.Verdict": {
        "systematic": f"that of {CAUSE}",
        "bad_luck": f"`nothing` of {CAUSE}, in all stages",
        "not_reproduced": f"that of {CAUSE}",
        "checker": f"{SEEN}: outputs judged again were judged otherwise, or a person says so",
        "expectation": f"{SEEN}: a person says so, or it always fails and nothing asks for it",
        "undecided": OPEN,
    },
    FIX: {"accept": "", "reject": "", "undecided": OPEN},
    STATE: {"shown": "", "refuted": "", "open": OPEN, "not_examined": OPEN},
    STANDS: {"earns": "", "debt": "", "unknown": OPEN},
    "wording_rounds.Standing.aside": {"aside": ""},
    SHADE: {"green": "", "red": "", "yellow": OPEN, "invalid": f"{SEEN}: trials that say nothing about the model"},
    EVENT: {
        "alarm": "a false alarm is promised by the time between them: benchmarks/watch.py and drift.py",
        "still": "a later `alarm` of the same stream",
        "resolved": "",
        "silent": "calls that stop; nothing about failures. Promised by the gaps before: watching.fallen_silent",
        "began": SEEN,
        "measured": SEEN,
        "spoke": SEEN,
    },
    TOKENS: {"better": "", "worse": "", "undecided": OPEN},
}
