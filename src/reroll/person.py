"""A person as a check: their verdict on one sample, asked for by a command that stands for them or on a screen."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reroll.check import UNSURE, Check, Outcome, Surroundings
from reroll.errors import UsageError
from reroll.match import clean
from reroll.sample import Sample

__all__ = ["LABEL", "WHY_CHECK", "WHY_LABEL", "Person", "by_asking", "by_command", "outcome_of", "question_about"]

Person = Callable[[Check, Sample, Surroundings], Outcome]
LABEL = "*label*"  # the name of a question that only tells how far the checks are right: it may stay open
WHY_LABEL = "You are asked because a check can be wrong, too: what you say shows whether this one is."
WHY_CHECK = "You are asked because in this case a person says what is right."
WORDS = ("pass", "fail", "unsure")
STOPPED = (-signal.SIGINT, 128 + signal.SIGINT)


def by_command(command: str) -> Person:
    """A person who answers through a command: a sample as JSON on its stdin, pass, fail or unsure on its stdout.

    Raises: UsageError where there is no such command; nothing was called then.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--person {command!r} is not a command: {error}", slug="no-person") from None
    if not words or shutil.which(words[0]) is None:
        raise UsageError(f"--person: there is no command `{command}`; give one that exists", slug="no-person")

    def ask(check: Check, sample: Sample, around: Surroundings) -> Outcome:
        told = json.dumps(question_about(check, sample, around))
        run = _run(words, told)
        if run.returncode in STOPPED:  # Ctrl-C reaches the command too; what it says then is nobody's judgement
            raise KeyboardInterrupt
        if run.returncode:
            return Outcome(
                "invalid", f"--person ended with exit code {run.returncode}: {clean(run.stderr.strip())[:200]}"
            )
        return outcome_of(run.stdout)

    return ask


def _run(words: Sequence[str], told: str) -> subprocess.CompletedProcess[str]:
    """The user's own command, as they typed it; no shell takes part. Raises: UsageError where it cannot start."""
    try:
        return subprocess.run(words, input=told, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        raise UsageError(
            f"--person: `{words[0]}` cannot be run: {(error.strerror or str(error)).lower()}; give a command that can",
            slug="no-person",
        ) from None


def by_asking(ask: Callable[[str, str, Mapping[str, Any], str], str]) -> Person:
    """A person who is shown a question, a completion, the case's input and why they are asked, until they say one of
    the three words.

    What `ask` raises goes on its way: nothing was judged then.
    """

    def answer(check: Check, sample: Sample, around: Surroundings) -> Outcome:
        question = check.value if isinstance(check.value, str) else "Is this right?"
        while (word := ask(question, _text(sample), around.input, _why(check)).strip().lower()) not in WORDS:
            pass
        return outcome_of(word)

    return answer


def outcome_of(said: str) -> Outcome:
    """What one of the three words means; another word is nobody's judgement."""
    word = said.strip().lower()
    if word == "unsure":
        return Outcome("invalid", UNSURE)
    if word not in WORDS:
        return Outcome("invalid", f"the person said {clean(word)[:40]!r}, not pass, fail or unsure")
    return Outcome("pass" if word == "pass" else "fail", f"a person says {word}")


def _why(check: Check) -> str:
    return WHY_LABEL if check.name == LABEL else WHY_CHECK


def _text(sample: Sample) -> str:
    return "" if sample.completion is None else sample.completion.text


def question_about(check: Check, sample: Sample, around: Surroundings) -> dict[str, Any]:
    """What a person is shown of one sample, as JSON."""
    return {
        "why": _why(check),
        "question": check.value if isinstance(check.value, str) else None,
        "text": _text(sample),
        "tool_calls": [dict(c) for c in sample.completion.tool_calls] if sample.completion else [],
        "input": dict(around.input),
        "expected": around.expected,
        **({"optional": True} if check.name == LABEL else {}),
    }
