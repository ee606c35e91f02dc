"""The command line: words into calls of the functions beneath, results into text or JSON, errors into exit codes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from reroll import __version__
from reroll.arguments import About, Answering, CaseSet, Certify, Common, Faked, Pictures, Spending
from reroll.cli_files import export, import_
from reroll.cli_fixes import apply, ideas, ledger, neighbours, try_fixes
from reroll.cli_record import record
from reroll.cli_serve import serve, token
from reroll.cli_slack import slack
from reroll.cli_watch import watch
from reroll.errors import UsageError
from reroll.exits import ended
from reroll.output import let_go, show_anything

__all__ = ["app", "main"]

app = App(
    name="reroll",
    help="How often does this LLM call fail, was it bad luck or a cause, and may we say “99 % reliable”?",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=""),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


COMMON, SPENDING, ANSWERING, PICTURES, FAKED = Common(), Spending(), Answering(), Pictures(), Faked()


@app.command
def demo(*, common: Common = COMMON, spending: Spending = SPENDING, pictures: Pictures = PICTURES) -> int:
    """Investigate one report on the bundled model and example project, in a folder of its own."""
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


@app.command
def futures(
    case: str,
    /,
    *,
    width: float = 0.01,
    down_to: float = 1.0,
    draws: int = 40,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """List what a call can say with exact probabilities, and so how often it fails.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    width
        How narrow the range of the failure rate is to be.
    down_to
        Also follow everything that is at least this likely, such as 1e-6 (default: only what the rate needs).
    draws
        Hold so many plain runs against the probabilities that were read.
    """
    from reroll import commands_tokens

    return commands_tokens.futures(case, width, down_to, draws, common, spending, pictures)


@app.command
def surprise(
    what: str,
    /,
    *,
    saw: Path | None = None,
    draws: int = 60,
    per_day: float | None = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say how likely a reported completion is under its request, and where it left the usual paths.

    Parameters
    ----------
    what
        A stored sample's id; with --saw a case's id.
    saw
        A file with the completion that the person saw.
    draws
        Fresh runs that it is held against; stored ones count.
    per_day
        How many calls of this kind there are a day: what is rare in one is seen daily in many.
    """
    from reroll import commands_tokens

    return commands_tokens.surprise(what, saw, draws, per_day, common, spending, pictures)


