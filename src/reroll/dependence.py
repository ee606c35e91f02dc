"""What speaks against runs being separate draws of one thing: equal answers, stretches, later tries, many days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reroll.clustering import stretches_of
from reroll.models.local import LocalModel
from reroll.models.model import bare
from reroll.numbers import counts, percent
from reroll.runs import Runs, day_words
from reroll.session import Session, Slots

__all__ = [
    "STRANGE",
    "about_equal_answers",
    "about_later_tries",
    "about_old_controls",
    "about_product",
    "about_span",
    "about_stretches",
]

SAME = 20  # runs of one request that all say the same: fewer do so by chance, too
STRANGE = 0.001  # chance of so few stretches, below which it is said; shared by the cases


def about_equal_answers(session: Session, places: Sequence[Slots], runs: Sequence[Runs]) -> Iterator[str]:
    """That all runs of a request said the very same, where something on the way might keep answers."""
    local = isinstance(bare(session.model), LocalModel) or session.model.name.startswith("recorded:")
    seeded = bool(getattr(bare(session.model), "seeded", False)) and session.project.program.raw is None
    if local or (seeded and session.options.seed is not None):  # nothing is between; or no two requests are the same
        return
    same = [len(some) for some in runs if len(some) >= SAME and _one_answer(some)]
    if not same:
        return
    of = "" if len(places) == 1 else f" of {counts('case', len(same))}"
    anew = "; with --fresh --seed 1 no two requests are the same" if seeded else ""
    yield (
        f"all {counts('run', sum(same))}{of} brought the very same answer; if something on the way keeps answers (a "
        f"cache, a fixed seed), that is one run and not many{anew}"
    )


def _one_answer(runs: Runs) -> bool:
    said = runs.said
    return all(one == said[0] for one in said) and "invalid" not in runs.words()


def about_stretches(places: Sequence[Slots], runs: Sequence[Runs]) -> Iterator[str]:
    """That failures came in stretches, more than chance would bring them: verdicts take runs as independent."""
    for at, some in zip(places, runs, strict=True):
        found = stretches_of(some.words())
        if found is None or found.chance * len(places) >= STRANGE:
            continue
        whose = "" if len(places) == 1 else f" of case `{at.case.id}`"
        yield (
            f"{counts('failure', found.failures)}{whose} came in {counts('stretch', found.stretches)}, where separate "
            f"runs would have about {found.usual:.0f} (chance below {percent(STRANGE)}): runs hang on one another, or "
            "something changed on the way; the verdict and the range take them as separate, and may be wrong"
        )
        return


def about_later_tries(session: Session, places: Sequence[Slots]) -> Iterator[str]:
    """How many runs brought an answer only at a later try, which whoever does not try again would not have had."""
    later = sum(session.store.at_a_later_try(at.request_id, at.series) for at in places)
    if later:
        yield (
            f"{counts('run', later)} brought an answer only at a later try, after a server's error or a time-out, and "
            "count by that answer; a product that does not try again sees those fail (REROLL_TRIES=1 counts so)"
        )


def about_old_controls(controls: Sequence[Runs], runs: Runs) -> Iterator[str]:
    """That the ordinary requests were run days before, or after, this one: what changed meanwhile looks like a
    difference between them."""
    theirs = sorted({day for some in controls for day in some.days()})
    mine = runs.days()
    if theirs and mine and max(mine[-1] - theirs[-1], theirs[0] - mine[0]) > 1:
        yield (
            f"the ordinary requests were run from {day_words(theirs[0])} to {day_words(theirs[-1])}, this one from "
            f"{day_words(mine[0])} to {day_words(mine[-1])}: what changed in between looks like a difference of theirs"
        )


def about_product(session: Session) -> Iterator[str]:
    """That runs of a product are from earlier commands, where nobody sees whether it has changed since."""
    if not (session.project.program.is_product and session.spent.calls and session.spent.reused):
        return
    http = session.model.name.startswith("http:")
    seen = "whether the product has changed since" if http else "what changed in it since, its own modules apart,"
    yield f"some of these runs are from earlier commands, and {seen} cannot be seen; --fresh counts new ones only"


def about_span(session: Session, runs: Sequence[Runs]) -> Iterator[str]:
    """That some of the runs are days older than others: what changed meanwhile under the same name is mixed in."""
    days = sorted({day for some in runs for day in some.days()})
    if session.spent.calls and days and days[-1] - days[0] > 1:
        yield (
            f"the runs are from {day_words(days[0])} to {day_words(days[-1])}: what the server changed meanwhile under "
            "the same name is mixed in; --fresh counts new ones only"
        )
