"""The command line: words into calls of the functions beneath, results into text or JSON, errors into exit codes."""

from __future__ import annotations

import inspect
import itertools
import os
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from reroll import __version__
from reroll.arguments import About, Answering, CaseSet, Certify, Common, Faked, Pictures, Spending
from reroll.cli_causes import audit, cause, check
from reroll.cli_files import export, import_
from reroll.cli_fixes import apply, ideas, ledger, neighbours, try_fixes
from reroll.cli_looking import replay, samples, show
from reroll.cli_record import record
from reroll.cli_serve import serve, token
from reroll.cli_slack import slack
from reroll.cli_tokens import forks, futures, phrase, surprise
from reroll.cli_watch import watch
from reroll.errors import UsageError
from reroll.exits import ended
from reroll.output import let_go, show_anything

__all__ = ["app", "main"]

# What one reads first, and what belongs together, in the order of `reroll --help`.
GROUPS = {
    "Begin here": ("demo", "init", "investigate", "import", "doctor"),
    "How often does it fail?": ("rerun", "certify", "compare", "check"),
    "Why does it fail?": ("cause", "audit", "phrase", "forks", "futures", "surprise"),
    "What helps?": ("neighbours", "try", "apply", "ideas", "ledger"),
    "What is stored": ("samples", "show", "replay", "export"),
    "For a team, and in production": ("serve", "token", "slack", "watch", "record", "fake-server"),
}
WELCOME = (
    "How often does this LLM call fail, was it bad luck or a cause, and may we say “99 % reliable”?\n\n"
    "New here? `reroll demo` answers one report in about a minute, without a key; `reroll init DIR` makes a project to "
    "try things on; `reroll COMMAND --help` explains a command."
)


def _default(value: object) -> str | None:
    """A default as help shows it; an option that is off, or lists nothing, needs no word."""
    return None if value in (False, ()) or value is None else str(value)


app = App(
    name="reroll",
    help=WELCOME,
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative="", show_default=_default),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


COMMON, SPENDING, ANSWERING, PICTURES, FAKED = Common(), Spending(), Answering(), Pictures(), Faked()


@app.command
def demo(*, common: Common = COMMON, spending: Spending = SPENDING, pictures: Pictures = PICTURES) -> int:
    """Investigate one report on the bundled model and example project; no key is needed, and nothing is left behind."""
    from reroll import commands

    return commands.demo(common, spending, pictures)


@app.command
def init(directory: Path, /, *, common: Common = COMMON) -> int:
    """Write a working example project into DIRECTORY.

    Parameters
    ----------
    directory
        A new or empty folder.
    """
    from reroll import commands_files

    return commands_files.init(directory, common)


@app.command
def investigate(
    *words: str,
    case: str | None = None,
    request: Path | None = None,
    sample: str | None = None,
    input: Annotated[tuple[str, ...], Parameter(name="--input", negative="", consume_multiple=False)] = (),
    saw: Path | None = None,
    expect: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    target: float | None = None,
    forks: Annotated[bool | None, Parameter(negative="--no-forks")] = None,
    cause: Annotated[bool | None, Parameter(negative="--no-cause")] = None,
    fixes: Annotated[bool | None, Parameter(negative="--no-fixes")] = None,
    margin: float | None = None,
    common: Common = COMMON,
    spending: Answering = ANSWERING,
    pictures: Pictures = PICTURES,
) -> int:
    """Turn “I tried X and it didn't work” into a measured answer.

    Parameters
    ----------
    words
        What was said. An exact quotation of a case's input selects that case.
    case
        The case of the project that it is about.
    request
        A file with the recorded call, in any format that `import` reads; FILE#2 is its second call.
    sample
        A stored sample that it is about.
    input
        NAME=VALUE for the program's template; may be repeated.
    saw
        A file with the completion that the person saw.
    expect
        What a right answer is, as in cases.yaml: 'contains: Friday'.
    model
        For --request: which model, such as openai:NAME (default: the project's).
    base_url
        For --request: where that model is served (default: as the project says).
    target
        The success rate to certify, such as 0.99 (default: the project's).
    forks
        Also find the token at which a failing run went wrong (default: where its calls cost nothing, as the model runs
        here; else its price is told).
    cause
        Also find which part of the request carries the failure (default: as for --forks).
    fixes
        Also suggest changes and try them within what is left of the budget (default: as for --forks).
    margin
        Where fixes are tried: a rise of the control cases' failure rate by so much is harm (default 0.02).
    """
    from reroll import commands
    from reroll.intake.reported import Told

    told = Told(" ".join(words), case, request, sample, input, saw, expect, model, base_url)
    return commands.investigate(told, target, (forks, cause, fixes), margin, common, spending, pictures)


@app.command
def rerun(
    case: str, /, *, common: Common = COMMON, spending: Answering = ANSWERING, pictures: Pictures = PICTURES
) -> int:
    """Run one case again until it is known how it compares with ordinary requests.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    """
    from reroll import commands

    return commands.rerun(case, common, spending, pictures)


