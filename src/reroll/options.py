"""What a command was told about calls, money and targets, held against what can work before anything is called."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reroll.arguments import About, Certify, Spending
from reroll.case import Case
from reroll.errors import UsageError
from reroll.models.choices import choices_of
from reroll.program import Program
from reroll.project import Project
from reroll.session import Options
from reroll.settings import MOST, setting
from reroll.verdict import least_certificate

if TYPE_CHECKING:
    from reroll.models.model import Model

__all__ = [
    "can_be_capped",
    "can_be_measured",
    "chosen_cases",
    "margin_of",
    "on_cluster",
    "options_of",
    "target_of",
    "whole_calls",
    "within_reach",
    "writable",
]

# Rates nearer to 0 or 1 than this take more calls than anybody makes, and more digits than a float holds.
TARGETS = (0.0001, 0.99999)
REFERENCES = (0.0001, 0.9999)


def margin_of(value: float | None, usual: float, name: str = "--margin") -> float:
    """The rise of a failure rate that is harm: what was told, or what is usual. Raises: UsageError out of range."""
    if value is not None and not 0.001 <= value <= 0.5:
        raise UsageError(
            f"{name} is a rise of the failure rate between 0.001 and 0.5, such as 0.02; got {value:g}", slug="try"
        )
    return usual if value is None else value


def options_of(spending: Spending) -> Options:
    """The options in force. Raises: UsageError for one that makes no sense."""
    given = {
        "alpha": spending.alpha,
        "budget": spending.budget,
        "concurrency": spending.concurrency,
        "control_share": None,
        "max_seconds": spending.max_seconds,
        "method": getattr(spending, "method", None),
    }
    values = {name: setting(name, value) for name, value in given.items()}
    if not 0 < values["alpha"] < 0.5:
        raise UsageError(f"--alpha is a chance between 0 and 0.5, such as 0.05; got {values['alpha']:g}", slug="alpha")
    for name in ("budget", "horizon", "concurrency", "actors"):
        value = getattr(spending, name)
        if value is not None and value < 1 and not (name == "budget" and value == 0):
            raise UsageError(f"--{name} must be 1 or more, got {value}", slug=name)
        if value is not None and value > MOST:
            raise UsageError(f"--{name} must be {MOST:,} or less, got {value}", slug=name)
    usd = spending.max_usd
    if usd is not None and not (math.isfinite(usd) and usd > 0):
        raise UsageError(f"--max-usd must be more than 0, a sum in US dollars, got {usd:g}", slug="max-usd")
    seconds = values["max_seconds"]
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--max-seconds must be more than 0, a time in seconds, got {seconds:g}", slug="max-seconds")
    return Options(**values, horizon=spending.horizon, max_usd=usd, seed=spending.seed)


def on_cluster(
    spending: Spending, environment: Mapping[str, str] | None = None
) -> tuple[str | None, int | None] | None:
    """The address (None: a cluster of our own) and the number of actors (None: as many as suit it); None: no cluster.

    Raises: UsageError where options of a cluster are given without --engine ray.
    """
    environment = os.environ if environment is None else environment
    if setting("engine", spending.engine, environment) != "ray":
        for name in ("cluster", "actors"):
            if getattr(spending, name) is not None:
                raise UsageError(f"--{name} is for --engine ray; add that, or leave --{name} out", slug="engine")
        return None
    address = setting("cluster", spending.cluster, environment) or environment.get("RAY_ADDRESS") or None
    return address, setting("actors", spending.actors, environment)


def target_of(target: float | None, name: str = "--target") -> float | None:
    """The target, if it can be shown at all. Raises: UsageError."""
    low, high = TARGETS
    if target is not None and not low <= target <= high:
        raise UsageError(
            f"{name} is a success rate between {low:g} and {high:g}, such as 0.99; got {target!r}", slug="target"
        )
    return target


def within_reach(target: float, options: Options) -> None:
    """Raises: UsageError for a horizon within which no run at all could reach the target."""
    least = least_certificate(target, options.alpha)
    if options.horizon is not None and options.horizon < least:
        raise UsageError(
            f"--horizon {options.horizon} is too near: {target:g} with an error chance of {options.alpha:g} takes at "
            f"least {least:,} calls, all of them passes; declare {least:,} or more",
            slug="horizon",
        )


def chosen_cases(told: Certify, project: Project, default: About | None = None) -> tuple[About, tuple[Case, ...]]:
    """What a claim is about, and over which cases. Raises: UsageError where that is not clear.

    A suite is all cases of the project, a population its control cases, unless cases or --set say otherwise.
    """
    about = told.about or ("case" if len(told.cases) == 1 else default)
    if about is None:
        more = "; or --about suite, for the mean over these cases" if told.cases else ""
        raise UsageError(f"name one case to certify{more or '; or --about suite, or --about population'}", slug="about")
    if told.cases and told.sets:
        raise UsageError("name cases or choose them by --set, not both", slug="about")
    if about == "case" and (len(told.cases) != 1 or told.sets):
        raise UsageError("--about case is about one case; name it, or say --about suite", slug="about")
    if told.cases:
        cases = tuple(project.case(name) for name in dict.fromkeys(told.cases))
    else:
        sets = told.sets or (("control",) if about == "population" else ())
        cases = tuple(c for c in project.cases if c.checks and (not sets or c.set in sets))
    for case in cases:
        if not case.checks:
            raise UsageError(f"case `{case.id}` has no checks, so nothing says what a right answer is", slug="no-check")
    if not cases:
        which = f" with `set: {' or '.join(told.sets or ('control',))}`" if about == "population" or told.sets else ""
        there = sorted({case.set for case in project.cases if case.checks})
        hint = f"; of its sets take {' or '.join(f'--set {name}' for name in there)}" if which and there else ""
        raise UsageError(f"{project.path / 'cases.yaml'} has no case{which} that has checks{hint}", slug="no-case")
    return about, cases


def can_be_measured(program: Program, folder: Path) -> None:
    """Raises: UsageError where its rates make no sense, or repeating the call would repeat what it does."""
    file = folder / "program.yaml"
    target_of(program.target, f"{file}: `target`")
    (low, high), rate = REFERENCES, program.reference_rate
    if rate is not None and not low <= rate <= high:
        raise UsageError(
            f"{file}: `reference_rate` is a failure rate between {low:g} and {high:g}, such as 0.02; got {rate!r}",
            slug="file",
        )
    if program.effects == "real":
        raise UsageError(
            f"program `{program.program}` declares `effects: real`, and repeating a call repeats what it does; "
            "point it at a sandbox and declare `effects: sandbox`",
            slug="effects",
        )
    if program.effects is None and program.model.split(":")[0] in ("python", "http"):
        raise UsageError(
            f"program `{program.program}` runs your own code, and repeating a call repeats what it does; "
            "declare `effects: none` or `effects: sandbox` in program.yaml",
            slug="effects",
        )


def whole_calls(model: Model, program: Program, options: Options) -> None:
    """Raises: UsageError where calls that bring several completions each cannot make up the horizon or the budget."""
    size, budget, horizon = choices_of(model, program.sampling), options.budget, options.horizon
    if horizon is not None and horizon % size:
        below = horizon // size * size
        fits = f"{below} or {below + size}" if below else f"{size}"
        raise UsageError(
            f"--horizon {horizon} is no number of whole calls: `n` brings {size} samples a call; declare {fits}",
            slug="horizon",
        )
    if 0 < budget < size:
        raise UsageError(
            f"--budget {budget} is too small: `n` brings {size} samples a call, and budgets count samples",
            slug="budget",
        )


def can_be_capped(model: Model, options: Options) -> None:
    """Raises: UsageError where a cap on money could never stop the run, since nobody knows the price."""
    if options.max_usd is not None and not model.priced:
        raise UsageError(
            f"--max-usd could never stop this run, since the price of {model.identity} is not known; "
            "leave it out and limit the calls with --budget",
            slug="max-usd",
        )


def writable(path: Path, option: str) -> Path:
    """The path, if a file can be made there: asked before anything is paid for. Raises: UsageError."""
    folder = path.parent
    problem = "is a folder" if path.is_dir() else "" if folder.is_dir() else f"needs the folder {folder}"
    if not problem:
        existed = path.exists()
        try:
            path.open("ab").close()
            if not existed:
                path.unlink()
        except OSError as error:
            problem = f"cannot be written: {(error.strerror or str(error)).lower()}"
    if problem:
        raise UsageError(f"{path} {problem}; choose another {option}", slug="out")
    return path
