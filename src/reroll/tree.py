"""All completions of one request as one tree: what begins alike is there once, and where they part can be told.

A node is known by its content: the hash of its parent's id and its token.  So the same beginning has the
same id in every run, process and store.  The token that ends a completion is a token like any other;
completions cut at the token limit or by a stop string are leaves of their own.  The same text made of
other tokens is another leaf, joined only where it is reported.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reroll.odds import END, token_key
from reroll.sample import Completion, Token

__all__ = ["CUT", "ROOT", "STOP", "UNKNOWN", "Branch", "Ended", "Node", "Parting", "Tree", "path_of", "steps_of"]

Ended = Literal["end", "cut", "stop", "unknown"]
"""How a completion ended: by its last token; at the token limit; by a stop string, or the like, which takes
no further token; or by a token that the server did not list."""

ROOT = 0
CUT, STOP, UNKNOWN = "\x00cut", "\x00stop", "\x00unknown"
_LEAVES: dict[Ended, str] = {"cut": CUT, "stop": STOP, "unknown": UNKNOWN}


@dataclass(slots=True)
class Node:
    """A token after all those above it.

    parent:  place of the node before; -1 for the root. depth: tokens from the root to here, this one included.
    logprob: of this token, as the server first said it; listing: what it listed for the token after it.
    passes, fails, invalid: drawn samples that went through here, by how they ended.
    ended, outcome, said: for a leaf: how it ended, what its checks said, its whole text.
    """

    parent: int
    key: str
    text: str = ""
    token_id: int | None = None
    depth: int = 0
    logprob: float | None = None
    children: dict[str, int] = field(default_factory=dict)
    listing: Token | None = None
    passes: int = 0
    fails: int = 0
    invalid: int = 0
    ended: Ended | None = None
    outcome: str | None = None
    said: str | None = None

    @property
    def samples(self) -> int:
        return self.passes + self.fails + self.invalid


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two completions part: after `shared` tokens, `text`, one goes on with `first`, the other with `second`."""

    node: int
    shared: int
    text: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A stretch of the tree along which nothing parts, and what comes after it.

    text:    of the stretch; tokens: how many; depth: tokens before it.
    others:  samples in branches that were left out because too few went there.
    """

    id: str
    text: str
    tokens: int
    depth: int
    samples: int
    passes: int
    fails: int
    invalid: int
    ended: Ended | None
    branches: tuple[Branch, ...] = ()
    others: int = 0


def path_of(completion: Completion) -> tuple[tuple[Token, ...], Ended]:
    """A completion's tokens, and how they ended: whether the last one is the token that ended it.

    >>> path_of(Completion("Hi", "stop", tokens=(Token("Hi"), Token("</s>"))))[1]
    'end'
    >>> path_of(Completion("Hi", "stop", tokens=(Token("Hi"),)))[1], path_of(Completion("Hi", "length"))[1]
    ('unknown', 'cut')
    """
    tokens = completion.tokens
    if completion.finish_reason in ("length", "max_tokens"):
        return tokens, "cut"
    if tokens and (not tokens[-1].text or "".join([t.text for t in tokens[:-1]]) == completion.text):
        return tokens, "end"
    spelt = "".join([t.text for t in tokens])
    if completion.finish_reason == "stop" and len(spelt) > len(completion.text) and spelt.startswith(completion.text):
        return tokens, "stop"  # a stop string was cut off
    return tokens, "unknown"


WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


def steps_of(completion: Completion) -> tuple[str, ...]:
    """The texts of a completion's tokens; its words, each with the space before it, where no token is known.

    >>> steps_of(Completion("Hi, you")), steps_of(Completion("Hi", tokens=(Token("H"), Token("i"))))
    (('Hi', ',', ' you'), ('H', 'i'))
    """
    return tuple(t.text for t in completion.tokens) or tuple(WORD.findall(completion.text))


class Tree:
    """Grows by paths; nodes keep their places. `request` is what all its completions answer, as an id.

    >>> tree = Tree("r1")
    >>> _ = tree.grow([Token("A"), Token("b")], "cut", outcome="pass", drawn=True)
    >>> leaf = tree.grow([Token("A"), Token("c")], "cut", outcome="fail", drawn=True)[-1]
    >>> tree.text(leaf), tree.nodes[1].samples, len(tree.nodes)
    ('Ac', 2, 6)
    """

    def __init__(self, request: str = "") -> None:
        self.request = request
        self.nodes: list[Node] = [Node(-1, "")]
        self._ids: dict[int, str] = {}

    def grow(
        self,
        tokens: Sequence[Token],
        ended: Ended | None = None,
        *,
        at: int = ROOT,
        outcome: str | None = None,
        drawn: bool = False,
        said: str | None = None,
    ) -> list[int]:
        """The places of a path's nodes, the one that it starts from first, its leaf last; new ones are made.

        Args:    ended: None: the path goes on, it has no leaf yet; drawn: a sample drawn from the request,
                 from the root on, is counted; said: its whole text, if the tokens' texts do not spell it.
        """
        path = [at]
        for i, token in enumerate(tokens):
            node = self.nodes[path[-1]]
            if node.listing is None and (token.logprob is not None or token.top):
                node.listing = token
            last = ended == "end" and i == len(tokens) - 1
            key = END if last else token_key(token.text, token.id)
            path.append(self.child(path[-1], key, token.text, token.id, token.logprob))
        if ended is not None and ended != "end":
            path.append(self.child(path[-1], _LEAVES[ended]))
        if ended is not None:
            leaf = self.nodes[path[-1]]
            leaf.ended = ended
            leaf.outcome = leaf.outcome or outcome
            leaf.said = leaf.said or said
        if drawn:
            if at != ROOT or outcome not in ("pass", "fail", "invalid"):
                raise ValueError(f"a drawn sample starts at the root and has an outcome, got {at} and {outcome!r}")
            for place in path:
                node = self.nodes[place]
                node.passes += outcome == "pass"
                node.fails += outcome == "fail"
                node.invalid += outcome == "invalid"
        return path

    def child(
        self, parent: int, key: str, text: str = "", token_id: int | None = None, logprob: float | None = None
    ) -> int:
        """The place of this child, which is made if it is not there."""
        above = self.nodes[parent]
        place = above.children.get(key)
        if place is None:
            place = above.children[key] = len(self.nodes)
            leaf = key in (CUT, STOP, UNKNOWN)
            self.nodes.append(Node(parent, key, text, token_id, above.depth + (not leaf), logprob))
        elif token_id is not None and self.nodes[place].token_id is None:
            self.nodes[place].token_id = token_id
        return place

    def id(self, place: int) -> str:
        """The node's id: `t1:` and 16 hex digits, the hash of its parent's id and its token."""
        wanted = []
        while place not in self._ids and place != -1:
            wanted.append(place)
            place = self.nodes[place].parent
        for one in reversed(wanted):
            node = self.nodes[one]
            above = self.request if node.parent == -1 else self._ids[node.parent]
            content = f"{above}\x00{node.key}".encode("utf-8", "surrogatepass")
            self._ids[one] = "t1:" + hashlib.blake2b(content, digest_size=8).hexdigest()
        return self._ids[wanted[0] if wanted else place]

    def path(self, place: int) -> list[int]:
        """The places from the root to this node, both included."""
        path = []
        while place != -1:
            path.append(place)
            place = self.nodes[place].parent
        return path[::-1]

    def text(self, place: int) -> str:
        """What is written up to this node; the token that ends a completion writes nothing."""
        node = self.nodes[place]
        if node.said is not None:
            return node.said
        return "".join([self.nodes[i].text for i in self.path(place) if self.nodes[i].key != END])

    def parting(self, a: int, b: int) -> Parting | None:
        """Where two leaves part; None if one is the beginning of the other, or both are one."""
        one, other = self.path(a), self.path(b)
        shared = sum(1 for x, y in zip(one, other, strict=False) if x == y)
        if shared in (len(one), len(other)):
            return None
        node = one[shared - 1]
        first, second = self.nodes[one[shared]], self.nodes[other[shared]]
        return Parting(node, self.nodes[node].depth, self.text(node), first.text, second.text)

    def leaves(self) -> Iterable[int]:
        """The places of all completions."""
        return (i for i, node in enumerate(self.nodes) if node.ended is not None)

    def branches(self, least: int = 1) -> Branch:
        """The drawn samples as branches: nodes run together where nothing parts, those with most samples first.

        Args:    least: branches with fewer samples are left out, and counted in `others`.
        """
        done: dict[int, Branch] = {}
        stack = [ROOT]
        while stack:
            start = stack[-1]
            end, length = self._stretch(start)
            going = [c for c in self.nodes[end].children.values() if self.nodes[c].samples]
            kept = [c for c in going if self.nodes[c].samples >= least]
            waiting = [c for c in kept if c not in done]
            if waiting:
                stack += waiting
                continue
            stack.pop()
            node, first = self.nodes[end], self.nodes[start]
            below = sorted((done.pop(c) for c in kept), key=lambda b: (-b.samples, b.text))
            done[start] = Branch(
                self.id(end),
                self._between(start, end),
                length,
                max(0, first.depth - 1),
                first.samples,
                first.passes,
                first.fails,
                first.invalid,
                node.ended,
                tuple(below),
                sum(self.nodes[c].samples for c in going if c not in kept),
            )
        return done[ROOT]

    def _stretch(self, place: int) -> tuple[int, int]:
        """The last node before samples part, or a leaf; and how many tokens there are from `place` on."""
        length = int(self.nodes[place].depth > 0 and self.nodes[place].key not in (CUT, STOP, UNKNOWN))
        while True:
            going = [c for c in self.nodes[place].children.values() if self.nodes[c].samples]
            if len(going) != 1:
                return place, length
            place = going[0]
            length += self.nodes[place].key not in (CUT, STOP, UNKNOWN)

    def _between(self, start: int, end: int) -> str:
        """The text from `start` to `end`, both included."""
        texts = []
        while True:
            node = self.nodes[end]
            texts.append("" if node.key == END else node.text)
            if end == start:
                return "".join(reversed(texts))
            end = node.parent
