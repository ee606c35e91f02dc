"""What a person wrote on Slack, as they wrote it: without Slack's marks, and what they quoted in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reroll.intake.reported import QUOTED

__all__ = ["most_words", "plain", "quotes"]

MARK = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
FENCED = re.compile(r"```(?:[a-z]*\n)?(.*?)```", re.S)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
MOST = 20_000
most_words = MOST


def plain(text: str) -> str:
    """The words: mentions of people are left out, links are what they show, `&lt;` is `<`.

    >>> plain("<@U1> I tried &lt;b&gt; on <https://a.example|the page>")
    'I tried <b> on the page'
    """

    def shown(mark: re.Match[str]) -> str:
        kind, inner, label = mark.groups()
        if kind == "@":
            return ""
        if kind:
            return f"{kind if kind == '#' else '@'}{label or inner}"
        return str(label or inner.removeprefix("mailto:"))

    bare = MARK.sub(shown, text[:MOST])
    return bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def quotes(words: str) -> Sequence[str]:
    r"""What is quoted in plain words: fenced, as code, in lines that begin with `>`, or in quotation marks.

    >>> quotes('I tried "Lunch at noon" and\n> Tea\n> at four\nit failed: `x=1`')
    ('x=1', 'Tea\nat four', 'Lunch at noon')
    """
    found = [fenced.strip() for fenced in FENCED.findall(words)]
    rest = FENCED.sub(" ", words)
    found += [code.strip() for code in CODE.findall(rest)]
    rest = CODE.sub(" ", rest)
    block: list[str] = []
    unquoted: list[str] = []
    for line in [*rest.splitlines(), ""]:
        if line.startswith(">"):
            block.append(line.removeprefix(">").strip())
            continue
        if block:
            found.append("\n".join(block).strip())
            block = []
        unquoted.append(line)
    found += [next(g for g in m.groups() if g).strip() for m in QUOTED.finditer("\n".join(unquoted))]
    return tuple(dict.fromkeys(quote for quote in found if len(quote) > 2))
