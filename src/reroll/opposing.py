"""The case as reported and otherwise, in pairs of runs: what many parts carry together, a wording, a look-alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reroll.answer import OutcomeWord
from reroll.compare import compare_path
from reroll.evidence import Est, Evidence
from reroll.factor import Factor, groups_of
from reroll.inquiry import Ask, Found, Inquiry
from reroll.screening import Screening

__all__ = [
    "GIVES_UP",
    "GOES_ON",
    "GROUP_EARLY",
    "GROUP_LAST",
    "GROUP_LEANS",
    "GROUP_MOST",
    "LEADS",
    "LIKELY",
    "OPEN",
    "Opposed",
    "Paired",
    "group_first",
    "leaning_groups",
]

# Many parts of one kind are held against none of them where fewer runs fail the more of them are neutral: at the end of
# the screen by so many standard errors, and already after so many screening calls that brought no likely set by more.
# Of a request's own sentences several may do together what none does alone: those are always tried in the end, as is
# how it is worded.
GROUP_LEANS, GROUP_EARLY, GROUP_AFTER, GROUP_OWN = 1.0, 2.5, 160, 3
GROUP_LAST = 0.0  # and where calls are left over
GROUP_MOST = 400  # calls that it may take
# After so many pairs that lie fewer standard errors from no difference: while others may yet carry it, and once calls
# are left over that nothing else is asked with.
GIVES_UP, GOES_ON = ((48, 1.0), (24, 0.5)), ((192, 2.0), (96, 0.5), (48, 0.1))
LIKELY = 0.5  # a set of few that is likelier than this is tried first
PAIRS = 4  # at once
HOPELESS, HARDLY = 20, 0.05  # pairs after which what fails about as often is given up
LEADS = 2.5  # standard errors: so much is followed as far as there are calls, and so much the other way no further
OPEN = 2.0  # standard errors from no difference, that are no verdict and too much to speak of chance


@dataclass(frozen=True, slots=True)
class Paired:
    """What the pairs came to. found: it fails less often otherwise; None: that is not shown.

    reported: outcomes of the runs as reported; broken_off: a call was not made; open: it ended with much of a
    difference, and no verdict.
    """

    found: Found | None
    reported: tuple[OutcomeWord, ...]
    broken_off: bool = False
    open: bool = False


def leaning_groups(parts: Sequence[Factor], inquiry: Inquiry, least: float, most: int) -> list[Factor]:
    """Many parts of one kind, of which the more are neutral the fewer runs fail, or how it is worded, which may add
    less than the screen looks for; what leans most first."""
    wording = tuple(f for f in parts if f.place[0] == "wording")
    groups = (*groups_of(parts, inquiry.doubtful()), *wording)

    def own(group: Factor) -> bool:
        several = len(group.members) >= GROUP_OWN or group in wording
        return least < GROUP_EARLY and not group.shared and several

    leaning = [(inquiry.leans([parts.index(f) for f in group.members or (group,)]), group) for group in groups]
    best = sorted((one for one in leaning if one[0] >= least or own(one[1])), key=lambda one: -one[0])
    return [group for _, group in best[:most]]


def group_first(parts: Sequence[Factor], inquiry: Inquiry) -> bool:
    """Whether many parts of one kind look likelier by now than any few."""
    if inquiry.screened < GROUP_AFTER or inquiry.trying or inquiry.likeliest >= LIKELY:
        return False
    return bool(leaning_groups(parts, inquiry, GROUP_EARLY, 1))


@dataclass(slots=True)
class Opposed:
    """The case as reported and with the only factor of the screening neutral, in pairs of runs: as many as there are so
    far, and by how many standard errors fewer fail otherwise.

    share: of alpha; left: calls that may be made.
    """

    screening: Screening
    share: float
    left: Callable[[], int]
    pairs: list[tuple[OutcomeWord, OutcomeWord]] = field(default_factory=list)
    drop: float = 0.0
    lean: float = 0.0

    @property
    def hopeless(self) -> bool:
        """Whether so many pairs fail about as often otherwise, or more often, that it is given up."""
        return (len(self.pairs) >= HOPELESS and self.drop < HARDLY) or self.lean <= -LEADS

    async def go_on(self, most: int | None, gives_up: Sequence[tuple[int, float]]) -> Paired:
        """Add pairs until it is shown to fail less often otherwise, by the coin test that holds at every look; so it
        may be gone on with after it was given up.

        Args:    most: calls, those of the pairs there are included, more only where they lean as no chance does; None:
                 all that are left; gives_up: after so many pairs that lean so little (nothing said: after `HOPELESS`
                 that hardly lean), or that fail more otherwise.
        """
        overall = self.screening.session.options.alpha
        before = len(self.pairs)
        while (most is None or len(self.pairs) < most // 2 or self.lean >= LEADS) and self.left() >= 2 * PAIRS:
            number = len(self.pairs) // PAIRS + 1
            asks = [Ask("case", frozenset(k), "verify", number) for _ in range(PAIRS) for k in ((), (0,))]
            outcomes = await self.screening.outcomes(asks, bland=False)
            whole = zip(outcomes[::2], outcomes[1::2], strict=True)
            both = [(mine, other) for mine, other in whole if mine is not None and other is not None]
            self.pairs += both
            reported = tuple(mine for mine, _ in self.pairs[before:])
            if len(both) < PAIRS:
                return Paired(None, reported, broken_off=True)
            seen = compare_path(self.pairs, self.share * overall)
            if seen.verdict == "better":  # a range as all are
                return Paired(_shown(compare_path(self.pairs, overall).difference, len(self.pairs)), reported)
            n = len(self.pairs)
            self.drop = -(seen.difference.value or 0.0)
            self.lean = self.drop * n / max(1, sum(mine != other for mine, other in self.pairs)) ** 0.5
            given_up = self.lean <= -LEADS if gives_up else self.hopeless
            if given_up or any(n >= least and self.lean < lean for least, lean in gives_up):
                return Paired(None, reported)
        return Paired(None, tuple(mine for mine, _ in self.pairs[before:]), open=self.lean >= OPEN)


def _shown(difference: Est, pairs: int) -> Found:
    assert difference.value is not None
    assert difference.low is not None
    assert difference.high is not None
    effect = Est(-difference.value, -difference.high, -difference.low, pairs)
    calls = {"verify": 2 * pairs}
    return Found("systematic", "one", ((0, effect),), effect, (), (), (), None, Evidence(), calls, None, "")
