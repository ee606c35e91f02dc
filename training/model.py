"""A small Llama-architecture decoder in torch: RMSNorm, interleaved RoPE, SwiGLU, tied embeddings.

The weights go to GGUF as they are: rotating the pairs (2i, 2i+1) is what llama.cpp does for this architecture. Only
the first pairs of each head are rotated; the others see no distance, so what is alike is found however far it is.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.tokenizer import SPECIAL, Tokenizer

FREQUENCIES = (1.0, 0.56, 0.32, 0.18, 0.05, 0.012)  # of the pairs that turn: neighbours, sentences, turns of a chat
TURNING_PAIRS = len(FREQUENCIES)
STILL = 1e9  # what the frequency of the other pairs is divided by


@dataclass(frozen=True)
class Shape:
    vocab: int
    width: int = 160
    layers: int = 4
    heads: int = 5
    hidden: int = 384
    context: int = 1024  # positions the file allows; training sees about 640
    eps: float = 1e-5
    theta: float = 10000.0

    @property
    def head(self) -> int:
        return self.width // self.heads

    def slowed(self) -> Tensor:
        """What llama.cpp's own frequency of each pair is divided by (its tensor rope_freqs)."""
        factors = torch.full((self.head // 2,), STILL)
        factors[:TURNING_PAIRS] = self._own()[:TURNING_PAIRS] / torch.tensor(FREQUENCIES)
        return factors

    def _own(self) -> Tensor:
        return self.theta ** (-torch.arange(0, self.head, 2).float() / self.head)

    def angles(self) -> Tensor:
        """(position, pair)"""
        return torch.arange(self.context).float()[:, None] * (self._own() / self.slowed())


class Norm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """RoPE on the first pairs; x is (B, H, T, head width), turns complex: faster than separate sines and cosines."""
    first = 2 * turns.shape[-1]
    pairs = torch.view_as_complex(x[..., :first].float().unflatten(-1, (-1, 2)))
    return torch.cat((torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype), x[..., first:]), -1)


def _linear(n_in: int, n_out: int) -> nn.Linear:
    return nn.Linear(n_in, n_out, bias=False)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.norm_attention, self.norm_feed = Norm(d, shape.eps), Norm(d, shape.eps)
        self.q, self.k, self.v, self.o = _linear(d, d), _linear(d, d), _linear(d, d), _linear(d, d)
        self.gate, self.up, self.down = _linear(d, shape.hidden), _linear(d, shape.hidden), _linear(shape.hidden, d)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, turns: Tensor, mask: Tensor | None) -> Tensor:
        y = self.norm_attention(x)
        q, k = rotate(self._split(self.q(y)), turns), rotate(self._split(self.k(y)), turns)
        v = self._split(self.v(y))
        if mask is None:
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # in bfloat16 a third faster than torch's own attention, most of all backwards
            with torch.autocast("cpu", enabled=False):  # or the softmax would be taken in float32
                q, k, v = (w.flatten(0, 1) for w in (q, k, v))
                scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5).softmax(-1)
                seen = torch.bmm(scores, v).unflatten(0, (-1, self.heads))
        x = x + self.o(seen.transpose(1, 2).flatten(2))
        y = self.norm_feed(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class LanguageModel(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.eps)
        angles = shape.angles()[:, :TURNING_PAIRS]
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
            if name.endswith(("o.weight", "down.weight")):
                nn.init.zeros_(weight)

    def forward(
        self,
        ids: Tensor,
        where: tuple[Tensor, Tensor] | None = None,
        place: Tensor | None = None,
        block: Tensor | None = None,
        tapped: list[Tensor] | None = None,
    ) -> Tensor:
        """Logits, for the positions `where` = (rows, columns) if given.

        Several requests share one prompt: `block` 0 is the prompt, seen by all; any other block is seen only by
        itself. `place` then holds the position of each token as if its request stood alone. All (B, T) int.
        `tapped` receives what goes into each layer.
        """
        length = ids.shape[1]
        x = self.embedding(ids)
        mask = None
        turns = self.turns[:length]
        if place is not None and block is not None:
            turns = self.turns[place][:, None]
            causal = torch.ones(length, length, dtype=torch.bool).tril()
            seen = causal & ((block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None]))
            kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            # Added up once here: from a boolean mask every layer would make this array anew.
            mask = torch.zeros(seen.shape, dtype=kind).masked_fill_(~seen, float("-inf"))
            mask = mask[:, None].expand(-1, self.shape.heads, -1, -1).reshape(-1, length, length)
        for layer in self.blocks:
            if tapped is not None:
                tapped.append(x)
            x = layer(x, turns, mask)
        if where is not None:
            x = x[where]
        return self.norm(x) @ self.embedding.weight.T


# --- how the weights start ---------------------------------------------------------------------------

LETTERS = string.ascii_lowercase
STARTS = (" ", '"', '":["', '","', "<|user|>")  # a name begins after one of these
CODE = 10  # numbers that stand for a letter where two letters are compared at once


