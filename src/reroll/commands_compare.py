"""The command that compares variants of a program."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from reroll.answer import Comparison, to_json
from reroll.arguments import About, CaseSet, Certify, Common, Pictures, Spending
from reroll.comparing import Compare, compare_variants
from reroll.errors import UsageError
from reroll.job_summary import comparison_table, into_summary
from reroll.measuring import with_sessions
from reroll.opening import project_of, store_of
from reroll.options import chosen_cases, options_of
from reroll.output import say
from reroll.paired import pair_threshold
from reroll.pictures import can_be_drawn, present
from reroll.program import Program
from reroll.project import Project
from reroll.variant import added_by
from reroll.wording import BASELINE, variant_of

__all__ = ["compare"]

BROKE_OFF = 4
GATES = {"better": 0, "no_different": 0, "worse": 1, "undecided": 3}


def compare(
    variants: Sequence[str],
    case: Sequence[str],
    sets: Sequence[CaseSet],
    about: About,
    margin: float | None,
    repeats: int,
    common: Common,
    spending: Spending,
    pictures: Pictures,
) -> int:
    from reroll.render.compared import show_comparison

    can_be_drawn(pictures)
    project = project_of(common)
    names = _names(variants, project)
    programs = [variant_of(project, name) for name in names]
    _differ(names, programs)
    for added in added_by(project.program, names):
        say(added)
    margin = project.program.margin if margin is None else margin
    _fits(about, margin, repeats, len(names), spending)
    kind, cases = chosen_cases(Certify(tuple(case), about=about, sets=tuple(sets)), project)
    asked = Compare(
        tuple(names), cases, "population" if kind == "population" else "suite", margin, repeats, spending.gate
    )
    projects = [replace(project, program=program) for program in programs]
    with store_of(common, project) as store:
        found = with_sessions(
            projects, store, spending, cases, cases, lambda all: compare_variants(all, asked), names=names
        )
    present(
        "reroll compare",
        lambda: to_json(found, "reroll.compare/1"),
        lambda page: show_comparison(found, page),
        common,
        pictures,
    )
    if spending.gate:
        into_summary(comparison_table(found))
    if not found.finished:
        return BROKE_OFF
    return _gate(found) if spending.gate else 0


def _gate(found: Comparison) -> int:
    """Whether anything is shown to be worse than the first, or still open; harm below the margin is none."""
    codes = {0 if pair.harmless else GATES[pair.verdict] for pair in found.pairs}
    return 1 if 1 in codes else 3 if 3 in codes else 0


def _names(variants: Sequence[str], project: Project) -> list[str]:
    """What is compared, the baseline first where only one was named."""
    if not variants:
        known = [f"{part}={value}" for part, values in project.program.alternatives.items() for value in values]
        hint = f"; program.yaml names as alternatives: {', '.join(known)}" if known else ""
        raise UsageError(f"name variants to compare, such as `system.role=` or another program.yaml{hint}")
    if list(variants) == [BASELINE]:
        raise UsageError("name what the baseline is held against, such as `system.role=` or another program.yaml")
    return [BASELINE, *variants] if len(variants) == 1 else list(variants)


def _differ(names: Sequence[str], programs: Sequence[Program]) -> None:
    first: dict[str, str] = {}
    recorded: dict[str, str] = {}
    for name, program in zip(names, programs, strict=True):
        if program.model.startswith("recorded:") and (other := recorded.setdefault(program.model, name)) != name:
            raise UsageError(
                f"`{other}` and `{name}` read the same recording, which no change of the program alters; compare "
                "model=recorded:FILE#variant=... of two recordings",
                slug="no-variant",
            )
        if names.count(name) > 1:
            raise UsageError(f"`{name}` is named twice; name each variant once", slug="no-variant")
        same = first.setdefault(program.id, name)
        if same != name:
            raise UsageError(
                f"`{same}` and `{name}` are the same program, so there is nothing to compare", slug="no-variant"
            )


def _fits(about: About, margin: float | None, repeats: int, variants: int, spending: Spending) -> None:
    """Raises: UsageError for what cannot be asked together."""
    if about == "case":
        raise UsageError("a comparison is about a suite or the population; name one case by --case", slug="about")
    if margin is not None and not 0 < margin < 1:
        raise UsageError(f"--margin is a difference of failure rates in 0...1, such as 0.05; got {margin:g}")
    if repeats < 1 or (repeats > 1 and about != "population"):
        raise UsageError(f"--repeats is a number of pairs per case for --about population, got {repeats}")
    if repeats > 1 and variants > 2:
        raise UsageError("--repeats is for two variants; compare them two by two, or leave it out")
    options = options_of(spending)
    if 0 < options.budget < variants * repeats:
        raise UsageError(
            f"--budget {options.budget} is too small: one draw of each variant takes {variants * repeats} calls",
            slug="budget",
        )
    if options.horizon is None:
        return
    if variants > 2 or repeats > 1:
        raise UsageError("--horizon is for two variants and one pair per draw; leave it out", slug="horizon")
    least = next(n for n in itertools.count(1) if _can_end(n, options.alpha))
    if options.horizon < 2 * least:
        raise UsageError(
            f"--horizon {options.horizon} is too near: {least} pairs, {2 * least} calls, are the fewest that can tell; "
            f"declare {2 * least} or more",
            slug="horizon",
        )


def _can_end(pairs: int, alpha: float) -> bool:
    """Whether so many pairs could show anything at all."""
    try:
        pair_threshold(alpha, pairs)
    except ValueError:
        return False
    return True
