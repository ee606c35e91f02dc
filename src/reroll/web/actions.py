"""What a page may ask for: each action is a command line built from known fields, priced before it starts.

Nothing of a form reaches a command as an option of its own: every value stands behind `--name=` or `--`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.asking import judging_at_most, usage_at_most
from reroll.auditing import judged_anew_at_most
from reroll.doubting import MOST_ANEW
from reroll.errors import RerollError, UsageError
from reroll.models.prices import FREE, price
from reroll.numbers import counts, money, percent
from reroll.program import content_id
from reroll.project import Project
from reroll.session import Options
from reroll.store_rows import clean
from reroll.web.access import Refused, Visitor
from reroll.web.home import Home

__all__ = ["ACTIONS", "PERSON_BUDGET", "Action", "Offer", "ask", "asked_for", "key_of", "offer"]

MOST_BUDGET = 20_000
MOST_TEXT = 100_000
PERSON_BUDGET = 24  # answers that one person is asked about at most


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a button may do. label: what the button says; budget: calls at most unless a form says less or
    more; `words` makes the command line of the fields."""

    name: str
    label: str
    title: str
    budget: int
    words: Callable[[Mapping[str, str]], list[str]]
    needs: tuple[str, ...] = ()


def _of_case(command: str) -> Callable[[Mapping[str, str]], list[str]]:
    return lambda told: [command, *(["--fresh"] if told.get("fresh") else []), "--", told["case"]]


def _investigate(told: Mapping[str, str]) -> list[str]:
    words = ["investigate"]
    if told.get("case"):
        words.append(f"--case={told['case']}")
    words += [f"--{name}={told[name]}" for name in ("sample", "target") if told.get(name)]
    words += [
        f"--{name}" if told[name] == "yes" else f"--no-{name}" for name in ("forks", "cause", "fixes") if told.get(name)
    ]
    return [*words, "--", told["words"]] if told.get("words") else words


def _certify(told: Mapping[str, str]) -> list[str]:
    return ["certify", f"--target={told['target']}", "--", told["case"]]


def _of_sample(command: str) -> Callable[[Mapping[str, str]], list[str]]:
    return lambda told: [command, "--", told["sample"]]


def _try(told: Mapping[str, str]) -> list[str]:
    more = [f"--suggest={told['suggest']}"] if told.get("suggest") else []
    more += [f"--margin={told['margin']}"] if told.get("margin") else []
    fixes = [name for name in told.get("fix", "").split("\n") if name]
    return ["try", f"--case={told['case']}", *more, *(["--", *fixes] if fixes else [])]


def _neighbours(told: Mapping[str, str]) -> list[str]:
    return ["neighbours", "--", told["case"]]


