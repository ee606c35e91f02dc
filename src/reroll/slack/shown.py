"""Messages and forms as Slack's blocks: every text from outside is escaped, cut to fit, and shown as it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.answer import Answer, CertifySection
from reroll.numbers import percent
from reroll.slack import limits
from reroll.slack.limits import escaped
from reroll.words import headline

__all__ = [
    "answered",
    "button",
    "form_idea",
    "form_meant",
    "form_report",
    "message",
    "note",
    "plain_message",
    "progress_line",
    "section",
    "with_buttons",
]

JSON = Any
MARKS = {"p": "✓", "f": "✗", "i": "?"}
SHOWN = 60  # outcomes of a run that a message shows
INERT = {"unfurl_links": False, "unfurl_media": False, "parse": "none", "link_names": False}


def section(text: str, most: int = limits.TEXT) -> dict[str, JSON]:
    """The text literally: `verbatim` keeps Slack from making links and mentions of it."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": escaped(text, most), "verbatim": True}}


def note(text: str) -> dict[str, JSON]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(text), "verbatim": True}]}


def link(label: str, url: str) -> dict[str, JSON]:
    """A link that we make ourselves, to our own page."""
    where = url.replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": f"<{where}|{escaped(label)}>"}]}


def button(label: str, action: str, value: str, primary: bool = False) -> dict[str, JSON]:
    shown = {"type": "plain_text", "text": limits.words(label, limits.BUTTON), "emoji": False}
    made = {"type": "button", "text": shown, "action_id": action, "value": value[: limits.VALUE]}
    return {**made, "style": "primary"} if primary else made


def with_buttons(blocks: Sequence[Mapping[str, JSON]], *buttons: Mapping[str, JSON]) -> list[Mapping[str, JSON]]:
    return [*blocks, {"type": "actions", "elements": list(buttons)}] if buttons else list(blocks)


def message(text: str, blocks: Sequence[Mapping[str, JSON]]) -> dict[str, JSON]:
    """Blocks, and the same in words for notifications and for where blocks are refused. Nothing in it unfolds."""
    return {"text": escaped(text), "blocks": limits.fitting(blocks), **INERT}


def plain_message(text: str, *buttons: Mapping[str, JSON]) -> dict[str, JSON]:
    return message(text, with_buttons([section(text)], *buttons))


def progress_line(progress: Mapping[str, JSON]) -> str:
    """Where a run stands: the newest outcomes one by one, and how many.

    >>> progress_line({"strip": "pfp", "calls": 3, "budget": 10, "failures": 1, "doing": ""})
    '✓ ✗ ✓ — 1 of 3 runs failed so far (3 of up to 10 calls)'
    """
    strip = str(progress.get("strip") or "")
    calls, budget, failures = progress.get("calls", 0), progress.get("budget", 0), progress.get("failures")
    place = f"{calls:,} of up to {budget:,} calls"
    if progress.get("doing") or failures is None:
        return f"{progress.get('doing') or 'Looking further'} ({place})"
    if progress.get("phase") == "controls":
        return f"Ordinary requests first, to know what is usual ({place})"
    drawn = " ".join(MARKS.get(letter, "?") for letter in strip[-SHOWN:])
    before = "… " if len(strip) > SHOWN else ""
    counted = f"{failures:,} of {calls:,} runs failed so far ({place})"
    return f"{before}{drawn} — {counted}" if drawn else counted


def outcomes_line(outcomes: Sequence[str]) -> str:
    """Every run as a mark, the newest last."""
    marks = [MARKS.get(word[:1], "?") for word in outcomes]
    return ("… " if len(marks) > SHOWN else "") + " ".join(marks[-SHOWN:])


