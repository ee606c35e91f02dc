"""Trains the network on the CPU, one thread, seeded; a usable checkpoint exists at any time."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training import corpus as c
from training.data import BRANCH_WEIGHT, NAME_LABELS, NAME_WEIGHT, Arrays, learn_tokenizer, stream
from training.model import LanguageModel, Shape, count, start
from training.tokenizer import Tokenizer

Gaps = list[float]  # of all tokens, where an answer can go wrong, in names, aside
ASIDE_WEIGHT = 1.0
OUT = Path(__file__).parent / "out"


def options() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=2560)
    p.add_argument("--packs", type=int, default=12, help="prompts per step, four requests each")
    p.add_argument("--stable", type=int, default=1250, help="steps before the learning rate starts to fall")
    p.add_argument(
        "--tail", type=int, default=160, help="last steps: a quarter of the learning rate, to zero once more"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--muon", type=float, default=0.02, help="learning rate of the hidden matrices")
    p.add_argument("--adam", type=float, default=2e-3, help="learning rate of everything else")
    p.add_argument("--width", type=int, default=160)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=5)
    p.add_argument("--hidden", type=int, default=384)
    p.add_argument("--warm", type=int, default=60)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--save-every", type=int, default=200)
    p.add_argument("--no-bf16", action="store_true")
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.add_argument("--out", type=Path, default=OUT)
    return p.parse_args()


def optimizers(model: LanguageModel, asides: Asides, o: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings and norms; both without weight decay."""
    hidden = [w for n, w in model.named_parameters() if w.dim() == 2 and "embedding" not in n]
    rest = [w for n, w in model.named_parameters() if w.dim() != 2 or "embedding" in n]
    return [
        torch.optim.Muon(hidden, lr=o.muon, momentum=0.95, weight_decay=0.0, ns_steps=5),
        torch.optim.AdamW([*rest, *asides.parameters()], lr=o.adam, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, o: argparse.Namespace) -> float:
    """Warm up, hold, straight to zero; then once more from a quarter to zero."""
    end = o.steps - o.tail
    if step >= end:
        return 0.25 * (o.steps - step) / o.tail
    return min(1.0, (step + 1) / o.warm) * min(1.0, (end - step) / max(1, end - o.stable))


class Asides(torch.nn.Module):
    """Questions on the way, not part of the model: what is understood early is there for the answer to read.

    After half of the layers: which tokens of the request belong to a name. Before the last layer, where an answer
    begins: what the prompt and the request say, and how probable each mistake is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.named = torch.nn.Linear(width, NAME_LABELS)
        self.facts = torch.nn.Linear(width, len(c.facts(c.Program(), c.Request())))

    def forward(self, tapped: list[Tensor], t: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy above the unavoidable part."""

        def asked(layer: Tensor, head: torch.nn.Linear, what: str) -> Tensor:
            x = layer[t[f"{what}_rows"], t[f"{what}_columns"]]
            return head(F.rms_norm(x, (x.shape[-1],))).float()

        named = F.binary_cross_entropy_with_logits(asked(tapped[len(tapped) // 2], self.named, "named"), t["named"])
        facts = F.binary_cross_entropy_with_logits(asked(tapped[-1], self.facts, "asides"), t["asides"])
        unavoidable = torch.special.entr(t["asides"]) + torch.special.entr(1 - t["asides"])
        return named + facts - unavoidable.mean()


def loss_of(model: LanguageModel, asides: Asides, batch: Arrays, bf16: bool) -> tuple[Tensor, Gaps]:
    """Weighted mean cross-entropy, and how far the plain mean is above the unavoidable part (nats per token)."""
    t = {k: torch.from_numpy(v) for k, v in batch.items()}
    tapped: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(t["ids"], (t["rows"], t["columns"]), t["place"], t["block"], tapped)
        told_loss = asides(tapped, t)
    logs = logits.float().log_softmax(-1)
    losses = -t["weights"] * logs[t["index"], t["tokens"]]
    loss = (losses * t["scale"][t["index"]]).sum() / t["scale"].sum() + ASIDE_WEIGHT * told_loss
    with torch.no_grad():
        losses = losses.detach()
        excess = losses + t["weights"] * t["weights"].log()
        branch, name = t["scale"][t["index"]] == BRANCH_WEIGHT, t["scale"][t["index"]] == NAME_WEIGHT
        gaps = [float(excess.sum()) / len(t["rows"])]
        gaps += [float(excess[some].sum()) / float(t["weights"][some].sum()) for some in (branch, name)]
    return loss, [*gaps, float(told_loss.detach())]


class Average:
    """Running average of the weights: what gets exported, smoother than the last step."""

    def __init__(self, model: LanguageModel) -> None:
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model: LanguageModel, step: int) -> None:
        keep = min(0.995, (step + 1) / (step + 20))
        for k, v in model.state_dict().items():
            self.weights[k].lerp_(v, 1 - keep)


def save(
    path: Path,
    model: LanguageModel,
    average: Average,
    asides: Asides,
    opts: list[torch.optim.Optimizer],
    o: argparse.Namespace,
    step: int,
    cpu: float,
    wall: float,
) -> None:
    state = {
        "shape": asdict(model.shape),
        "weights": average.weights,
        "raw": model.state_dict(),
        "asides": asides.state_dict(),
        "step": step,
        "optimizers": [x.state_dict() for x in opts],
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "parameters": count(model),
        "options": {k: str(v) for k, v in vars(o).items()},
    }
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)  # a reader never sees half a file


def load_tokenizer(out: Path) -> Tokenizer:
    path = out / "vocab.json"
    if not path.exists():
        path.write_text(json.dumps(learn_tokenizer()))
    return Tokenizer.load(path)


def main() -> None:
    o = options()
    o.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    tok = load_tokenizer(o.out)
    model = LanguageModel(Shape(len(tok.vocab), o.width, o.layers, o.heads, o.hidden))
    start(model, tok)
    asides = Asides(o.width)
    opts = optimizers(model, asides, o)
    bases = [[g["lr"] for g in opt.param_groups] for opt in opts]
    average, first, spent, wall = Average(model), 0, 0.0, 0.0
    path = o.out / "checkpoint.pt"
    if o.resume and path.exists():
        state = torch.load(path, weights_only=False)
        model.load_state_dict(state["raw"])
        asides.load_state_dict(state["asides"])
        average.weights = state["weights"]
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
        first, spent, wall = state["step"], state["cpu_seconds"], state["wall_seconds"]
    print(f"vocabulary {len(tok.vocab)}, parameters {count(model)}, from step {first}", flush=True)
    started, cpu0 = time.time(), time.process_time()
    gaps: list[Gaps] = []
    for step, (batch, drawing) in zip(
        range(first, o.steps), stream(tok, o.seed, first, o.steps, o.packs), strict=False
    ):
        for opt, base in zip(opts, bases, strict=True):
            for group, lr in zip(opt.param_groups, base, strict=True):
                group["lr"] = lr * rate(step, o)
        loss, gap = loss_of(model, asides, batch, not o.no_bf16)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        average.update(model, step)
        gaps.append(gap)
        cpu, clock = spent + time.process_time() - cpu0 + drawing, wall + time.time() - started
        if (step + 1) % 50 == 0:
            means = (sum(column) / 50 for column in zip(*gaps[-50:], strict=True))
            print(f"{step + 1} gaps {' '.join(f'{m:.4f}' for m in means)} cpu {cpu:.0f}s wall {clock:.0f}s", flush=True)
        if (step + 1) % o.save_every == 0 or step + 1 == o.steps:
            save(path, model, average, asides, opts, o, step + 1, cpu, clock)
    print(f"trained {o.steps} steps: {cpu / 60:.1f} CPU minutes, {clock / 60:.1f} minutes on the clock")


if __name__ == "__main__":
    main()