ACTIONS: Mapping[str, Action] = {
    one.name: one
    for one in (
        Action("rerun", "Run it again", "Running {case} again", 40, _of_case("rerun"), ("case",)),
        Action("investigate", "Measure it", "Measuring what was reported", 400, _investigate),
        Action(
            "certify",
            "Can we say {target}?",
            "Whether {case} works {target} of the time",
            400,
            _certify,
            ("case", "target"),
        ),
        Action("forks", "Find the dud token", "Where this run went wrong", 400, _of_sample("forks"), ("sample",)),
        Action(
            "surprise",
            "How unlikely was this?",
            "How unlikely this completion is",
            60,
            _of_sample("surprise"),
            ("sample",),
        ),
        Action("cause", "Find the cause", "What makes {case} fail", 400, _of_case("cause"), ("case",)),
        Action("futures", "List its futures", "What {case} can say", 400, _of_case("futures"), ("case",)),
        Action(
            "phrase", "Is it the wording?", "Whether the wording of {case} matters", 400, _of_case("phrase"), ("case",)
        ),
        Action(
            "words",
            "Hold them against each other",
            "Two wordings of {case}, token by token",
            400,
            lambda told: ["phrase", f"--tokens=input.{told['input']}={told['other']}", "--", told["case"]],
            ("case", "input", "other"),
        ),
        Action(
            "audit", "What varies here?", "Where the variation of {case} comes from", 400, _of_case("audit"), ("case",)
        ),
        Action("try", "Try it", "Trying fixes on {case}", 2000, _try, ("case",)),
        Action("neighbours", "Make neighbours", "Neighbours and look-alikes of {case}", 100, _neighbours, ("case",)),
    )
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One button: what it does, what it says, and what it may cost. usd None: not known."""

    do: str
    label: str
    fields: Mapping[str, str]
    calls: int
    usd: float | None
    here: bool  # the model runs on this machine, or was paid for
    judged: int = 0  # calls of judges on top

    @property
    def price(self) -> str:
        """What it may cost, in words: `up to 40 calls, free: the model runs here`."""
        cost = "free: the model runs here" if self.here else money(self.usd)
        judged = f" and {self.judged:,} of the judge" if self.judged else ""
        return f"up to {counts('call', self.calls)}{judged}, {cost}"


def offer(
    home: Home, project: Project, do: str, *, label: str | None = None, budget: int | None = None, **fields: str
) -> Offer:
    """The button for an action, with its price: nothing costs anything before somebody saw it.

    Raises: KeyError for an unknown action.
    """
    action = ACTIONS[do]
    calls = min(budget or action.budget, home.budget or MOST_BUDGET)
    return Offer(
        do,
        (label or action.label).format_map(_Blank(fields)),
        {**fields, "budget": str(calls)},
        calls,
        *_price(project, fields.get("case"), calls, _anew(do, fields, project, calls)),
    )


def _anew(do: str, fields: Mapping[str, str], project: Project, calls: int) -> int:
    """How often at most a judge is asked about the same answers again."""
    if do == "audit":
        return judged_anew_at_most(calls)
    said = fields.get("cause")
    looks = do == "cause" or (do == "investigate" and (said == "yes" or (not said and project.program.runs_here)))
    return MOST_ANEW if looks else 0


def _price(project: Project, case_id: str | None, calls: int, anew: int) -> tuple[float | None, bool, int]:
    """The most that so many calls cost, None where that is not known; whether they cost nothing; calls of judges, who
    are asked `anew` more times about the same answers."""
    program = project.program
    kind, _, name = program.model.partition(":")
    cases = [c for c in project.cases if c.id == case_id] or list(project.cases)
    try:
        usage = usage_at_most(project, cases, Options(budget=calls), controls=False)
    except (RerollError, ValueError):
        return (0.0, True, 0) if kind in FREE else (None, False, 0)
    judged, for_judges = judging_at_most(cases, calls, usage, anew)
    place = kind if kind in FREE else program.base_url or kind.partition("-")[0]
    usd = price(name or kind, usage, place)
    whole = None if usd is None or for_judges is None else usd + for_judges
    return whole, kind in FREE and not judged, judged


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "it"


def asked_for(home: Home, form: Any, who: Visitor) -> Any:
    """The job for what a form asks: a new one, or the one that does the very same now.

    Raises: Refused for an action that there is not, and for a person without the right to run; UsageError for fields
    that make no sense.
    """
    if not who.may_run:
        raise Refused(403, "your access lets you read, not run; ask whoever gave it to you for the scope `run`")
    told = {
        k: str(v) for k in form if k not in ("mark", "back") and (v := "\n".join(map(str, form.getlist(k)))).strip()
    }
    action = ACTIONS.get(told.pop("do", ""))
    if action is None:
        raise Refused(400, "there is no such action; reload the page and press the button again")
    _makes_sense(told, action.needs)
    _known(home, told)
    return ask(home, action, told, who)


def ask(home: Home, action: Action, told: Mapping[str, str], who: Visitor, report_id: str | None = None) -> Any:
    """The job that does this, new or already there. Raises: UsageError for a budget that is none."""
    budget = _budget(told.get("budget"), action.budget, home.budget)
    most = _most_usd(home, who)
    words = action.words(told)
    at = words.index("--") if "--" in words else len(words)
    words[at:at] = [f"--budget={budget}", *([] if most is None else [f"--max-usd={most:g}"])]
    job, _ = home.store.ask_job(
        words,
        title=action.title.format_map(_Blank(_in_words(told))),
        key=key_of(words, home),
        by=who.name,
        token_id=who.token,
        case_id=told.get("case"),
        report_id=report_id,
        max_calls=budget,
        max_usd=most,
    )
    return job


def key_of(words: Sequence[str], home: Home) -> str:
    """What two jobs have in common that do the very same: their words, and the folder of their project."""
    return content_id("jk1", [[clean(word) for word in words], str(home.folder.resolve())])


def _in_words(told: Mapping[str, str]) -> dict[str, str]:
    """The fields as a title says them: a target in percent."""
    target = _number(told.get("target", ""))
    return {**told, **({"target": percent(target)} if 0 < target < 1 else {})}


def _most_usd(home: Home, who: Visitor) -> float | None:
    """What one job may cost now: by the server's cap and what is left of the access token's. Raises: Refused."""
    token = None if who.token is None else next((t for t in home.store.tokens() if t.id == who.token), None)
    if token is None or token.max_usd is None:
        return home.max_usd
    spent = home.store.spent_by_token(token.id)
    if spent is None:
        raise Refused(
            403, "what your earlier jobs cost is not known, so your access cannot be held to its cap; ask for another"
        )
    left = token.max_usd - spent
    if left <= 0:
        raise Refused(
            403, f"your access may spend {money(token.max_usd)}, and that is spent; ask whoever gave it to you"
        )
    return left if home.max_usd is None else min(left, home.max_usd)


def _makes_sense(told: Mapping[str, str], needs: Sequence[str]) -> None:
    missing = [name for name in needs if not told.get(name)]
    if missing:
        raise UsageError(f"`{missing[0]}` is missing; reload the page and press the button again", slug="serve-field")
    for name, value in told.items():
        if len(value) > MOST_TEXT:
            raise UsageError(
                f"`{name}` has {counts('character', len(value))}, more than {MOST_TEXT:,}; leave out what is not "
                f"needed",
                slug="serve-field",
            )
        if "\0" in value:
            raise UsageError(
                f"`{name}` has a character that no request can hold (NUL); take it out", slug="serve-field"
            )


def _known(home: Home, told: Mapping[str, str]) -> None:
    """Raises: UsageError for a value that names nothing of this project.

    What a command takes for a file, another address or code of its own is never for a page to say: a case, a sample and
    a fix are named by their ids alone.
    """
    project = home.project()
    cases = {c.id: c for c in (*project.cases, *project.reported)}
    if "case" in told and told["case"] not in cases:
        raise UsageError(f"there is no case `{told['case'][:80]}` in this project", slug="no-case")
    if "sample" in told:
        home.store.sample(told["sample"])
    if "input" in told and told["input"] not in cases[told["case"]].input:
        raise UsageError(f"the case has no input `{told['input'][:80]}`", slug="serve-field")
    fixes = {fix.fix for fix in project.fixes}
    for name in told.get("fix", "").split("\n"):
        if name and name not in fixes and not re.fullmatch(r"idea:[0-9]{1,6}", name):
            raise UsageError(f"there is no fix `{name[:80]}` in this project's folder `fixes`", slug="serve-field")
    for name, low, high in (("target", 0.0, 1.0), ("margin", 0.0, 1.0), ("suggest", 0.0, 21.0)):
        if name in told and not low < _number(told[name]) < high:
            raise UsageError(f"`{name}` lies between {low:g} and {high:g}, got {told[name][:40]!r}", slug="serve-field")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _budget(given: str | None, usual: int, most: int | None) -> int:
    try:
        wanted = int(given) if given else usual
    except ValueError:
        raise UsageError(f"{given!r} is no number of calls", slug="serve-field") from None
    if not 1 <= wanted <= MOST_BUDGET:
        raise UsageError(f"the number of calls lies between 1 and {MOST_BUDGET:,}", slug="serve-field")
    return min(wanted, most or MOST_BUDGET)
