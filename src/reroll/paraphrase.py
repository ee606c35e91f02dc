"""Other words for the same request, made by fixed rules: no name, number, date, quotation, link or code is touched.

The rules are small and closed on purpose: each changes manners or typography, none the matter.  They
are English; of a text that does not look English only punctuation is changed.  What a model wrote
instead is held to the same: `unusable` says why a reply is no other wording of a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["IMPERATIVES", "KINDS", "Paraphrase", "cleaned", "english", "kept", "paraphrases", "unusable"]

SHORT = 400  # characters: a longer text is framed as a whole, its sentences are left alone
WORDS_OF_WORDING = 3  # a reply may have a third of the words, or so many times as many


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """kind: the rule that made it, one of KINDS; text: the request in these words."""

    kind: str
    text: str


# -- what is never touched ---------------------------------------------------------------------------------------------

LITERAL = re.compile(
    r"""
    ```.*?```|`[^`\n]+`                                     # code
    |"[^"\n]+"|“[^”]+”|«[^»]+»|(?<!\w)'[^'\n]{2,}'(?!\w)|(?<!\w)‘[^’\n]{2,}’(?!\w)   # quotations
    |https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.-]+          # links and addresses
    |\$[^$\n]+\$|\\[a-zA-Z]+(?:\{[^{}]*\})*|\{[^{}]*\}|<[^<>\n]+>   # formulas, placeholders, tags
    |[$€£¥\#@+-]?\d(?:[\d.,:/x×^-]*\d)?%?(?:st|nd|rd|th|[a-zA-Z°]{1,3}\b)?   # numbers, dates, times, with their units
    |\b\w+(?:[_\\/=]\w+|\(\w*\))+|\b[a-z]+[A-Z]\w*|\b\w+\.\w{1,4}\b(?![.?!]?\s+[A-Z])   # code words and files
    """,
    re.X | re.S,
)
NAME = re.compile(r"(?:[^\W\d_a-z]|[A-Z])[\w’'-]*")
START = re.compile(r"(?:^|[.!?:]\s+|\n\s*|[-*•]\s+)[\"“'‘(]*$")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"“(A-Z])")
WORD = re.compile(r"[^\W\d_]+(?:[’'][^\W\d_]+)?")

IMPERATIVES = frozenset(
    """add analyse analyze answer arrange ask book calculate call cancel change check choose classify compare complete
    compute convert correct count create decide define delete describe design determine draft estimate evaluate explain
    extract fill find fix generate get give help identify implement infer list look make move name order organise
    organize pick plan predict prepare produce propose provide put rank read recommend remind remove rename reply
    reschedule reserve return review rewrite say schedule select send set show simplify solve sort state suggest
    summarise summarize tell transform translate turn update use verify write""".split()
)
COMMON = IMPERATIVES | frozenset(
    """a about after all also an and any are as at because before both breakfast brunch but by can coffee could dinner
    do does drinks during each every for from good had has have hello her here hi his how however if in is it its let
    lunch many may meeting might more most my need next no not now of on once one or our out please she should since so
    some that the their them then there these they this those though to today tomorrow two under until up want was we
    were what when where whether which while who why will with would you your""".split()
)
ENGLISH = frozenset(
    """the with and of to for at on is are please what how which my you your this that from by next it can could would
    should i we have has not if when there these such does do don't doesn't didn't an all about""".split()
)
KEEP_CAPITAL = frozenset({"I", "I'm", "I've", "I'll", "I'd", "I’m", "I’ve", "I’ll", "I’d"})


def kept(text: str) -> tuple[str, ...]:
    """What every wording of a text must still say as it stands: literals and names, in their order.

    >>> kept('Lunch with Ana at 15:00 in "Le Bar", see https://x.org/a and call f_1(x).')
    ('Ana', '15:00', '"Le Bar"', 'https://x.org/a', 'f_1(x)')
    """
    return tuple(text[start:end] for start, end in _spans(text))


def _spans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = 0
    for match in LITERAL.finditer(text):
        found += _names(text, at, match.start())
        end = match.end()
        while text[match.start()] not in "\"“«'‘`{<" and text[end - 1] in ".,;:!?)" and text[end - 2 : end] != "()":
            if text[end - 1] == ")" and "(" in text[match.start() : end]:
                break
            end -= 1
        if end > match.start():
            found.append((match.start(), end))
        at = match.end()
    return [*found, *_names(text, at, len(text))]