def _frame(count: int, size: int) -> Tensor:
    """`count` unit vectors of `size` numbers, as far from each other as a short search can bring them."""
    vectors = torch.randn(count, size, requires_grad=True)
    search = torch.optim.Adam([vectors], lr=0.02)
    for _ in range(600):
        unit = F.normalize(vectors, dim=1)
        search.zero_grad()
        ((unit @ unit.T - torch.eye(count)) ** 6).sum().backward()
        search.step()
    return F.normalize(vectors.detach(), dim=1)


def start(model: LanguageModel, tok: Tokenizer) -> None:
    """Embeddings, and a circuit in the first two layers that continues a name as it stood in the request.

    Copying is all of the task that a short training does not find by itself. Three parts of the residual stream are
    set aside for it: which letter a token is, which one stood before it, which one before that. Two heads of the
    first layer fill the last two; a head of the second looks for the place where the last two letters stood before
    and repeats what came after them. Letters of both cases count as the same. The numbers were tuned by eye:
    sharp enough to start, free to change.
    """
    shape, n = model.shape, model.shape.head
    symbols = len(LETTERS) + 2  # the letters, "a name may begin here", "not a letter"
    with torch.no_grad():
        basis = torch.linalg.qr(torch.randn(shape.width, shape.width)).Q.T
    constant, letter = basis[0], basis[1 : 1 + symbols]
    before = basis[1 + symbols : 1 + symbols + CODE]
    before_that = basis[1 + symbols + CODE : 1 + symbols + 2 * CODE]
    rest = basis[1 + symbols + 2 * CODE :]
    code = _frame(symbols - 1, CODE).T @ letter[:-1]  # (CODE, width): compares letters and beginnings
    with torch.no_grad():
        _embed(model.embedding.weight, tok, constant, letter, rest)
        first, second = model.blocks[0], model.blocks[1]
        sharp = shape.angles()[1, :4]  # the fast rotations tell neighbours apart
        for head, (back, write) in enumerate(((1, before), (2, before_that))):
            rows = slice(head * n, (head + 1) * n)
            pattern_q, pattern_k = torch.zeros(n), torch.zeros(n)
            pattern_q[0:8:2] = 1.0
            pattern_k[0:8:2], pattern_k[1:8:2] = (back * sharp).cos(), (back * sharp).sin()
            first.q.weight[rows] = 1.6 * torch.outer(pattern_q, constant)
            first.k.weight[rows] = 1.6 * torch.outer(pattern_k, constant)
            first.v.weight[rows][:CODE] = code
            first.v.weight[rows][CODE:] = rest[: n - CODE]  # of other words it tells a part, too
            first.o.weight[:, rows][:, :CODE] = 0.1 * write.T
            first.o.weight[:, rows][:, CODE:] = 0.1 * rest[(head + 1) * (n - CODE) : (head + 2) * (n - CODE)].T
        for block in model.blocks[1:]:
            # Attention starts out repeating what it looks at: the tied output turns that into the same token.
            nn.init.orthogonal_(block.v.weight)
            block.o.weight.copy_(0.1 * block.v.weight.T)
        still = slice(2 * TURNING_PAIRS, 2 * TURNING_PAIRS + CODE), slice(2 * TURNING_PAIRS + CODE, n)
        for weight in (second.q.weight, second.k.weight, second.v.weight):
            weight[:n] = 0
        second.q.weight[:n][still[0]], second.q.weight[:n][still[1]] = 1.3 * code, 1.3 * before
        second.k.weight[:n][still[0]], second.k.weight[:n][still[1]] = 1.3 * before, 1.3 * before_that
        second.v.weight[: len(LETTERS)] = letter[: len(LETTERS)]
        second.o.weight[:, :n] = 0.4 * second.v.weight[:n].T


def _embed(weight: Tensor, tok: Tokenizer, constant: Tensor, letter: Tensor, rest: Tensor) -> None:
    """Letters by what they are; words by what they say, near the same word written in another way."""
    width = weight.shape[1]
    room = rest.T @ rest  # keeps what is random out of the parts set aside

    def drawn(size: float) -> Tensor:
        return size * width**-0.5 * torch.randn(width) @ room

    ways = {way: drawn(0.4) for way in ("space", "upper", "title", "letter")}
    base: dict[str, Tensor] = {}
    for i, raw in enumerate(tok.raw):
        text = raw.decode("latin-1")
        bare = text.strip()
        weight[i] = drawn(0.3) + 0.5 * constant
        if len(text) == 1 and text.lower() in LETTERS:
            weight[i] += 0.7 * letter[LETTERS.index(text.lower())] + ways["letter"]
            weight[i] += ways["upper"] if text.isupper() else 0
            continue
        weight[i] += 0.4 * letter[-1]
        if text in STARTS:
            weight[i] += 0.7 * letter[-2]
        if bare.isascii() and bare.isalpha() and text not in SPECIAL:
            weight[i] += base.setdefault(bare.lower(), drawn(0.9))
            weight[i] += ways["upper"] if bare.isupper() else ways["title"] if bare[0].isupper() else 0
            weight[i] += ways["space"] if text != bare else 0
        else:
            weight[i] += drawn(0.8)


def count(model: LanguageModel) -> int:
    return sum(p.numel() for p in model.parameters())
