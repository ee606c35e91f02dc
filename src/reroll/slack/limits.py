"""What Slack takes at most, in one place, and how what is longer is cut: never in the middle of an escape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["BUTTON", "HEADER", "METADATA", "OPTION", "OPTIONS", "QUOTE", "TEXT", "VALUE", "escaped", "fitting", "words"]

TEXT = 3000  # characters of a section, and of a message's plain text as we send it
HEADER = 150
BUTTON = 75
VALUE = 2000  # of a button
OPTION = 75  # of a choice in a form, label and value
OPTIONS = 100
METADATA = 3000  # what a form carries along
BLOCKS = 50
TOTAL = 13_000  # of all blocks together; Slack does not document it, and answers msg_blocks_too_long
QUOTE = 300  # our own: of what somebody said, where it is only named
JSON = Any


def words(text: str, most: int) -> str:
    """The text, cut to so many characters with an ellipsis.

    >>> words("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def escaped(text: str, most: int = TEXT) -> str:
    """The text as Slack shows it literally: nothing in it is a mention, a link or a channel; cut as it is escaped.

    >>> escaped("<!channel> a & b")
    '&lt;!channel&gt; a &amp; b'
    >>> escaped("<<<<", 9)
    '&lt;&lt;…'
    """
    whole = _escape(text)
    if len(whole) <= most:
        return whole
    out, size = [], 0
    for letter in text:
        piece = _escape(letter)
        if size + len(piece) > most - 1:
            break
        out.append(piece)
        size += len(piece)
    return "".join(out).rstrip() + "…"


def _escape(text: str) -> str:
    shown = "".join(c for c in text if c in "\n\t" or c.isprintable() or c == "\u200d")
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fitting(blocks: Sequence[Mapping[str, JSON]]) -> list[Mapping[str, JSON]]:
    """As many of the blocks as one message takes, the last ones first among those that are kept: buttons end messages.

    What is left out is said in a block of its own.
    """
    kept = list(blocks)
    left_out = False
    while len(kept) > 1 and (len(kept) + left_out > BLOCKS or size(kept) > TOTAL - 200):
        at = _least(kept)
        del kept[at]
        if not left_out:
            left_out = True
            note = "More than a message holds was left out; the page has all of it."
            kept.insert(at, {"type": "context", "elements": [{"type": "mrkdwn", "text": note}]})
    return kept


def _least(blocks: Sequence[Mapping[str, JSON]]) -> int:
    """The block that is missed least: the last before the buttons and notes."""
    texts = [k for k, block in enumerate(blocks) if block["type"] in ("section", "image")]
    return texts[-1] if len(texts) > 1 else len(blocks) - 1


def size(blocks: Sequence[Mapping[str, JSON]]) -> int:
    return len(json.dumps(list(blocks), ensure_ascii=False))
