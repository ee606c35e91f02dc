"""A small Llama-architecture decoder in torch: RMSNorm, interleaved RoPE, SwiGLU, tied embeddings.

The weights go to GGUF as they are: rotating the pairs (2i, 2i+1) is what llama.cpp does for this architecture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.bpe import BPE, SPACE


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


class Norm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """RoPE; x is (B, H, T, head width), turns complex: faster than separate sines and cosines."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


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
        seen = F.scaled_dot_product_attention(q, k, self._split(self.v(y)), attn_mask=mask, is_causal=mask is None)
        x = x + self.o(seen.transpose(1, 2).flatten(2))
        y = self.norm_feed(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def _start_as_copier(block: Block) -> None:
    """Attention that starts by repeating what it looks at.

    With orthonormal v and o its transpose, a head writes a shadow of the token it reads, and the tied output
    embedding turns that into the same token: what copying a name needs, and slow to be found from zero.
    """
    with torch.no_grad():
        nn.init.orthogonal_(block.v.weight)
        block.o.weight.copy_(0.3 * block.v.weight.T)


def _start_with_induction(first: Block, second: Block, constant: Tensor, frequencies: Tensor) -> None:
    """One head that looks at the previous token and, above it, one that finds where the current token stood before.

    Together they continue a word that was seen already ("Z" -> "el" -> "da"), which copying an unknown name needs.
    Found by itself it takes most of a short training. `constant` is a direction that every embedding contains; it
    lets a head attend by position alone. The numbers were tuned by eye: sharp enough to start, free to change.
    """
    n = first.q.weight.shape[0] // first.heads
    sharp = frequencies[:4]  # the fast rotations tell neighbours apart
    with torch.no_grad():
        pattern_q, pattern_k = torch.zeros(n), torch.zeros(n)
        pattern_q[0:8:2] = 1.0
        pattern_k[0:8:2], pattern_k[1:8:2] = sharp.cos(), sharp.sin()  # turned by one step
        first.q.weight[:n] = 1.6 * torch.outer(pattern_q, constant)
        first.k.weight[:n] = 1.6 * torch.outer(pattern_k, constant)
        # Two subspaces that know nothing of each other or of the constant: what a token is, what stood before it.
        basis = torch.linalg.qr(torch.cat((constant[:, None], torch.randn(len(constant), 2 * n)), 1)).Q.T
        read, write = basis[1 : n + 1], basis[n + 1 :]
        first.v.weight[:n] = read
        first.o.weight[:, :n] = 0.35 * write.T
        slow = torch.zeros(n, 1)
        slow[n // 2 :] = 2.0  # the slow rotations hardly depend on the distance
        second.q.weight[:n] = slow * read
        second.k.weight[:n] = slow * write


class LanguageModel(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.eps)
        head = shape.width // shape.heads
        angles = torch.arange(shape.context).float()[:, None] * shape.theta ** (
            -torch.arange(0, head, 2).float() / head
        )
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
            if name.endswith(("o.weight", "down.weight")):
                nn.init.zeros_(weight)
        self.constant = nn.functional.normalize(torch.randn(shape.width), dim=0)  # see share_embeddings
        for block in self.blocks[1:]:
            _start_as_copier(block)
        _start_with_induction(self.blocks[0], self.blocks[1], self.constant, angles[1])

    def forward(
        self,
        ids: Tensor,
        where: tuple[Tensor, Tensor] | None = None,
        place: Tensor | None = None,
        block: Tensor | None = None,
    ) -> Tensor:
        """Logits, for the positions `where` = (rows, columns) if given.

        Several requests share one prompt: `block` 0 is the prompt, seen by all; any other block is seen only by
        itself. `place` then holds the position of each token as if its request stood alone. All (B, T) int.
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
            mask = torch.zeros(seen.shape, dtype=kind).masked_fill_(~seen, float("-inf"))[:, None]
        for layer in self.blocks:
            x = layer(x, turns, mask)
        if where is not None:
            x = x[where]
        return self.norm(x) @ self.embedding.weight.T


def share_embeddings(model: LanguageModel, bpe: BPE, scale: float = 0.08) -> None:
    """Starts ' Ana', 'Ana', 'ANA' and 'ana' close together, apart by one vector per way of writing.

    Copying a name, whatever its spelling, then needs one circuit instead of one per spelling; without this it
    had not emerged when the first prototype's training ended.
    """
    with torch.no_grad():
        weight = model.embedding.weight
        weight.normal_(0, scale)
        base: dict[str, Tensor] = {}
        ways = {way: torch.randn(weight.shape[1]) * scale * 0.5 for way in ("space", "upper", "title")}
        for i, token in enumerate(bpe.vocab):
            bare = token.removeprefix(SPACE)
            if not bare.isascii() or not bare.isalpha():
                continue
            shared = base.setdefault(bare.lower(), torch.randn(weight.shape[1]) * scale)
            way = "upper" if len(bare) > 1 and bare.isupper() else "title" if bare[0].isupper() else ""
            weight[i] = 0.9 * shared + 0.25 * weight[i] + ways.get(way, 0.0)
            if token != bare:
                weight[i] += ways["space"]
        # Exactly the same share of the constant direction in every token.
        weight += torch.outer(0.5 - weight @ model.constant, model.constant)


def count(model: LanguageModel) -> int:
    return sum(p.numel() for p in model.parameters())