def answered(
    command: str, body: Mapping[str, JSON], answer: Answer | None, words: str, page: str | None
) -> dict[str, JSON]:
    """A finding as a message: its headline, its sentences, its runs, and where the page is."""
    if answer is not None:
        title, text = _title(command, answer), answer.text
    else:
        title, text = str(body.get("verdict") or "").replace("_", " ").capitalize(), str(body.get("text") or "")
    head = {"type": "plain_text", "text": limits.words(title or "Measured", limits.HEADER), "emoji": False}
    blocks: list[Mapping[str, JSON]] = [{"type": "header", "text": head}]
    if words:
        blocks.append(note(f"“{limits.words(words, limits.QUOTE)}”"))
    blocks.append(section(text or "There is nothing more to say of it."))
    if answer is not None and answer.outcomes:
        blocks.append(note(outcomes_line(answer.outcomes)))
    if page is not None:
        blocks.append(link("All of it, run by run", page))
    return message(f"{title}. {text}", blocks)


def _title(command: str, answer: Answer) -> str:
    if command != "certify" or not isinstance(answer.certify, CertifySection):
        return headline(answer.luck)
    target = percent(answer.certify.target)
    words = {"met": f"{target} may be said", "not_met": f"{target} may not be said"}
    return words.get(answer.certify.verdict, f"Whether it is {target} is still open")


# -- forms -------------------------------------------------------------------------------------------------------------


def _form(callback: str, title: str, carried: Mapping[str, JSON], blocks: Sequence[JSON], does: str) -> dict[str, JSON]:
    return {
        "type": "modal",
        "callback_id": callback,
        "title": {"type": "plain_text", "text": title[:24]},
        "submit": {"type": "plain_text", "text": does[:24]},
        "close": {"type": "plain_text", "text": "Cancel"},
        "private_metadata": carrying(carried),
        "blocks": list(blocks),
    }


def carrying(carried: Mapping[str, JSON]) -> str:
    """As JSON that fits; the words are cut where they are too long."""
    text = json.dumps(carried)
    while len(text) > limits.METADATA and carried.get("words"):
        shorter = carried["words"][: len(carried["words"]) * 3 // 4]
        carried = {**carried, "words": shorter}
        text = json.dumps(carried)
    return text


def _input(name: str, label: str, element: Mapping[str, JSON], hint: str = "", optional: bool = False) -> JSON:
    told = {"type": "input", "block_id": name, "label": {"type": "plain_text", "text": label}, "optional": optional}
    made = {**told, "element": {**element, "action_id": name}}
    return {**made, "hint": {"type": "plain_text", "text": hint}} if hint else made


LINES = {"type": "plain_text_input", "multiline": True, "max_length": limits.TEXT}


def form_report(carried: Mapping[str, JSON], cases: Sequence[tuple[str, str]]) -> dict[str, JSON]:
    """At most two questions: which request was it, and what would have been right?"""
    options = [("-", "Another one: what my message quotes")]
    options += [(id, f"{id}: {text}") for id, text in cases if len(id) <= limits.OPTION][: limits.OPTIONS - 1]
    choices = [
        {"text": {"type": "plain_text", "text": limits.words(text, limits.OPTION)}, "value": id} for id, text in options
    ]
    which = {"type": "static_select", "options": choices}
    hint = "In quotes: what a right answer has in it. Without quotes, people say of each answer whether it is right."
    blocks = [
        _input("which", "Which request was it?", which),
        _input("expected", "What did you expect?", LINES, hint, optional=True),
    ]
    return _form("report", "Measure this", carried, blocks, "Measure it")


def form_idea(carried: Mapping[str, JSON]) -> dict[str, JSON]:
    blocks = [
        _input("idea", "What would you change?", LINES, "In your own words. It is tried blind, as every idea is.")
    ]
    return _form("idea", "I have an idea", carried, blocks, "Put it in the box")


def form_meant(carried: Mapping[str, JSON]) -> dict[str, JSON]:
    blocks = [
        _input("meant", "What did you mean?", LINES, "Quote what you sent, and say what was wrong with the answer.")
    ]
    return _form("meant", "Not what you meant", carried, blocks, "Send")