@app.command
def certify(
    *cases: str,
    target: float | None = None,
    about: About | None = None,
    sets: Annotated[tuple[CaseSet, ...], Parameter(name="--set", negative="", consume_multiple=False)] = (),
    each_check: bool = False,
    explain: bool = False,
    common: Common = COMMON,
    spending: Answering = ANSWERING,
    pictures: Pictures = PICTURES,
) -> int:
    """Decide whether a success rate is reached. Exits 0 if met, 1 if not met, 3 if undecided.

    Parameters
    ----------
    cases
        Ids of cases in cases.yaml: one, or with --about suite several (default: all).
    target
        The success rate, such as 0.99 (default: the project's target).
    about
        One case; a suite, the mean over fixed cases; or the population, new requests like the control cases.
    sets
        For a suite or population: only cases of this set; may be repeated.
    each_check
        Every check by itself, each at an equal share of alpha.
    explain
        Make no call: print the rule, its guarantee and its boundary table.
    """
    from reroll import commands

    return commands.certify(Certify(cases, target, about, sets, each_check, explain), common, spending, pictures)


@app.command
def compare(
    *variants: str,
    case: Annotated[tuple[str, ...], Parameter(name="--case", negative="", consume_multiple=False)] = (),
    sets: Annotated[tuple[CaseSet, ...], Parameter(name="--set", negative="", consume_multiple=False)] = (),
    about: About = "suite",
    margin: float | None = None,
    repeats: int = 1,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Run variants of a program on the same cases until it is known which fails least often.

    Parameters
    ----------
    variants
        `baseline`, PART=VALUE such as params.temperature=0 or system.role= (taken out), or another
        folder with a program.yaml. One alone is held against the baseline.
    case
        Only this case; may be repeated (default: all cases that have checks).
    sets
        Only cases of this set; may be repeated.
    about
        A suite, these very cases drawn at random; or the population, one pair per new case.
    margin
        The difference in failure rate that does not matter, such as 0.05 (default: `margin` of program.yaml).
    repeats
        Pairs per case, for --about population: the case stays the unit.
    """
    from reroll import commands_compare

    return commands_compare.compare(variants, case, sets, about, margin, repeats, common, spending, pictures)


app.command(futures)
app.command(surprise)
app.command(forks)
app.command(phrase)
app.command(neighbours)
app.command(try_fixes, name="try")
app.command(apply)
app.command(ideas)
app.command(ledger)
app.command(audit)
app.command(cause)
app.command(check)
app.command(samples)
app.command(show)
app.command(replay)
app.command(serve)
app.command(token)
app.command(record)
app.command(slack)
app.command(watch)
app.command(export)
app.command(import_, name="import")


@app.command
def doctor(model: str | None = None, /, *, base_url: str | None = None, common: Common = COMMON) -> int:
    """Check that a model can be reached, and print what it can do.

    Parameters
    ----------
    model
        Such as bundled, gguf:PATH, openai:NAME; default: the project's.
    base_url
        Where, for openai: models that are not the vendor's.
    """
    from reroll import commands_files

    return commands_files.doctor(model, base_url, common)


@app.command(name="fake-server")
def fake_server(*, told: Faked = FAKED) -> int:
    """Serve a fake model on this machine that fails and misbehaves as told, for tests without a key."""
    from reroll import commands_fake

    return commands_fake.fake_server(told)


def _arrange() -> None:
    """Each command in its group; and an option's words as one paragraph, since help keeps the breaks of the source."""
    for k, (title, names) in enumerate(GROUPS.items()):
        group = Group(title, sort_key=k)
        for name in names:
            one = app[name]
            one.group = group
            if one.default_command is not None:
                one.default_command.__doc__ = _unbroken(one.default_command.__doc__ or "")


def _unbroken(doc: str) -> str:
    """A docstring with what it says of each parameter in one line."""
    out: list[str] = []
    for line in inspect.cleandoc(doc).splitlines():
        if line.startswith("    ") and out and out[-1].startswith("    "):
            out[-1] += f" {line.strip()}"
        else:
            out.append(line)
    return "\n".join(out)


_arrange()


# -- ends --------------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code says how it went (docs/options.md). No traceback for users' errors.

    What nobody foresaw ends with 4, never with a 0 or 1 that a gate would take for a verdict.
    """
    words = sys.argv[1:] if arguments is None else arguments
    # Matrices as small as ours gain nothing from several threads, which wait for each other in a loop: up to four
    # times the CPU time. numpy reads this when it is imported, which no command has done yet.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        show_anything()
        _readable(words)
        _whole(words)
        found = app(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        code = found if isinstance(found, int) else 0
    except BaseException as error:
        code = ended(error)
    let_go()
    return code


def _readable(words: list[str]) -> None:
    """Raises: UsageError for a word that no file and no request can hold."""
    for word in words:
        if "\0" in word or word.encode("utf-8", "replace").decode() != word:
            raise UsageError(f"the word {word!r} is not text in UTF-8; write it so")


FRACTION = re.compile(r"-?\d*\.\d*")


def _whole(words: list[str]) -> None:
    """Raises: UsageError for a fraction where a whole number stands: a binding end must not be rounded."""
    given = [(word.partition("="), after) for word, after in itertools.zip_longest(words, words[1:], fillvalue="")]
    fractions = {
        name: value for (name, equals, own), after in given if FRACTION.fullmatch(value := own if equals else after)
    }
    names, chain, _ = app.parse_commands(words) if fractions else ((), (), [])
    if not names or names[-1].startswith("-"):  # `--help` and `--version` are commands to it
        return
    for argument in chain[-1].assemble_argument_collection():
        if argument.hint in (int, int | None) and argument.name in fractions:
            raise UsageError(f"{argument.name} is a whole number, got {fractions[argument.name]}")
