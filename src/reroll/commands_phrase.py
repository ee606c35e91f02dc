"""The command that holds wordings of one request against each other: over whole requests, or at one token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reroll.answer import Cost
from reroll.arguments import Common, Pictures, Spending
from reroll.case import Case
from reroll.errors import UsageError
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.options import options_of
from reroll.output import say
from reroll.paraphrase import paraphrases
from reroll.phrased import Phrased, PhrasePrice
from reroll.phrasing import Asked, ask_phrase
from reroll.pictures import can_be_drawn, present
from reroll.project import Project
from reroll.reworded import Dropped, Reworded
from reroll.rewording import Compared, compare_wordings
from reroll.session import Session
from reroll.store import Store
from reroll.variant import added_by
from reroll.wording import BASELINE, Wording, said_so, text_of, wordings_of
from reroll.writing import asks_for_wordings, writer, written_wordings

__all__ = ["Worded", "phrase"]

BROKE_OFF = 4
GATES = {"better": 0, "worse": 1, "undecided": 3, None: 3}  # a screen shows nothing: a gate stays shut
WORDING_GATES = {"no_different": 0, "differ": 1, "undecided": 3}
MECHANICAL = 7  # wordings made by rule, unless said otherwise: with the one as asked 8, so 50 rounds of a usual budget
MOST = 200  # wordings


@dataclass(frozen=True, slots=True)
class Worded:
    """Wordings of whole requests: named; by rule, at most so many; so many that the model writes. margin: of rates."""

    named: tuple[str, ...] = ()
    by_rule: int | None = None
    write: int = 0
    margin: float | None = None


def phrase(
    case: str,
    tokens: Sequence[str],
    asked: Asked,
    worded: Worded,
    common: Common,
    spending: Spending,
    pictures: Pictures,
) -> int:
    _fits(tokens, asked, worded, spending)
    can_be_drawn(pictures)
    project = project_of(common)
    chosen = project.case(case)
    if not chosen.checks:
        raise UsageError(f"case `{case}` has no checks, so nothing says what a right answer is", slug="no-check")
    if not tokens:
        return _whole(project, chosen, worded, common, spending, pictures)
    return _at_token(project, chosen, tokens, asked, common, spending, pictures)


def _fits(tokens: Sequence[str], asked: Asked, worded: Worded, spending: Spending) -> None:
    """Raises: UsageError for what makes no sense, alone or together."""
    if spending.horizon is not None:
        raise UsageError("what `phrase` says holds however often one looks; leave --horizon out", slug="horizon")
    if not 0 < asked.width <= 1:
        raise UsageError(f"--width is in points of success, above 0 and at most 1, got {asked.width:g}", slug="phrase")
    for_whole = (worded.named, worded.by_rule is not None, worded.write, worded.margin is not None)
    if tokens and any(for_whole):
        option = ("--wordings", "--by-rule", "--write", "--margin")[[bool(x) for x in for_whole].index(True)]
        raise UsageError(
            f"{option} compares whole requests, and --tokens one token of the answer; leave one of the two out",
            slug="phrase",
        )
    if not tokens and (asked.sample is not None or asked.at is not None):
        option = "--sample" if asked.sample is not None else "--at"
        raise UsageError(
            f"{option} is about one token of the answer: name the wordings with --tokens, or leave it out",
            slug="phrase",
        )
    asks_for_wordings(worded.write)
    if worded.by_rule is not None and not 0 <= worded.by_rule <= MOST:
        raise UsageError(f"--by-rule is a number of wordings, from 0 to {MOST}, got {worded.by_rule}", slug="phrase")
    if worded.margin is not None and not 0 < worded.margin < 1:
        raise UsageError(
            f"--margin is a difference of failure rates in 0...1, such as 0.1; got {worded.margin:g}", slug="phrase"
        )


# -- whole requests ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Chosen:
    """The wordings so far, each with its kind: none twice."""

    project: Project
    case: Case
    wordings: list[Wording] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    requests: set[str] = field(default_factory=set)

    def add(self, one: Wording, kind: str) -> bool:
        """Whether it was taken: another wording that sends the same request says nothing new."""
        request = one.program.render(self.case.input, self.case.history).id("")
        if request in self.requests:
            return False
        self.requests.add(request)
        self.wordings.append(one)
        self.kinds.append(kind)
        return True


def _whole(project: Project, case: Case, worded: Worded, common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.reworded import show_reworded

    options = options_of(spending)
    chosen, text = _chosen(project, case, worded)
    dropped: list[Dropped] = []
    with store_of(common, project) as store:
        before: Cost | None = None
        if worded.write:
            written, dropped, before = _written(project, case, text, worded.write, store, spending, chosen)
            for k, words in enumerate(written, 1):
                chosen.add(said_so(project.program, case, f"written-{k}", words), "written")
        found = chosen.wordings
        if len(found) < 2:
            raise UsageError(
                f"there is no other wording of case `{case.id}`: no rule applies to its words"
                f"{f', and none of {worded.write} replies could be used' if worded.write else ''}; name some with "
                "--wordings",
                slug="no-wording",
            )
        if len(found) > MOST:
            raise UsageError(f"{len(found)} wordings are too many to compare; name {MOST} at most", slug="no-wording")
        left = options.budget - (before.samples if before else 0)
        if left < len(found):
            raise UsageError(
                f"--budget is too small: a round of {counts('wording', len(found))} takes as many calls, and there are "
                f"{max(0, left)}",
                slug="budget",
            )
        asked = Compared(tuple(found), tuple(chosen.kinds), worded.margin, worded.write, tuple(dropped))
        _told_rounds(len(found), left, spending)

        async def work(sessions: Sequence[Session]) -> Reworded:
            if before is not None:
                sessions[0].spent.carry(before)
                if options.max_seconds is not None:
                    sessions[0].spent.begin(options.max_seconds - before.seconds)
            return await compare_wordings(sessions, case, asked)

        projects = [replace(project, program=one.program) for one in found]
        names = [one.name for one in found]
        answer = with_sessions(projects, store, spending, (case,), (case,), work, names=names)
    name = f"reroll phrase {case.id}"
    present(name, answer.as_json, lambda page: show_reworded(answer, page), common, pictures)
    if not answer.finished:
        return BROKE_OFF
    return WORDING_GATES[answer.verdict] if spending.gate else 0


def _chosen(project: Project, case: Case, worded: Worded) -> tuple[_Chosen, str]:
    """The wordings that take no call, the one as it is asked first; and the words that rules and models start from."""
    program = project.program
    chosen = _Chosen(project, case)
    named = [name for name in worded.named if name != BASELINE]
    fixed = program.raw is not None or program.is_product
    if fixed and not named:
        text_of(program, case)  # says why nothing can be put into it
    if named:
        baseline, *others = wordings_of(project, case, [BASELINE, *named])
        for added in added_by(project.program, named):
            say(added)
        chosen.add(baseline, "asked")
        for one in others:
            chosen.add(one, "named")
    else:
        chosen.add(Wording(BASELINE, program, text_of(program, case)), "asked")
    if fixed:
        return chosen, ""
    text = text_of(program, case)
    most = MECHANICAL if worded.by_rule is None else worded.by_rule
    taken = 0
    for by_rule in paraphrases(text):
        if taken < most:
            taken += chosen.add(said_so(program, case, by_rule.kind, by_rule.text), by_rule.kind)
    return chosen, text


def _written(
    project: Project, case: Case, text: str, write: int, store: Store, spending: Spending, chosen: _Chosen
) -> tuple[list[str], list[Dropped], Cost]:
    """What the case's own model wrote, what was dropped of it, and what that took."""
    asking, cases = writer(project, case, text)
    others = [one.says for one in chosen.wordings]
    if not spending.quiet:
        say(f"asking the model for {counts('wording', write)}, a call each")

    async def work(sessions: Sequence[Session]) -> tuple[list[str], list[Dropped], Cost]:
        usable, dropped = await written_wordings(sessions[0], cases, text, write, others)
        return usable, dropped, sessions[0].spent.cost()

    budget = min(options_of(spending).budget, write)
    return with_sessions(
        [asking], store, replace(spending, budget=budget), cases, cases, work, names=("writer",), alone=True
    )


