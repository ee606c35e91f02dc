"""What models said and can do: samples with what failed marked, messages, tokens, capabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from reroll.answer import ShownSample
from reroll.models.model import Capabilities
from reroll.numbers import counts, percent
from reroll.render.ink import COLOURS, Pen, window
from reroll.sample import Token

__all__ = [
    "CAN",
    "capability_lines",
    "clipped",
    "json_text",
    "message_lines",
    "openness",
    "sample_lines",
    "short",
    "tiny",
    "token_lines",
]

WORDS = {"pass": "pass", "fail": "fail", "invalid": "could not be judged"}
SURE = 0.95  # tokens at least this likely are no place where an answer parts ways
MOST_TOKENS = 40
CAN = (
    ("n", "several completions per call (n)"),
    ("seed", "a seed per call"),
    ("temperature", "temperature"),
    ("logprobs", "probabilities of tokens"),
    ("logprobs_mode", "these are from before temperature"),
    ("post_sampling", "probabilities after sampling"),
    ("prompt_logprobs", "probabilities of a given text"),
    ("echo", "these with the prompt (echo)"),
    ("prefix_continuation", "continuing a given beginning"),
    ("token_ids", "token ids in answers"),
    ("token_prompt", "prompts of token ids"),
    ("json_schema", "answers held to a JSON schema"),
    ("tools", "tools"),
)


def short(text: str, most: int) -> str:
    """The text in one line of at most so many characters.

    >>> short("request", 10), short("customer_message", 10)
    ('request', 'customer_…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def clipped(
    text: str, pen: Pen, characters: int, rows: int, marks: Sequence[tuple[int, int]] = (), mark_style: str = ""
) -> Text:
    """The part of the text that is worth the room, and how much was left out on either side."""
    part = window(text, marks, characters, rows)
    moved = [(max(s, part.start) - part.start, e - part.start) for s, e in marks if e > part.start]
    out = Text(end="")
    if part.start:
        out.append_text(pen.text(f"{counts('character', part.start)} before … ", "dim"))
    for start in range(part.start, max(part.end, part.start + 1), 4000):  # as much as pen.text takes at once
        inner = [(max(0, s - (start - part.start)), e - (start - part.start)) for s, e in moved]
        out.append_text(pen.text(text[start : min(part.end, start + 4000)], marks=inner, mark_style=mark_style))
    if part.end < part.total:
        out.append_text(pen.text(f" … {counts('more character', part.total - part.end)}", "dim"))
    return out


def sample_lines(sample: ShownSample, pen: Pen, characters: int = 600, rows: int = 12) -> list[Text]:
    """Outcome and reason, how often exactly this was said, and the text behind a line in the outcome's colour."""
    colour = COLOURS[sample.outcome]
    badge = f"{pen.glyph(sample.outcome)} {WORDS[sample.outcome]}"
    times = f", said {counts('time', sample.same)}" if sample.same > 1 else ""
    reason = f"  {short(sample.reason, 300)}" if sample.reason else ""
    head = pen.join((badge, f"bold {colour}"), (times, "bold"), reason, (f"  {sample.id}", "dim"))
    side = Text.assemble("   ", (pen.glyph("side"), colour), " ")
    body = clipped(sample.text, pen, characters, rows, sample.marks, f"bold underline {colour}")
    if not sample.text:
        body = pen.text("(nothing)", "dim")
    return [*pen.wrap(head, 3, 5), *pen.wrap(body, side)]


def message_lines(messages: Sequence[Mapping[str, Any]], pen: Pen) -> list[Text]:
    """The messages of a request, each below its role."""
    out: list[Text] = []
    for message in messages:
        content = message.get("content")
        text = content if isinstance(content, str) else "" if content is None else json_text(content)
        rest = {k: v for k, v in message.items() if k not in ("role", "content") and v}
        text += ("\n" if text and rest else "") + (json_text(rest) if rest else "")
        out += pen.wrap(pen.text(str(message.get("role", "?")), "bold"))
        out += pen.wrap(clipped(text, pen, 1500, 30), Text.assemble("   ", (pen.glyph("side"), "dim"), " "))
    return out


def json_text(value: Any) -> str:
    """Any value as JSON for people; what JSON cannot hold as Python shows it."""
    return json.dumps(value, ensure_ascii=False, default=repr)


def token_lines(tokens: Sequence[Token], pen: Pen) -> list[Text]:
    """The tokens that were not a matter of course: their probability, and what else stood there."""
    known = [(i, t) for i, t in enumerate(tokens, 1) if t.logprob is not None]
    if not known:
        return pen.wrap(pen.text("The model does not tell how likely its tokens were.", "dim"))
    open_ = [(i, t) for i, t in known if math.exp(min(0.0, t.logprob or 0.0)) < SURE]
    out: list[Text] = []
    column = max((_token(t.text, pen).cell_len for _, t in open_[:MOST_TOKENS]), default=0)
    for i, token in open_[:MOST_TOKENS]:
        others = [(text, lp) for text, lp in token.top if text != token.text][:4]
        line = pen.join((f"{i:>6}  ", "dim"), _token(token.text, pen))
        line.append(" " * (column + 8 - line.cell_len))
        line.append_text(pen.text(f"  {_probability(token.logprob or 0.0):<6}"))
        for n, (text, lp) in enumerate(others):
            line.append_text(pen.text("   instead of " if not n else ", ", "dim"))
            line.append_text(pen.join(_token(text, pen, "dim"), (f" ({_probability(lp)})", "dim")))
        out += pen.wrap(line, 0, 10)
    rest = len(known) - len(open_)
    words = [f"{counts('token', rest)} at least {percent(SURE)} likely not shown"] if rest else []
    words += [f"{counts('more open place', len(open_) - MOST_TOKENS)}"] if len(open_) > MOST_TOKENS else []
    return out + (pen.wrap(pen.text("; ".join(words), "dim")) if words else [])


def openness(p: float | None) -> str:
    """The style of a token in a strip, by how often it is taken at its place (None: not known)."""
    if p is None or p > 0.9:
        return ""
    return "bold underline" if p <= 0.5 else "underline"


def tiny(p: float) -> str:
    """A probability down to one in a billion.

    >>> tiny(0.372), tiny(0.00004), tiny(2e-7), tiny(0.0)
    ('37 %', '0.004 %', '1 in 5,000,000', '0 %')
    """
    return percent(p) if p >= 1e-5 or p == 0 else f"1 in {float(f'{1 / p:.1g}'):,.0f}"


def _token(text: str, pen: Pen, style: str = "bold") -> Text:
    """A token with its spaces visible."""
    return pen.text(short(text.replace("\n", "⏎").replace(" ", "␣"), 24), style)


def _probability(logprob: float) -> str:
    return percent(max(1e-12, math.exp(min(0.0, logprob))))


def capability_lines(capabilities: Capabilities, pen: Pen) -> list[Text]:
    """A line per ability: yes, no or not tried; then the notes."""
    out: list[Text] = []
    for field, words in CAN:
        value = getattr(capabilities, field)
        said, style = ("not tried", "dim") if value is None else ("yes", "bold") if value else ("no", "dim")
        if field == "logprobs" and value:
            said = f"yes, {counts('alternative', value)} each"
        if field == "logprobs_mode" and value:
            said = "yes" if value == "raw" else "no, after it"
        out += pen.wrap(pen.join(f"{words:<34}", (said, style)), 3, 5)
    for note in capabilities.notes:
        out += pen.wrap(pen.text(note, "dim"), Text(f"   {pen.glyph('bullet')} "), 5)
    return out
