"""Whole words or single letters, longest match first: llama.cpp's "rwkv" tokenizer with a vocabulary of our own.

A frequent word is one token, its leading space included; everything else, every name above all, is spelt letter by
letter. So a name has the same tokens wherever it stands, and copying it is always the same job.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.wordings import NAMES, NAMES_HELD

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
# What an answer is made of besides words; digits in pairs, so that a day and an hour are one token each.
PIECES = (
    *('{"', '":"', '","', '":', ',"', '":["', '"]}', '"],"', '"}', "[]", '[],"', "[]}"),
    *("2026-11-", "2026-12-", "/11/2026", "/12/2026", ":00", ":15", ":30", ":45", "\n- ", "):", " ("),
    *(f"{n:02d}" for n in range(100)),
)
WORDS = re.compile(r" ?[A-Za-z]+(?:_[a-z]+)?")
MIN_COUNT = 12  # a rarer word is spelt


def _ways(name: str) -> tuple[str, ...]:
    return tuple(f" {way}" for way in (name, name.upper(), name.lower()))


NAME_WAYS = tuple(way for name in (*NAMES, *NAMES_HELD) for way in _ways(name))


def may_be_token(word: str) -> bool:
    """Would this word, as a token, ever swallow a part of a name?"""
    bare = word.lstrip()
    if word == bare and (len(bare) < 4 or any(bare in way for way in NAME_WAYS)):
        return False
    if bare[0].isupper() and len(bare) < 4 and not (len(bare) > 1 and bare.isupper()):  # the beginning of many a name
        return False
    return not any(way.startswith(word) for way in NAME_WAYS)


def learn(texts: Iterable[str], words: int) -> list[str]:
    """The vocabulary: special tokens, all bytes, pieces, and the most frequent words; ties by spelling."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORDS.findall(text))
    frequent = sorted((-n, word) for word, n in counts.items() if n >= MIN_COUNT and may_be_token(word))
    return [*SPECIAL, *(escaped(bytes([b])) for b in range(256)), *map(_escaped_text, PIECES)] + [
        _escaped_text(word) for _, word in frequent[:words]
    ]


def escaped(raw: bytes) -> str:
    """A token as the GGUF stores it."""
    return "".join("\\\\" if b == 92 else chr(b) if 32 <= b < 127 else "\\n" if b == 10 else f"\\x{b:02x}" for b in raw)


def _escaped_text(text: str) -> str:
    return escaped(text.encode())


def _unescaped(token: str) -> bytes:
    def one(match: re.Match[str]) -> str:
        found = match.group(1)
        return "\n" if found == "n" else "\\" if found == "\\" else chr(int(found[1:], 16))

    return re.sub(r"\\(x[0-9a-f]{2}|n|\\)", one, token).encode("latin-1")


class Tokenizer:
    """Encodes and decodes with a vocabulary."""

    def __init__(self, vocab: list[str]) -> None:
        self.vocab = vocab
        self.raw = [_unescaped(token) for token in vocab]
        self._by_raw = {raw: i for i, raw in enumerate(self.raw)}
        self.end = self._by_raw[b"<|end|>"]
        longest_first = sorted((raw for raw in self.raw if len(raw) > 1), key=len, reverse=True)
        self._longest = re.compile(b"|".join(map(re.escape, longest_first)) + b"|.", re.DOTALL)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        return cls(json.loads(path.read_text()))

    def id(self, text: str) -> int:
        """The token that is exactly this text."""
        return self._by_raw[text.encode()]

    def encode(self, text: str) -> list[int]:
        """Token ids; the special tokens are recognised in the text."""
        return [self._by_raw[piece] for piece in self._longest.findall(text.encode())]

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self.raw[i] for i in ids).decode("utf-8", "replace")