def _names(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Words with a capital that no sentence gives them, and those that begin one and are no common word."""
    for match in NAME.finditer(text, start, end):
        if match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] in "’'"):
            continue
        word = match.group()
        plain = word.rstrip("’'-")
        if plain in KEEP_CAPITAL or not plain:
            continue
        if START.search(text[max(0, match.start() - 8) : match.start()]) and _is_common(plain, text):
            continue
        yield match.start(), match.start() + len(plain)


def _is_common(word: str, text: str) -> bool:
    small = word.lower().replace("’", "'")
    return (
        small.split("'")[0] in COMMON or re.search(rf"(?<![\w’'-]){re.escape(word.lower())}(?![\w-])", text) is not None
    )


# -- the rules ---------------------------------------------------------------------------------------------------------

CONTRACTIONS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "were not": "weren't", "cannot": "can't", "could not": "couldn't", "should not": "shouldn't",
    "would not": "wouldn't", "will not": "won't", "has not": "hasn't", "have not": "haven't", "had not": "hadn't",
    "i am": "i'm", "i have": "i've", "i will": "i'll", "we are": "we're", "we have": "we've", "we will": "we'll",
    "you are": "you're", "they are": "they're", "it is": "it's", "let us": "let's",
}  # fmt: skip
AMBIGUOUS = frozenset({"it's"})  # it is, it has: not spelled out
SYNONYMS = {
    "in order to": "to", "with regard to": "about", "regarding": "about", "concerning": "about",
    "for example": "for instance", "for instance": "for example", "such as": "like", "due to": "because of",
    "because of": "due to", "prior to": "before", "approximately": "about", "roughly": "about", "w/": "with",
    "need to": "have to", "have to": "need to", "want to": "would like to", "would like to": "want to",
    "make sure": "ensure", "ensure": "make sure", "let me know": "tell me", "as well as": "and also",
    "in addition": "also", "furthermore": "also", "however": "that said", "therefore": "so", "thus": "so",
    "at the moment": "right now", "as soon as possible": "as quickly as you can", "no later than": "by",
    "each of": "every one of", "a number of": "several", "asap": "as soon as possible",
}  # fmt: skip
FILLERS = re.compile(
    r"(?<!\w)(?:u+m+|u+h+|erm|er|hmm+|so like|you know|i guess|i mean|or something|basically|kinda|sort of)(?!\w),?\s*",
    re.I,
)
NOT_INDEPENDENT = re.compile(
    r"^(?:it|its|this|that|these|those|they|them|he|she|his|her|then|so|but|also|and|or|however|therefore|because|"
    r"thus|first|second|third|next|finally|last|otherwise|instead|both|such|here|there|after|before|if|as|given|now)\b",
    re.I,
)
ASKS = re.compile(r"^(?:please\s+)?(?:can|could|would|will) you(?: please)?\s+(?=\w)", re.I)
PLEASE = re.compile(r"^please[,]?\s+", re.I)


def paraphrases(text: str, most: int | None = None) -> tuple[Paraphrase, ...]:
    """Wordings of the text by the rules that apply to it, each once, in a fixed order; at most so many.

    In every one stands all that `kept` names, in its order (`order` apart), and no other digit.

    >>> for one in paraphrases("Book lunch with Ana at 15:00", 3): print(one.kind, "|", one.text)
    polite | Please book lunch with Ana at 15:00
    question | Could you book lunch with Ana at 15:00?
    close | Book lunch with Ana at 15:00. Thanks.
    """
    body = text.strip()
    if not body:
        return ()
    found: dict[str, Paraphrase] = {}
    same = {" ".join(body.split())}
    for kind, rule in KINDS.items():
        if kind not in NEUTRAL and not english(body):
            continue
        said = rule(body)
        if said is None or " ".join(said.split()) in same or not _holds(body, said, in_order=kind != "order"):
            continue
        same.add(" ".join(said.split()))
        found[kind] = Paraphrase(kind, said)
    return tuple(found.values())[:most]


def _holds(text: str, said: str, *, in_order: bool) -> bool:
    at = 0
    for piece in kept(text):
        there = said.find(piece, at)
        if there < 0:
            return False
        at = there + len(piece) if in_order else 0
    return sorted(c for c in text if c.isdigit()) == sorted(c for c in said if c.isdigit())


def english(text: str) -> bool:
    """Whether the text looks English: enough of its words are those that English sentences are held together by."""
    words = [w.lower() for w in WORD.findall(text)]
    hits = sum(w in ENGLISH for w in words)
    return bool(words) and hits >= min(2, len(words)) and hits >= 0.12 * len(words)


def _simple(text: str) -> bool:
    return len(text) <= SHORT and "\n" not in text


def _sentences(text: str) -> list[str]:
    return SENTENCE.split(text)


def _lowered(text: str) -> str:
    """The text with a small first letter, where its first word is a common one."""
    match = NAME.match(text)
    if match is None or match.group() in KEEP_CAPITAL or not _is_common(match.group(), text[match.end() :]):
        return text
    return text[0].lower() + text[1:]


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].islower() and not LITERAL.match(text) else text


def _first_word(text: str) -> str:
    match = WORD.match(text)
    return match.group().lower() if match else ""


def _framed(frame: str, text: str) -> str:
    return f"{frame}{' ' if _simple(text) else chr(10) * 2}{text}"


def _polite(text: str) -> str | None:
    if match := PLEASE.match(text):
        return _raised(text[match.end() :])
    if "please" in text.lower():
        return None
    if _first_word(text) in IMPERATIVES:
        return f"Please {_lowered(text)}"
    asks = _sentences(text)[-1].endswith("?")
    return _framed("Please answer this:" if asks else "Please take care of this:", text)


def _question(text: str) -> str | None:
    first, *rest = _sentences(text) if _simple(text) else [text]
    tail = "".join(f" {s}" for s in rest)
    if (match := ASKS.match(first)) and first.endswith("?"):
        return f"{_raised(first[match.end() : -1])}.{tail}"
    bare = PLEASE.sub("", first)
    if _simple(text) and _first_word(bare) in IMPERATIVES and not first.endswith("?"):
        return f"Could you {_lowered(bare).rstrip('.!')}?{tail}"
    if first.endswith("?"):
        return f"Answer this question: {text}" if not rest else None
    return _framed("Can you take care of this?", text)


def _close(text: str) -> str | None:
    if re.search(r"\bthank", text, re.I):
        return None
    end = "" if text[-1] in ".!?:;" or not _simple(text) else "."
    return f"{text}{end}{' ' if _simple(text) else chr(10) * 2}Thanks."


def _spoken(text: str) -> str | None:
    if not _simple(text) or len(_sentences(text)) > 1 or FILLERS.search(text):
        return None
    body = _lowered(text)
    return f"Um, so like, {body}" if body[-1] in "?!" else f"Um, so like, {body.rstrip('.')}, I guess"


def _plain(text: str) -> str | None:
    said = _outside(text, lambda piece: FILLERS.sub("", piece))
    said = re.sub(r"[ \t]{2,}", " ", re.sub(r"\s+([.,!?])", r"\1", said)).strip().rstrip(",")
    return _raised(said) if said != text and len(WORD.findall(said)) >= 2 else None


def _contracted(text: str) -> str | None:
    return _outside(text, lambda piece: _replaced(piece, CONTRACTIONS))


def _expanded(text: str) -> str | None:
    spelt = {short: full for full, short in CONTRACTIONS.items() if short not in AMBIGUOUS}
    return _outside(text.replace("’", "'"), lambda piece: _replaced(piece, spelt))


def _synonyms(text: str) -> str | None:
    return _outside(text, lambda piece: _replaced(piece, SYNONYMS))


def _greeting(text: str) -> str | None:
    return None if re.match(r"(?:hi|hello|hey|dear|good)\b", text, re.I) else _framed("Hello.", text)


def _stop(text: str) -> str | None:
    if text[-1] in ".!":
        last = text.split()[-1][:-1]
        return None if "." in last or text[-2:-1] in ".!" else text[:-1] + ("." if text[-1] == "!" else "")
    return f"{text}." if text[-1].isalnum() and _simple(text) else None


def _case(text: str) -> str | None:
    return _lowered(text) if text[0].isupper() else _raised(text)


def _order(text: str) -> str | None:
    """The last sentence first, where each of them could stand alone."""
    sentences = _sentences(text) if "\n" not in text else []
    if len(sentences) < 2 or text[-1] not in ".!?" or any(NOT_INDEPENDENT.match(s) or ": " in s for s in sentences):
        return None
    return " ".join([sentences[-1], *sentences[:-1]])


NEUTRAL = frozenset({"stop"})
KINDS: dict[str, Callable[[str], str | None]] = {
    "polite": _polite,
    "question": _question,
    "close": _close,
    "spoken": _spoken,
    "plain": _plain,
    "synonyms": _synonyms,
    "contracted": _contracted,
    "expanded": _expanded,
    "stop": _stop,
    "case": _case,
    "greeting": _greeting,
    "order": _order,
}
"""The rules in the order in which they are taken, by name: a please set or taken away, asked instead of told (or told
instead of asked), thanks at the end, with and without fillers, function phrases, contractions, the last full stop,
the first letter, a greeting, independent sentences in another order."""


def _outside(text: str, change: Callable[[str], str]) -> str:
    """The text with everything changed that no literal and no name holds."""
    out, at = [], 0
    for start, end in _spans(text):
        out += [change(text[at:start]), text[start:end]]
        at = end
    return "".join([*out, change(text[at:])])


def _replaced(text: str, table: dict[str, str]) -> str:
    """Each phrase of the table replaced once where it stands; a capital at its beginning stays."""
    phrases = "|".join(re.escape(p) for p in sorted(table, key=len, reverse=True))

    def one(match: re.Match[str]) -> str:
        there = match.group()
        said = table[" ".join(there.lower().split())]
        return said[0].upper() + said[1:] if there[0].isupper() else said

    return re.sub(rf"(?<![\w’'])(?:{phrases})(?![\w’'])", one, text, flags=re.I)


# -- what a model wrote instead ----------------------------------------------------------------------------------------

WRAPPED = re.compile(r"^(?:[\"“'‘](?P<inner>[^\"“”]*)[\"”'’]|(?P<bare>.*))$", re.S)
ANNOUNCED = re.compile(r"^(?:sure|here(?: is|'s)|rewritten|reworded|paraphrase[d]?)\b[^\n:]{0,60}:\s*", re.I)


def cleaned(reply: str, text: str) -> str:
    """The wording in a reply: without an announcement before it, or quotation marks around it that the text has not.

    >>> cleaned('Sure, here it is: "Could we have lunch?"', "Lunch?")
    'Could we have lunch?'
    """
    said = ANNOUNCED.sub("", reply.strip()).strip()
    if not text.strip().startswith(('"', "“", "'", "‘")) and (match := WRAPPED.match(said)) and match["inner"]:
        said = match["inner"].strip()
    return said


def unusable(said: str, text: str, others: Sequence[str] = (), *, cut: bool = False) -> str | None:
    """Why this is no other wording of the text, in a few words; None: it may be one.

    Args: others: wordings there are already; cut: the reply did not come to its end.

    >>> unusable('{"date": "2026-11-20"}', "Lunch with Ana on Friday")
    'answers the request instead of rewording it'
    >>> unusable("Lunch with Bob on Friday", "Lunch with Ana on Friday")
    'lacks “Ana”'
    >>> unusable("On Friday, lunch with Ana", "Lunch with Ana on Friday")
    """
    said, text = said.strip(), text.strip()
    if not said:
        return "is empty"
    if cut:
        return "was cut off"
    if _is_data(said) and not _is_data(text):
        return "answers the request instead of rewording it"
    if " ".join(said.split()) in {" ".join(one.split()) for one in (text, *others)}:
        return "says the same as another wording"
    low = said.casefold()
    first = _first_word(text)
    for piece in kept(text):
        if piece.casefold() not in low and not (text.startswith(piece) and piece.lower() == first):
            return f"lacks “{piece}”"
    extra = {m.group() for m in re.finditer(r"\d+", said)} - {m.group() for m in re.finditer(r"\d+", text)}
    if extra:
        return f"has a number that is not in the request: {min(extra)}"
    words, asked = len(said.split()), len(text.split())
    if not asked / WORDS_OF_WORDING <= words <= WORDS_OF_WORDING * asked + 8:
        return "is much shorter or longer"
    if "\n" in said and "\n" not in text:
        return "has several lines"
    return None


def _is_data(text: str) -> bool:
    body = re.sub(r"^```\w*\n?|```$", "", text.strip()).strip()
    try:
        return isinstance(json.loads(body), dict | list)
    except ValueError:
        return body.startswith(("{", "["))