@app.command
def forks(
    sample: str,
    /,
    *,
    by: Literal["tokens", "turns", "words"] | None = None,
    draws: int = 128,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Find the token that led a failing sample astray, or say that no single one did.

    Parameters
    ----------
    sample
        A stored failing sample's id, or its beginning.
    by
        Look at tokens, at turns of a conversation, or at words over whole runs (default: the first that can be done).
    draws
        Runs that words are looked at over; stored ones count.
    """
    from reroll import commands_tokens

    return commands_tokens.forks(sample, by, draws, common, spending, pictures)


@app.command
def phrase(
    case: str,
    /,
    *,
    wordings: Annotated[tuple[str, ...], Parameter(name="--wordings", negative="", consume_multiple=True)] = (),
    by_rule: int | None = None,
    write: int = 0,
    margin: float | None = None,
    tokens: Annotated[tuple[str, ...], Parameter(name="--tokens", negative="", consume_multiple=True)] = (),
    sample: str | None = None,
    at: int | None = None,
    width: float = 0.25,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say whether the wording of a case's request moves how often it fails, or what it does at one token of the answer.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    wordings
        Wordings to be run beside the one as it is asked now and those made by rule. Each is another case's id, the
        other words themselves, PART=VALUE such as system.role=TEXT or input.request=TEXT, a folder with a program.yaml,
        or @FILE with a wording on each line.
    by_rule
        At most so many wordings made by rule: manners, fillers, contractions, full stops (default 7; 0: none).
    write
        Ask the case's own model for so many wordings; what cannot be used is dropped and counted.
    margin
        What still counts as no different, as a difference of failure rates; without it that is never said.
    tokens
        Look at one token of the answer instead: two wordings, or one to be held against the baseline; with more, a
        screen of them by the first one's runs. Each is `baseline`, another case's id, the other words themselves,
        PART=VALUE such as system.role=TEXT or input.request=TEXT, a folder with a program.yaml, or @FILE with a
        wording on each line.
    sample
        A stored sample whose answer is looked along (default: the commonest failing one).
    at
        Which token of that answer, counted from 1 (default: where most success is lost, as far as stored runs tell;
        of a passing answer, where the wordings differ most).
    width
        How narrow the ranges of the change and of its two parts are to be, as a share of runs.
    """
    from reroll import commands_phrase
    from reroll.phrasing import Asked

    worded = commands_phrase.Worded(wordings, by_rule, write, margin)
    return commands_phrase.phrase(case, tokens, Asked(sample, at, width), worded, common, spending, pictures)


app.command(neighbours)
app.command(try_fixes, name="try")
app.command(apply)
app.command(ideas)
app.command(ledger)


@app.command
def audit(
    case: str,
    /,
    *,
    arms: str = "PJZCLSRV",
    burst: int | None = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say where the variation of a case's outcome comes from: chance, the check, the server, or the model.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    arms
        Which circumstances are tried, by their letters: P as reported, J judged again, Z temperature 0, C cold cache,
        L in a burst, S one seed, R each replica, V other models and parameters that the program lists.
    burst
        How many calls at the same time a burst is (default: as many as suit the model, at most 16).
    """
    from reroll import commands_audit
    from reroll.arms import Asked

    return commands_audit.audit(case, Asked(arms, burst), common, spending, pictures)


@app.command
def cause(
    case: str,
    /,
    *,
    suspect: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = (),
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Find which part of a case's request carries its failures, or that none does.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    suspect
        A part that somebody suspects, such as system.format: it is looked at first, and must be shown all the same.
        May be repeated.
    """
    from reroll import commands_cause

    return commands_cause.cause(case, suspect, common, spending, pictures)


@app.command
def check(
    name: str | None = None,
    /,
    *,
    labels: Path | None = None,
    label: int = 0,
    again: int | None = None,
    by: str | None = None,
    person: str | None = None,
    alpha: float | None = None,
    common: Common = COMMON,
) -> int:
    """Measure a check against people's labels, and how often answers really fail.

    Parameters
    ----------
    name
        The check's name in cases.yaml; default: all checks of each case together.
    labels
        A file of labels (default: labels.jsonl in the project).
    label
        Ask for so many more labels, half of them on runs that the check flags, and keep them in that file.
    again
        Judge so many runs again, to see whether the check says the same (default 20; judges, whose calls are paid
        for, are asked again only where a number is given).
    by
        Who gives the labels (default: your user name).
    person
        A command that answers for the person: a sample as JSON on its stdin, pass, fail or unsure on its stdout.
    alpha
        Chance that a range misses the true value (default 0.05).
    """
    from reroll import commands_check

    return commands_check.check(name, labels, label, again, by, person, alpha, common)


@app.command
def samples(
    case: str | None = None,
    /,
    *,
    limit: int = 50,
    tree: bool = False,
    group: bool = False,
    least: int = 1,
    common: Common = COMMON,
    pictures: Pictures = PICTURES,
) -> int:
    """List stored samples with their outcomes, newest last.

    Parameters
    ----------
    case
        Only this case.
    limit
        At most so many.
    tree
        All runs of the case as a tree: where they part, and how each branch fares.
    group
        What failed, of this case or of all cases and reports, in groups by what was observed: which check and why, how
        the answer ended, where it leaves the paths of passing runs; the largest first.
    least
        With --tree: leave out branches with fewer runs.
    """
    from reroll import commands_files

    return commands_files.samples(case, limit, tree, group, least, common, pictures)


@app.command
def show(sample: str, /, *, request: bool = False, common: Common = COMMON, pictures: Pictures = PICTURES) -> int:
    """Show one stored sample whole: its request, completion, outcomes and tokens.

    Parameters
    ----------
    sample
        Its id, or the beginning of it.
    request
        Print only the body of its request, byte for byte as it was sent.
    """
    from reroll import commands_files

    return (
        commands_files.show_request(sample, common, pictures)
        if request
        else commands_files.show(sample, common, pictures)
    )


@app.command
def replay(sample: str, /, *, common: Common = COMMON) -> int:
    """Send the very request of a stored sample once more, and show what comes back.

    Parameters
    ----------
    sample
        Its id, or the beginning of it.
    """
    from reroll import commands_files

    return commands_files.replay(sample, common)


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


# -- ends --------------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code says how it went (docs/options.md). No traceback for users' errors.

    What nobody foresaw ends with 4, never with a 0 or 1 that a gate would take for a verdict.
    """
    words = sys.argv[1:] if arguments is None else arguments
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
    given = [(word.partition("="), after) for word, after in zip(words, [*words[1:], ""], strict=True)]
    fractions = {
        name: value for (name, equals, own), after in given if FRACTION.fullmatch(value := own if equals else after)
    }
    names, chain, _ = app.parse_commands(words) if fractions else ((), (), [])
    if not names or names[-1].startswith("-"):  # `--help` and `--version` are commands to it
        return
    for argument in chain[-1].assemble_argument_collection():
        if argument.hint in (int, int | None) and argument.name in fractions:
            raise UsageError(f"{argument.name} is a whole number, got {fractions[argument.name]}")


if __name__ == "__main__":
    raise SystemExit(main())
