"""What is asked of whoever sits at the terminal: which case, whether an answer is right, whether the price is."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reroll.arguments import Spending
from reroll.case import Case
from reroll.controls import MOST_CONTROLS
from reroll.errors import UsageError
from reroll.models.choices import choices_of
from reroll.models.prices import FREE, price
from reroll.models.stepped import calls_at_most
from reroll.numbers import counts, money
from reroll.person import Person, by_asking, by_command
from reroll.project import Project
from reroll.sample import Usage
from reroll.session import Options
from reroll.settings import SETTINGS

if TYPE_CHECKING:
    from reroll.models.model import Model

__all__ = [
    "ask_instead",
    "asks_on_screen",
    "choose",
    "judging_at_most",
    "judging_words",
    "person_of",
    "price_agreed",
    "typed",
    "usage_at_most",
]

BYTES_PER_TOKEN = 4
PROMPT_OF_A_JUDGE = 300  # tokens, rubric and answer apart
USUAL_VERDICT = 100  # tokens
USUAL_ANSWER = 500  # tokens, where the program sets no limit
ANSWERS = {word[:n]: word for word in ("pass", "fail", "unsure") for n in (1, len(word))}


def _somebody() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def typed(prompt: str) -> str:
    """What the person at the terminal types. Raises: KeyboardInterrupt for Ctrl-C and Ctrl-D."""
    with _ctrl_c_raises():
        print(prompt, end="", file=sys.stderr, flush=True)  # input() itself would prompt on stdout
        try:
            _wait_for_a_line()
            return input()
        except EOFError:
            raise KeyboardInterrupt from None


def _wait_for_a_line() -> None:
    """Return when a line was typed. Reading at once could miss a Ctrl-C that comes just before the read
    begins, and then wait for ever; a wake-up pipe keeps it until somebody looks."""
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    woken, waker = socket.socketpair()
    with woken, waker:
        waker.setblocking(False)
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            select.select([sys.stdin, woken], [], [])
        finally:
            signal.set_wakeup_fd(before)


@contextlib.contextmanager
def _ctrl_c_raises() -> Iterator[None]:
    """An event loop turns Ctrl-C into a call that it makes later, and waiting for a line blocks the loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)


def choose(question: str, choices: Sequence[str]) -> int | None:
    """The choice that the person at the terminal makes; None where nobody sits there."""
    if not _somebody():
        return None
    print(question, file=sys.stderr)
    for i, choice in enumerate(choices, 1):
        print(f"  {i}. {choice}", file=sys.stderr)
    reply = typed("Number: ").strip()
    return int(reply) - 1 if reply.isdecimal() and 0 < int(reply) <= len(choices) else None


# -- persons -----------------------------------------------------------------------------------------------------------


_instead: Person | None = None


def ask_instead(person: Person | None) -> None:
    """From here on this one answers for whoever would sit at the terminal."""
    global _instead
    _instead = person


def person_of(spending: Spending) -> Person | None:
    """Who answers `person` checks: the command given, else whoever sits at the terminal, else nobody."""
    if _instead is not None:
        return _instead
    if spending.person is not None:
        return by_command(spending.person)
    return by_asking(_ask_about()) if _somebody() else None


def asks_on_screen(spending: Spending, case: Case) -> bool:
    """Whether questions will be shown, so that no live line may run over them."""
    return spending.person is None and case.asks_a_person


def _ask_about() -> Callable[[str, str, Mapping[str, Any], str], str]:
    """What asks at the terminal; why is said before the first question alone."""
    said: set[str] = set()

    def ask(question: str, text: str, inputs: Mapping[str, Any], why: str) -> str:
        from rich.console import Console

        from reroll.render.terminal import show_question

        show_question(question, text, inputs, Console(file=sys.stderr, highlight=False), "" if why in said else why)
        said.add(why)
        while (word := ANSWERS.get(typed("pass, fail or unsure [p/f/u]: ").strip().lower(), "")) == "":
            words = "Type p where it is right, f where it is wrong, u where you cannot tell; Ctrl-C stops."
            print(words, file=sys.stderr)
        return word

    return ask


# -- prices ------------------------------------------------------------------------------------------------------------


