"""The guided tour as data: seven steps, each a sentence heard on Slack, a guess, and what is then shown live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LESSONS", "Lesson", "lesson"]

Ask = Literal["number", "percent", "choice", "token"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step. said: what somebody says on Slack; before: what is told first; ask: how the guess is given;
    after: what was seen, in words; work: what it means at work, in one sentence; command: what does the same for the
    reader's own model. No text has a number that the model could prove wrong: those come with what is shown."""

    name: str
    title: str
    said: str
    before: tuple[str, ...]
    question: str
    ask: Ask
    choices: tuple[tuple[str, str], ...]
    after: str
    work: str
    command: str


LESSONS: tuple[Lesson, ...] = (
    Lesson(
        "again",
        "Run it again",
        "It worked the second time I tried it.",
        (
            "This page holds a real language model, small enough to run here. It turns a request into a meeting. "
            "Today is Wednesday, 18 November, so “next Friday” is 27 November; now and then the model takes this "
            "Friday instead.",
            "The request below is sent five times: the same words, the same model, nothing changed in between.",
        ),
        "How many of the five answers will be wrong?",
        "number",
        (),
        "Nothing changed between the runs, and yet the answers did. A model draws each piece of its answer at "
        "random from what it holds possible.",
        "One try, good or bad, says next to nothing; before you change anything, run it again.",
        "reroll rerun CASE",
    ),
    Lesson(
        "rate",
        "Guess the failure rate",
        "Does it happen all the time?",
        (
            "What can be known is how often it fails: the failure rate. Here are five runs.",
            "Guess the rate from these five. Then it is run many more times, and the model's own probabilities "
            "are read.",
        ),
        "How often does it fail?",
        "percent",
        (),
        "Five runs leave almost everything open; that is what the wide range says. More runs make it narrow. A "
        "range that is honest says how much is still open, and is worth more than any single number.",
        "Ask for the rate and its range; “it works” and “it doesn't” are both guesses from one run.",
        "reroll investigate 'I tried \"…\" and it didn't work'",
    ),
    Lesson(
        "temperature",
        "Move the temperature",
        "Just turn the temperature down.",
        (
            "Temperature says how boldly the model draws. At 0 it always takes what it holds likeliest; higher "
            "up, the unlikely comes more often.",
            "So at 0 it says the same each time. Whether that is right is another matter.",
        ),
        "At temperature 0, how often will this request fail?",
        "choice",
        (("never", "Never"), ("sometimes", "Sometimes, as before"), ("always", "Always")),
        "Temperature 0 makes the model repeat itself, right or wrong. The likeliest answer to this request "
        "happens to be right. For the other request it happens to be wrong, and then it is wrong every single "
        "time.",
        "Low temperature hides a wrong belief of the model as well as it hides bad luck; measure before you trust it.",
        "reroll audit CASE",
    ),
    Lesson(
        "words",
        "Say it in other words",
        "That's an awkwardly phrased prompt.",
        (
            "The same wish, said plainly and said awkwardly. Both mean the same lunch on the same day.",
            "Right and wrong part at one place: the day of the month. What the model holds possible there depends "
            "on all the words before it.",
        ),
        "Which wording fails more often?",
        "choice",
        (("plain", "The plain one"), ("awkward", "The awkward one"), ("same", "There is no difference to speak of")),
        "Said clearly, nearly all of the chance lies on the right day. The vaguer the words, the flatter it "
        "spreads, until the wrong day is the likelier one. You did not see the model get confused: you saw odds "
        "change.",
        "When a request fails often, say it in other words and count, before you call the model stupid.",
        "reroll phrase CASE --tokens 'other words'",
    ),
    Lesson(
        "dud",
        "Find the dud",
        "You sampled a dud token.",
        (
            "Here is an answer that came just now and is wrong, piece by piece; a piece is called a token.",
            "At the start it could still turn out right. Then one token came after which there was no way back.",
        ),
        "Which token led it astray?",
        "token",
        (),
        "Most of an answer is a matter of course. Chances are lost at one or two places, and they can be found: "
        "go on from before and after a token, and see how often it still works out.",
        "Look for the one decision that goes wrong, and mend what the model reads before it decides.",
        "reroll forks SAMPLE",
    ),
    Lesson(
        "hard-code",
        "Try to hard-code it",
        "Can't we just hard-code it?",
        (
            "The patch: if the request says “lunch with Ana next Friday”, set the date to 27 November.",
            "It is tried on the request, on others like it (a call, a dinner, next Thursday), on look-alikes that "
            "must stay as they are, on ordinary requests, and on one that nobody thought of.",
        ),
        "How much of the trouble with requests like it will the patch cure?",
        "choice",
        (("most", "Most of it"), ("half", "About half"), ("none", "Nothing")),
        "It mends the one request that was reported. Whoever says it in other words is no better off, and whoever "
        "moves that lunch to another day now gets a wrong date, every time.",
        "A special case cures the report, not the trouble, and adds an edge of its own; try it on neighbours "
        "before it goes in.",
        "reroll try hard-code --case CASE",
    ),
    Lesson(
        "describe",
        "Describe the field",
        "Prompt things a bit better.",
        (
            "A general change instead. The field “date” gets a description, as one would write it for a "
            "colleague: “ISO date. 'next Friday' is the Friday of next week.”",
            "It is tried on the very same requests.",
        ),
        "How much of the trouble with requests like it will the description cure?",
        "choice",
        (("most", "Most of it"), ("half", "About half"), ("none", "Nothing")),
        "One sentence in the right place reaches requests that nobody has reported yet. Look at the ordinary "
        "requests, too: a change of what the model reads changes a little everywhere, for better or worse.",
        "Prefer the change that helps requests nobody has sent yet, and measure what it costs the others.",
        "reroll try describe-date --case CASE",
    ),
)


def lesson(name: str) -> tuple[int, Lesson] | None:
    """The step of this name with its place, from 0."""
    return next(((i, one) for i, one in enumerate(LESSONS) if one.name == name), None)
