"""Byte-level BPE, trainer and encoder, token for token the same as llama.cpp's "gpt-2" tokenizer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
# GPT-2's regular expression with \p{L} written as [^\W\d_] and \p{N} as \d: the same for ASCII.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
SPLIT = re.compile("(" + "|".join(re.escape(s) for s in SPECIAL) + ")")
SPACE = "\u0120"  # how a leading space is written in the vocabulary
MIN_COUNT = 20  # a rarer pair is not worth a token


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in printable}
    for i, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + i)
    return table


BYTES = _byte_characters()
UNBYTES = {character: byte for byte, character in BYTES.items()}


def to_characters(word: str) -> str:
    return "".join(BYTES[b] for b in word.encode("utf-8"))


def _merge(word: tuple[str, ...], a: str, b: str) -> tuple[str, ...]:
    out, i = [], 0
    while i < len(word):
        step = 2 if i + 1 < len(word) and word[i] == a and word[i + 1] == b else 1
        out.append("".join(word[i : i + step]))
        i += step
    return tuple(out)


def train(texts: Iterable[str], merges: int) -> dict[str, list[str]]:
    """A vocabulary with up to `merges` merged pairs, most frequent first; ties by spelling, so it is repeatable."""
    counts: Counter[str] = Counter()
    for text in texts:
        for part in SPLIT.split(text):
            if part not in SPECIAL:
                counts.update(WORDS.findall(part))
    words: Counter[tuple[str, ...]] = Counter()
    for word, n in counts.items():
        words[tuple(to_characters(word))] += n
    pairs: Counter[tuple[str, str]] = Counter()
    for word, n in words.items():
        for pair in pairwise(word):
            pairs[pair] += n
    made: list[tuple[str, str]] = []
    while len(made) < merges and pairs:
        (a, b), n = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if n < MIN_COUNT:
            break
        made.append((a, b))
        for word in [w for w in words if (a, b) in pairwise(w)]:
            n, new = words.pop(word), _merge(word, a, b)
            for pair in pairwise(word):
                pairs[pair] -= n
            for pair in pairwise(new):
                pairs[pair] += n
            words[new] += n
    return {
        "vocab": [*SPECIAL, *(BYTES[b] for b in range(256)), *(a + b for a, b in made)],
        "merges": [f"{a} {b}" for a, b in made],
    }


class BPE:
    """Encodes and decodes with a trained vocabulary."""

    def __init__(self, spec: dict[str, list[str]]) -> None:
        self.vocab, self.merges = spec["vocab"], spec["merges"]
        self.ids = {token: i for i, token in enumerate(self.vocab)}
        self.end = self.ids["<|end|>"]
        self._ranks = {tuple(m.split(" ")): i for i, m in enumerate(self.merges)}
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, path: Path) -> BPE:
        return cls(json.loads(path.read_text()))

    def _encode_word(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is not None:
            return known
        pieces = list(to_characters(word))
        never = len(self._ranks)
        while len(pieces) > 1:
            ranks = [self._ranks.get(pair, never) for pair in pairwise(pieces)]
            best = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[best] == never:
                break
            pieces[best : best + 2] = [pieces[best] + pieces[best + 1]]
        ids = [self.ids[p] for p in pieces]
        if len(self._cache) < 200_000:  # made-up words would fill the memory
            self._cache[word] = ids
        return ids

    def encode(self, text: str) -> list[int]:
        """Token ids; the special tokens are recognised in the text."""
        ids: list[int] = []
        for part in SPLIT.split(text):
            if part in SPECIAL:
                ids.append(self.ids[part])
            else:
                for word in WORDS.findall(part):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        raw = bytearray()
        for i in ids:
            token = self.vocab[i]
            raw += token.encode() if token in SPECIAL else bytes(UNBYTES[ch] for ch in token)
        return raw.decode("utf-8", "replace")