def price_agreed(
    project: Project,
    cases: Sequence[Case],
    model: Model,
    options: Options,
    spending: Spending,
    *,
    controls: bool,
    stored: int = 0,
    anew: int = 0,
) -> None:
    """Say calls, tokens and money first where they are many or unknown; those of judges, too, each sample one.

    stored, anew: what judges are asked besides: about runs that are stored, and about the same answers again.
    Raises: UsageError when nobody agrees.
    """
    size = choices_of(model, project.program.sampling)
    usage = usage_at_most(project, cases, options, controls=controls, per_call=size)
    each = calls_at_most(model)  # steps around the model may ask for more than one
    if each > 1:
        usage = Usage((usage.prompt_tokens or 0) * each, (usage.completion_tokens or 0) * each)
    kind, _, name = project.program.model.partition(":")
    budget = options.budget if kind in FREE else options.budget * each
    judged, for_judges = judging_at_most(cases, options.budget, usage, stored + anew)
    budget += judged
    if spending.yes or (model.priced and for_judges is not None and budget <= SETTINGS["budget"].default):
        return
    place = kind if kind in FREE else project.program.base_url or kind.partition("-")[0]  # the vendor
    usd = price(name or kind, usage, place) if model.priced else None
    words = money(usd)
    if judged:
        whole = None if usd is None or for_judges is None else usd + for_judges
        words = f"{money(whole)} with {judging_words(judged, options.budget, stored, anew)}"
    calls = counts("call", options.budget // size * each) + ("" if size == 1 else f" of {size} completions each")
    text = (
        f"this may make up to {calls}, about {usage.prompt_tokens:,} prompt tokens and "
        f"at most {usage.completion_tokens:,} completion tokens, {words}"
    )
    if not _somebody():
        raise UsageError(f"{text}; add --yes to agree, or lower --budget", slug="price")
    print(f"{text[0].upper()}{text[1:]}.", file=sys.stderr)
    if typed("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was called", slug="price")


def judging_words(judged: int, budget: int, stored: int, anew: int) -> str:
    """So many calls of the judge, and which of them are about no new run.

    >>> judging_words(90, 50, 0, 40)
    '90 calls of the judge (40 of them about the same answers again)'
    """
    each = judged // max(1, budget + stored + anew)  # judges that one answer is shown to
    besides = [(stored, "about runs that are stored"), (anew, "about the same answers again")]
    said = [f"{counted * each:,} of them {words}" for counted, words in besides if counted]
    return f"{counts('call', judged)} of the judge" + (f" ({', '.join(said)})" if said else "")


def judging_at_most(cases: Sequence[Case], budget: int, usage: Usage, more: int = 0) -> tuple[int, float | None]:
    """Calls of judges that somebody may want money for, and what they may cost; None: not known.

    For each judge of the case that has most of them a call a sample, which sends about what the sample's call held:
    `usage` is that of the whole budget. more: answers that are judged beside those of the budget, alike in size.
    """
    of = [case.judges for case in cases]
    calls, total = 0, 0.0
    known = True
    for check in max(of, key=len, default=()):
        kind, _, name = check.value["model"].partition(":")
        if kind in FREE:
            continue
        each = PROMPT_OF_A_JUDGE + len(check.value["rubric"]) // BYTES_PER_TOKEN
        held = ((usage.prompt_tokens or 0) + (usage.completion_tokens or 0)) // max(1, budget)
        answers = budget + more
        place = check.value.get("base_url") or kind.partition("-")[0]
        usd = price(name or kind, Usage((held + each) * answers, answers * USUAL_VERDICT), place)
        calls, total, known = calls + answers, total + (usd or 0.0), known and usd is not None
    return calls, total if known else None


def usage_at_most(
    project: Project, cases: Sequence[Case], options: Options, *, controls: bool, per_call: int = 1
) -> Usage:
    """The tokens of a whole budget: of calls of the longest case, or of the control cases too where these are longer.

    `controls`: whether control cases may be drawn besides; `per_call`: samples that share one prompt.
    """
    program, budget = project.program, options.budget
    case, answer = max(_tokens(project, case) for case in cases)
    longer = 0
    if controls and program.reference_rate is None:
        sent = [_tokens(project, c)[0] for c in project.cases if c.set == "control" and c.checks]
        mean = sum(sent) // max(1, len(sent))
        longer = max(0, mean - case) * min(MOST_CONTROLS, int(budget * options.control_share))
    return Usage((budget * case + longer) // per_call, budget * answer)


def _tokens(project: Project, case: Case) -> tuple[int, int]:
    """About how many tokens a call of this case sends, and how many it may get back."""
    body = project.program.render(case.input, case.history).body
    sent = json.dumps([body.get(key) for key in ("messages", "tools", "response_format")], default=str)
    told = next((body[key] for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None), None)
    try:
        limit = USUAL_ANSWER if told is None else int(told)
    except (TypeError, ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise UsageError(
            f"`max_tokens` of program `{project.program.program}` is {told!r}, which is no number of tokens; mend it",
            slug="file",
        )
    return len(sent) // BYTES_PER_TOKEN, limit
