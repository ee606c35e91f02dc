"""A call's completions, found in order of their exact probability: best-first search by greedy completions.

The likeliest prefix that was not followed yet is completed greedily by the server, which lists the
alternatives at every step.  They are prefixes for later; the completion is judged, and its probability is
known.  A sample drawn with log probabilities is such a path too.  Nothing here is estimated by drawing: as
far as the server's numbers are true, the failure rate lies in the bracket with certainty.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from reroll.bracket import failure_bracket
from reroll.evidence import Est
from reroll.futures import Call, Future, Futures, Prefix
from reroll.noise import FLOAT32, Noise, drift_between
from reroll.odds import END, Odds, listing_only, listing_problem, odds, token_key
from reroll.sample import Token
from reroll.sampler import PLAIN, Sampling
from reroll.tree import CUT, ROOT, STOP, UNKNOWN, Ended, Node, Tree

__all__ = ["Enumeration"]

_ZERO = -math.inf
# Tokens that write nothing or steer the server. Sent as a prefix they would not mean what was drawn.
_SPECIAL = re.compile(r"|</?s>|<[|｜].*[|｜]>|<(eos|bos|pad|unk|end_of_turn|start_of_turn)>|\[/?INST\]")


@dataclass(frozen=True, slots=True)
class _Mass:
    """Log probabilities: bounds and the value between them."""

    low: float
    high: float
    value: float

    def then(self, low: float, high: float) -> _Mass:
        value = 0.5 * (low + high)
        return _Mass(self.low + _log(low), self.high + _log(high), self.value + _log(value))


class Enumeration:
    """The search for one request; grows by `add`, says by `next_prefix` where to look next.

    Args:  sampling: what the request's tokens are drawn with; noise: as far as known before; what repeated
           listings show is added by itself; vocabulary: see `odds`; floor: no prefix below this
           probability is followed; request: the id of what the tree's completions answer; end_keys: the
           tokens that end a completion (`token_key`), as far as known before: others are learned from
           completions that end. Other special tokens are never sent: what begins with them stays unknown;
           asked: how many alternatives the server is asked for; limit: tokens after which a completion is
           cut (the request's max_tokens).

    >>> half, top = math.log(0.5), (("a", math.log(0.5)), ("b", math.log(0.5)))
    >>> search = Enumeration()
    >>> _ = search.add([Token("a", half, top)], "cut", "pass")
    >>> [round(x, 4) for x in (search.futures().known_success, search.futures().unexplored)]
    [0.5, 0.5]
    >>> search.next_prefix().text
    'b'
    """

    def __init__(
        self,
        sampling: Sampling = PLAIN,
        noise: Noise = FLOAT32,
        *,
        vocabulary: int | None = None,
        floor: float = 1e-9,
        request: str = "",
        end_keys: Set[str] = frozenset(),
        asked: int | None = None,
        limit: int | None = None,
    ) -> None:
        self.sampling, self.noise, self.vocabulary, self.floor = sampling, noise, vocabulary, floor
        self.tree = Tree(request)
        self.seen = noise
        self.calls = self.tokens = 0
        self.history: list[Call] = []
        self.end_keys = set(end_keys)
        self.asked, self.limit = asked, limit
        self._out: set[tuple[int, str]] = set()  # given out by next_prefix, and not come back
        self._begin()

    def _begin(self) -> None:
        self.odds: dict[int, Odds] = {}
        self._mass: dict[int, _Mass] = {ROOT: _Mass(0.0, 0.0, 0.0)}
        self._heap: list[tuple[float, int, int]] = []
        self._settled: dict[int, None] = {}
        self._known = {"fail": 0.0, "pass": 0.0, "invalid": 0.0}
        self._unexplored = self._outside = self._found = self._lengths = 0.0

    # ---------------------------------------------------------------- growing

    def add(
        self,
        tokens: Sequence[Token],
        ended: Ended,
        outcome: str,
        prefix: Prefix | None = None,
        *,
        drawn: bool = False,
        said: str | None = None,
    ) -> float:
        """Take a judged completion in; the probability that became known by it, 0 if it was known.

        Args:    tokens: what came after the prefix (None: after nothing), as the server listed them;
                 empty for a prefix that ended; outcome: `pass`, `fail` or `invalid`, of prefix and tokens;
                 drawn: a sample of the request, not a greedy completion: it is counted in the tree;
                 said: the whole text, where the tokens' texts do not spell it.
        Raises:  ValueError: numbers that are no probabilities; the tree is as before then.
        """
        if outcome not in self._known:
            raise ValueError(f"an outcome is pass, fail or invalid, got {outcome!r}")
        if ended == "end" and tokens and (end := token_key(tokens[-1].text, tokens[-1].id)) not in self.end_keys:
            self.end_keys.add(end)
            self.again()  # it may stand in lists that were read before
        start = ROOT
        if prefix is not None:
            start = self.tree.child(prefix.node, prefix.key, prefix.texts[-1], prefix.ids[-1])
        known = self._walk(tokens, start, ended)
        fresh = odds(
            listing_only(tokens[known:], self.asked),
            self.sampling,
            self.noise,
            self.vocabulary,
            self.end_keys,
            self.asked,
        )
        if prefix is not None:
            self._out.discard((prefix.node, prefix.key))
            self._reach(start)
            ended = prefix.ended or ended
        path = self.tree.grow(tokens, ended, at=start, outcome=outcome, drawn=drawn, said=said)
        for i, child in enumerate(path[1:]):
            if known <= i < len(tokens) and self.tree.nodes[path[i]].listing is not None:
                self._open(path[i], fresh[i - known])
            self._reach(child)
        before = sum(self._known.values())
        if path[-1] not in self._settled:
            self._settle(path[-1])
        gained = sum(self._known.values()) - before
        if not drawn and (prefix is None or not prefix.ended):
            self.calls += 1
            self.tokens += len(tokens)
            self.history.append(Call(len(tokens), 1.0 if prefix is None else prefix.prob, gained, self.unknown))
        return gained

    def next_prefix(self) -> Prefix | None:
        """The likeliest prefix that nobody followed, which now counts as given out; None below the floor."""
        self._skip()
        if not self._heap or -self._heap[0][0] < math.log(self.floor):
            return None
        _, node, place = heapq.heappop(self._heap)
        self._push(node, place + 1)
        self._out.add((node, self.odds[node].keys[place]))
        return self.prefix(node, place)

    def put_back(self, prefix: Prefix) -> None:
        """A call for this prefix failed: it may be given out again."""
        self._out.discard((prefix.node, prefix.key))
        place = self.odds[prefix.node].keys.index(prefix.key)
        heapq.heappush(self._heap, (-math.log(prefix.prob), prefix.node, place))

    def prefix(self, node: int, place: int) -> Prefix:
        """The prefix that goes on from this node with the token at this place of its list."""
        here = self.odds[node]
        above = [self.tree.nodes[i] for i in self.tree.path(node)[1:]]
        low, value = self._child_mass(node, place)
        return Prefix(
            node,
            here.keys[place],
            (*(n.text for n in above), here.texts[place]),
            (*(n.token_id for n in above), here.ids[place]),
            low,
            value,
            self._ends(node, place),
        )

    # ---------------------------------------------------------------- what is known

    def futures(self, down_to: float = 1e-6) -> Futures:
        """All that is known now; masses are taken anew first if the server was seen to be less steady than thought."""
        self.widen()
        failure, success, invalid = (min(1.0, self._known[o]) for o in ("fail", "pass", "invalid"))
        left = max(0.0, 1 - failure - success - invalid)
        unexplored = min(left, math.fsum(low for _, _, low in self.frontier()))
        outside = min(left - unexplored, max(0.0, self._outside))
        judged = failure + success
        low, high = self.bracket()
        low = max(failure, low)
        rate = Est(failure / judged if judged else None, low, max(low, min(high, 1 - success)), 0)
        return Futures(
            failure,
            success,
            invalid,
            unexplored,
            outside,
            max(0.0, left - unexplored - outside),
            rate,
            self.calls,
            self.tokens,
            replace(self.seen),
            self._completions(down_to),
        )

    def widen(self) -> None:
        """Take the masses anew if the server was seen to be less steady than they allow for."""
        if self.seen.body > self.noise.body or self.seen.tail > self.noise.tail:
            self.noise = self.seen
            self.again()

    def bracket(self) -> tuple[float, float]:
        """Bounds of the failure rate, as narrow as what is known allows; takes time in proportion to all lists."""
        return failure_bracket(self.tree, self.odds)

    def frontier(self) -> Iterable[tuple[int, int, float]]:
        """(node, place, least probability) of every listed way that nobody followed and that can be."""
        for node, here in self.odds.items():
            children, mass = self.tree.nodes[node].children, math.exp(self._mass[node].low)
            for place, (key, low) in enumerate(zip(here.keys, here.low, strict=True)):
                if low > 0 and key not in children and not self._unsendable(node, place):
                    yield node, place, mass * low

    @property
    def unexplored(self) -> float:
        """About how probable all listed ways are together that nobody followed."""
        return max(0.0, self._unexplored)

    def known(self, outcome: str) -> float:
        """How probable the completions are, at least, that were found and ended so."""
        return min(1.0, self._known[outcome])

    def next_probability(self) -> float:
        """About how probable the prefix is that `next_prefix` would give out; 0 if there is none."""
        self._skip()
        return math.exp(-self._heap[0][0]) if self._heap else 0.0

    def next_ends(self) -> bool:
        """Whether that prefix needs no call: its last token ends the completion."""
        self._skip()
        return bool(self._heap) and self._ends(*self._heap[0][1:]) is not None

    def mean_tokens(self) -> float:
        """How many tokens a completion has, in the mean over those found; 0 before there is one."""
        return self._lengths / self._found if self._found else 0.0

    @property
    def unknown(self) -> float:
        """How wide the bracket of the failure rate is."""
        return max(0.0, 1 - self._known["fail"] - self._known["pass"])

    def probability(self, place: int) -> tuple[float, float] | None:
        """Bounds of the chance that a completion goes through this node of the tree; None if it is not known."""
        mass = self._mass.get(place)
        return None if mass is None else (math.exp(mass.low), min(1.0, math.exp(mass.high)))

    def leaf_log_probs(self) -> list[tuple[float, float]]:
        """Bounds of the log probability of every completion that was found, each way of splitting it by itself."""
        return [(self._mass[leaf].low, self._mass[leaf].high) for leaf in self._settled]

    def again(self) -> None:
        """Every probability taken anew from the tree, under the present `noise` and `sampling`."""
        nodes = self.tree.nodes
        leaves = self._settled
        self._begin()
        listed = [i for i, node in enumerate(nodes) if node.listing is not None]
        tokens = listing_only([nodes[i].listing or Token("") for i in listed], self.asked)
        found = dict(
            zip(
                listed, odds(tokens, self.sampling, self.noise, self.vocabulary, self.end_keys, self.asked), strict=True
            )
        )
        for place in range(len(nodes)):  # parents come before their children
            if place != ROOT and nodes[place].parent in self._mass:
                self._reach(place)
            if place in found and place in self._mass:
                self._open(place, found[place])
        for leaf in leaves:
            self._settle(leaf)

    # ---------------------------------------------------------------- inside

    def _open(self, node: int, found: Odds) -> None:
        """The ways to go on from this node are known now."""
        self.odds[node] = found
        mass = self._mass[node]
        self._unexplored += math.exp(mass.value) * sum(found.value(i) for i in range(len(found.keys)))
        self._outside += math.exp(mass.high) * found.outside_high
        self._push(node, 0)

    def _skip(self) -> None:
        """Drop from the top of the heap what was followed since, was given out, or cannot be sent."""
        while self._heap:
            _, node, place = self._heap[0]
            key = self.odds[node].keys[place]
            taken = key in self.tree.nodes[node].children or (node, key) in self._out
            if not (taken or self._unsendable(node, place)):
                return
            heapq.heappop(self._heap)
            self._push(node, place + 1)

    def _push(self, node: int, place: int) -> None:
        here = self.odds[node]
        while place < len(here.keys):
            if here.high[place] > 0:
                heapq.heappush(self._heap, (-(self._mass[node].value + _log(here.value(place))), node, place))
                return
            place += 1

    def _reach(self, child: int) -> None:
        """The probability of a node, from its parent's."""
        if child in self._mass:
            return
        node = self.tree.nodes[child]
        mass, here = self._mass[node.parent], self.odds.get(node.parent)
        if node.key in (CUT, STOP):
            self._mass[child] = mass
            return
        if here is None or node.key == UNKNOWN:
            self._mass[child] = _Mass(_ZERO, mass.high, _ZERO)
            return
        if node.key in here.keys:
            place = here.keys.index(node.key)
            self._mass[child] = mass.then(here.low[place], here.high[place])
            self._unexplored -= math.exp(mass.value) * here.value(place)
            return
        low, high = self._unlisted(node)
        self._mass[child] = mass.then(low, high)
        self._outside -= math.exp(mass.low) * low

    def _unlisted(self, node: Node) -> tuple[float, float]:
        """Bounds of the chance of a token that was drawn but not listed, by what it said itself."""
        (listing,) = listing_only([self.tree.nodes[node.parent].listing or Token("")], self.asked)
        own = Token(node.text, node.logprob, listing.top, node.token_id, listing.top_ids)
        (found,) = odds([own], self.sampling, self.noise, self.vocabulary, self.end_keys, self.asked)
        return found.low[found.chosen], found.high[found.chosen]

    def _settle(self, leaf: int) -> None:
        """A completion's outcome is known: its least probability moves there."""
        self._settled[leaf] = None
        node = self.tree.nodes[leaf]
        assert node.outcome is not None
        self._known[node.outcome] += math.exp(self._mass[leaf].low)
        self._found += math.exp(self._mass[leaf].value)
        self._lengths += math.exp(self._mass[leaf].value) * node.depth

    def _ends(self, node: int, place: int) -> Ended | None:
        """How the token at this place of the node's list ends the completion, if it does."""
        if self.odds[node].keys[place] == END:
            return "end"
        return "cut" if self.limit is not None and self.tree.nodes[node].depth + 1 >= self.limit else None

    def _unsendable(self, node: int, place: int) -> bool:
        return self._ends(node, place) is None and _SPECIAL.fullmatch(self.odds[node].texts[place]) is not None

    def _child_mass(self, node: int, place: int) -> tuple[float, float]:
        mass, here = self._mass[node], self.odds[node]
        return math.exp(mass.low) * here.low[place], math.exp(mass.value) * here.value(place)

    def _walk(self, tokens: Sequence[Token], start: int, ended: Ended) -> int:
        """How many of these tokens were listed before; what the two listings say about the server's noise is kept."""
        place, seen = start, self.seen
        for i, token in enumerate(tokens):
            node = self.tree.nodes[place]
            if place not in self.odds or node.listing is None:
                break
            if problem := listing_problem(token):
                raise ValueError(f"token {i + 1}: {problem}")
            body, tail = drift_between(node.listing, token, seen.common)
            seen = replace(seen, body=max(seen.body, body), tail=max(seen.tail, tail), repeats=seen.repeats + 1)
            key = END if ended == "end" and i == len(tokens) - 1 else token_key(token.text, token.id)
            if key not in node.children:
                i += 1
                break
            place = node.children[key]
        else:
            i = len(tokens)
        self.seen = seen
        return i

    def _completions(self, down_to: float) -> tuple[Future, ...]:
        joined: dict[tuple[str, str, Ended], list[int]] = {}
        for leaf in self._settled:
            node = self.tree.nodes[leaf]
            assert node.outcome is not None
            assert node.ended is not None
            joined.setdefault((self.tree.text(leaf), node.outcome, node.ended), []).append(leaf)
        found = []
        for (text, outcome, ended), leaves in joined.items():
            masses = [self._mass[leaf] for leaf in leaves]
            low, high, prob = (
                math.fsum(math.exp(m) for m in side)
                for side in ([m.low for m in masses], [m.high for m in masses], [m.value for m in masses])
            )
            if max(prob, low) >= down_to:
                ids = tuple(self.tree.id(leaf) for leaf in leaves)
                found.append(Future(text, outcome, ended, low, prob, min(1.0, high), len(leaves), ids))
        return tuple(sorted(found, key=lambda f: (-f.prob, f.text)))


def _log(p: float) -> float:
    return math.log(p) if p > 0 else _ZERO