def _told_rounds(wordings: int, left: int, spending: Spending) -> None:
    """What it will take, before the first run."""
    if not spending.quiet:
        say(
            f"{counts('wording', wordings)}, each run once a round, side by side: at most "
            f"{counts('round', left // wordings)}, {counts('call', left)} in all; it stops as soon as the answer is "
            "known; Ctrl-C stops it, --budget limits it"
        )


# -- one token ---------------------------------------------------------------------------------------------------------


def _at_token(
    project: Project,
    case: Case,
    tokens: Sequence[str],
    asked: Asked,
    common: Common,
    spending: Spending,
    pictures: Pictures,
) -> int:
    from reroll.render.phrased import show_phrased

    wordings = wordings_of(project, case, tokens)
    for added in added_by(project.program, tokens):
        say(added)
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Phrased:
            return await ask_phrase(sessions, case, wordings, asked, spending.seed, _told)

        projects = [replace(project, program=one.program) for one in wordings]
        names = [one.name for one in wordings]
        found = with_sessions(projects, store, spending, (case,), (case,), work, names=names, alone=True)
    present(f"reroll phrase {case.id}", found.as_json, lambda page: show_phrased(found, page), common, pictures)
    if not found.finished:
        return BROKE_OFF
    return GATES[found.verdict] if spending.gate else 0


def _told(price: PhrasePrice) -> None:
    """What it will take, before the first run."""
    finding = f"finding a failing answer takes at most {counts('run', price.finding)}, " if price.finding else ""
    say(
        f"{finding}reading the wordings at most {counts('call', price.scoring)} of one token, then about "
        f"{counts('run', price.runs)} from one token on say what it is worth; at the very most "
        f"{counts('call', price.most)} in all; Ctrl-C stops it, --budget limits it"
    )
