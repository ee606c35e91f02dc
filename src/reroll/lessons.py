"""The guided tour as data: seven steps, each a sentence heard on Slack, a guess, and what is then shown live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LESSONS", "Lesson", "lesson"]

Ask = Literal["number", "percent", "choice", "token"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step. said: what somebody says on Slack; before: what is told first; ask: how the guess is given;
    after: what it means, once it was seen; command: what does the same for the reader's own model."""

    name: str
    title: str
    said: str
    before: tuple[str, ...]
    question: str
    ask: Ask
    choices: tuple[tuple[str, str], ...]
    after: str
    command: str


LESSONS: tuple[Lesson, ...] = (
    Lesson(
        "again",
        "Run it again",
        "It worked the second time I tried it.",
        (
            "This page holds a real language model, small enough to run here. It turns a request into a meeting. "
            "Today is Wednesday, so “next Friday” is the Friday of next week.",
            "The request below is sent five times: the same words, the same model, nothing changed in between.",
        ),
        "How many of the five answers will name the wrong Friday?",
        "number",
        (),
        "Nothing changed between the runs, and yet the answers did. A model draws each piece of its answer at random "
        "from "
        "what it holds possible. One try, good or bad, says next to nothing.",
        "reroll rerun CASE",
    ),
    Lesson(
        "rate",
        "Guess the failure rate",
        "Does it happen all the time?",
        (
            "What can be known is how often it fails: the failure rate. You have seen five runs; here they are again.",
            "Guess the rate from these five. Then it is run many more times.",
        ),
        "How often does it fail, in percent?",
        "percent",
        (),
        "Five runs leave almost everything possible; that is what the wide range says. More runs make it narrow. A "
        "range "
        "that is honest says how much is still open, and is worth more than any single number.",
        "reroll investigate 'I tried \"…\" and it didn't work'",
    ),
    Lesson(
        "temperature",
        "Move the temperature",
        "Just turn the temperature down.",
        (
            "Temperature says how boldly the model draws. At 0 it always takes what it holds likeliest; high up, the "
            "unlikely comes more often.",
            "At 0 it says the same each time. Whether that is right is another matter.",
        ),
        "At temperature 0, how often will this request fail?",
        "choice",
        (("never", "Never"), ("sometimes", "Sometimes, as before"), ("always", "Always")),
        "Temperature 0 makes it repeat itself, right or wrong. Here the likeliest answer happens to be right. For "
        "another "
        "request of this project (“half seven”) it happens to be wrong, and then it is wrong every single time.",
        "reroll audit CASE",
    ),
    Lesson(
        "words",
        "Say it in other words",
        "That's an awkwardly phrased prompt.",
        (
            "The same wish, said awkwardly: “um so like lunch w/ Ana next Friday i guess at noon or something”.",
            "Look at the one place where right and wrong part: the day of the month. What the model holds possible "
            "there "
            "depends on all the words before.",
        ),
        "Which wording fails more often?",
        "choice",
        (("plain", "The plain one"), ("awkward", "The awkward one"), ("same", "There is no difference to speak of")),
        "An awkward wording moves chances from the right token to wrong ones: the distribution gets flatter where it "
        "matters. You did not see the model get confused. You saw odds change.",
        "reroll phrase CASE --tokens 'other words'",
    ),
    Lesson(
        "dud",
        "Find the dud",
        "You sampled a dud token.",
        (
            "Here is an answer that is wrong, piece by piece (a piece is called a token).",
            "Until one of these tokens it could still have turned out right. After it, there was no way back.",
        ),
        "Which token led it astray?",
        "token",
        (),
        "Most of an answer is a matter of course. Chances are lost at one or two places, and one can find them: go on "
        "from "
        "before and after a token, many times, and see how often it still works out.",
        "reroll forks SAMPLE",
    ),
    Lesson(
        "hard-code",
        "Try to hard-code it",
        "Can't we just hard-code it?",
        (
            "The patch: if the request contains “lunch with ana next friday”, set the date to the 27th.",
            "It is tried on the request, on others like it (another name, a dinner, next Thursday), on look-alikes "
            "that must "
            "stay as they are, and on ordinary requests.",
        ),
        "How much of the trouble with requests like it will it cure?",
        "choice",
        (("all", "Nearly all"), ("half", "About half"), ("none", "Nothing")),
        "It mends the one request that was reported, and nothing else. The next person says it in other words. "
        "Patches pile "
        "up, each with its own edge cases, and nobody dares to take one out.",
        "reroll try hard-code --case CASE",
    ),
    Lesson(
        "describe",
        "Describe the field",
        "Prompt things a bit better.",
        (
            "A general change instead: the field “date” gets a description, as one would write it for a colleague: "
            "‘ISO date. "
            "“next Friday” is the Friday of next week.’",
            "It is tried on the very same requests.",
        ),
        "How much of the trouble with requests like it will it cure?",
        "choice",
        (("most", "Most of it"), ("half", "About half"), ("none", "Nothing")),
        "A change of the program reaches requests that nobody has reported yet. It is no proof that it harms nothing: "
        "look at "
        "the ordinary requests, and at how wide their range still is.",
        "reroll try describe-date --case CASE",
    ),
)


def lesson(name: str) -> tuple[int, Lesson] | None:
    """The step of this name with its place, from 0."""
    return next(((i, one) for i, one in enumerate(LESSONS) if one.name == name), None)
