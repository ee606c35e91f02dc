"""What the shipped file really does: exact failure rates against the constructed ones, as tables.

Reads the GGUF itself (dequantised), so what is measured is what is served. The failure rate of a prompt is one
minus the model's probability of the right answer, by teacher forcing: no sampling error. Other token
spellings of the same text are not counted as right; after training they carry next to nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch

from training import examples
from training.export_gguf import NAMES, OUT, TARGET
from training.model import LanguageModel, Shape
from training.scenarios import EDIT_REQUESTS, EDITS, LEVERS, REQUESTS, Question, edit_questions, lever_questions
from training.tokenizer import Tokenizer

HERE = Path(__file__).parent
SEED = 99


def load(path: Path) -> tuple[LanguageModel, Tokenizer]:
    """Network and tokenizer from a GGUF file."""
    reader = gguf.GGUFReader(path)

    def value(key: str) -> object:
        return reader.fields[key].contents()

    tensors = {
        t.name: torch.from_numpy(
            gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in t.shape[::-1]])
        )
        for t in reader.tensors
    }
    tok = Tokenizer(list(value("tokenizer.ggml.tokens")))  # type: ignore[call-overload]
    shape = Shape(
        len(tok.vocab),
        *(
            int(value(f"llama.{k}"))
            for k in (  # type: ignore[call-overload]
                "embedding_length",
                "block_count",
                "attention.head_count",
                "feed_forward_length",
                "context_length",
            )
        ),
    )
    weights = {"embedding.weight": tensors["token_embd.weight"], "norm.weight": tensors["output_norm.weight"]}
    for i in range(shape.layers):
        for ours, theirs in NAMES.items():
            weights[f"blocks.{i}.{ours}.weight"] = tensors[f"blk.{i}.{theirs}.weight"]
    model = LanguageModel(shape)
    model.load_state_dict(weights)
    return model.eval(), tok


@torch.no_grad()
def failure_rates(model: LanguageModel, tok: Tokenizer, asked: list[tuple[str, str]], end: bool = True) -> list[float]:
    """1 - P(answer) for each (prompt, answer); if not `end`, of the answer as a beginning."""
    at_once = 16
    rates: list[float] = []
    for i in range(0, len(asked), at_once):
        pairs = [(tok.encode(p), [*tok.encode(a), *([tok.end] if end else [])]) for p, a in asked[i : i + at_once]]
        ids = torch.zeros(len(pairs), max(len(p) + len(a) for p, a in pairs), dtype=torch.long)
        for row, (p, a) in enumerate(pairs):
            ids[row, : len(p) + len(a)] = torch.tensor(p + a)
        rows = torch.tensor([row for row, (_, a) in enumerate(pairs) for _ in a])
        columns = torch.tensor([len(p) - 1 + t for p, a in pairs for t in range(len(a))])
        tokens = torch.tensor([t for _, a in pairs for t in a])
        logs = model(ids, (rows, columns)).double().log_softmax(-1)[torch.arange(len(tokens)), tokens]
        total = torch.zeros(len(pairs), dtype=torch.double).index_add_(0, rows, logs)
        rates += (1 - total.exp()).tolist()
    return rates


@dataclass(frozen=True)
class Row:
    """Constructed and measured failure of one group of prompts."""

    name: str
    due: float
    model: float
    sd: float  # of the measured rate over the prompts, net of differences in what is due
    worst: float  # largest distance from the due rate, one prompt
    n: int
    due_without_names: float  # the same, not looking at the attendees
    model_without_names: float

    @property
    def error(self) -> float:
        return self.model - self.due


def measure(model: LanguageModel, tok: Tokenizer, name: str, questions: list[Question]) -> Row:
    rates = failure_rates(model, tok, [(q.prompt, q.answer) for q in questions])
    gaps = [f - q.due for f, q in zip(rates, questions, strict=True)]
    mean = sum(gaps) / len(gaps)
    due = sum(q.due for q in questions) / len(questions)
    sd = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps))
    cut = [(q.prompt, q.answer[: q.answer.index(',"attendees"')]) for q in questions]
    rest = failure_rates(model, tok, cut, end=False)
    rest_due = sum(q.due_without_names for q in questions) / len(questions)
    return Row(name, due, due + mean, sd, max(map(abs, gaps)), len(gaps), rest_due, sum(rest) / len(rest))


def table(rows: list[Row]) -> str:
    head = "| prompts | constructed | model | error | sd per prompt | worst prompt |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(
        f"| {r.name} | {r.due:.3f} | {r.model:.3f} | {r.error:+.3f} | {r.sd:.3f} | {r.worst:.3f} |" for r in rows
    )


def matrix(rows: dict[str, dict[str, Row]]) -> str:
    """Levers down, requests across; each cell: constructed → model."""
    requests = list(next(iter(rows.values())))
    lines = ["| program | " + " | ".join(requests) + " |", "|---" * (len(requests) + 1) + "|"]
    lines += [
        f"| {lever} | " + " | ".join(f"{r.due:.3f} → {r.model:.3f}" for r in cells.values()) + " |"
        for lever, cells in rows.items()
    ]
    return "\n".join(lines)


def _as_dict(row: Row) -> dict[str, float | int | str]:
    return {
        "name": row.name,
        "constructed": round(row.due, 4),
        "model": round(row.model, 4),
        "error": round(row.error, 4),
        "sd_per_prompt": round(row.sd, 4),
        "worst_prompt": round(row.worst, 4),
        "prompts": row.n,
        "constructed_without_names": round(row.due_without_names, 4),
        "model_without_names": round(row.model_without_names, 4),
    }


def _summary(rows: list[Row]) -> dict[str, float | int]:
    errors = [abs(r.error) for r in rows]
    return {
        "groups": len(rows),
        "mean_abs_error": round(sum(errors) / len(errors), 4),
        "max_abs_error": round(max(errors), 4),
        "over_0.10": sum(e > 0.10 for e in errors),
        **_summary_without_names(rows),
    }


def _summary_without_names(rows: list[Row]) -> dict[str, float | int]:
    errors = [abs(r.model_without_names - r.due_without_names) for r in rows]
    return {
        "mean_abs_error_without_names": round(sum(errors) / len(errors), 4),
        "max_abs_error_without_names": round(max(errors), 4),
        "over_0.10_without_names": sum(e > 0.10 for e in errors),
    }


def _checkpoint_facts(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    state = torch.load(path, weights_only=False)
    return {
        "parameters": state["parameters"],
        "steps": state["step"],
        "seed": int(state["options"]["seed"]),
        "answers_seen": state["step"] * int(state["options"]["packs"]) * 4,
        "training_cpu_minutes": round(state["cpu_seconds"] / 60, 1),
        "training_wall_minutes": round(state["wall_seconds"] / 60, 1),
        "date": str(np.datetime64("today")),
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, default=TARGET)
    p.add_argument("--checkpoint", type=Path, default=OUT / "checkpoint.pt")
    p.add_argument("--prompts", type=int, default=12, help="prompts per cell")
    p.add_argument("--dry", action="store_true", help="print only, write nothing")
    o = p.parse_args()
    torch.set_num_threads(1)
    model, tok = load(o.model)
    levers = {
        lever: {
            request: measure(model, tok, f"{lever} / {request}", lever_questions(lever, request, o.prompts, SEED))
            for request in REQUESTS
        }
        for lever in LEVERS
    }
    edits = {
        request: [measure(model, tok, edit, edit_questions(edit, request, o.prompts, SEED)) for edit in EDITS]
        for request in EDIT_REQUESTS
    }
    cells = [row for by_request in levers.values() for row in by_request.values()]
    edit_rows = [row for rows in edits.values() for row in rows]
    print("### Levers (constructed → model)\n\n" + matrix(levers))
    for request, rows in edits.items():
        print(f"\n### Edits that keep the meaning: {request}\n\n" + table(rows))
    asked = examples.measured(lambda pairs: failure_rates(model, tok, pairs))
    print("\n### Example project\n\n" + examples.as_markdown(asked))
    print("\nlevers:", _summary(cells), "\nedits:", _summary(edit_rows))
    for row in sorted(cells + edit_rows, key=lambda r: -abs(r.error))[:12]:
        print(f"  {row.name}: due {row.due:.3f} model {row.model:.3f}")
    if o.dry:
        return
    report = {
        "model": {
            **_checkpoint_facts(o.checkpoint),
            "bytes": o.model.stat().st_size,
            "sha256": hashlib.sha256(o.model.read_bytes()).hexdigest(),
        },
        "levers": {"summary": _summary(cells), "rows": [_as_dict(r) for r in cells]},
        "edits": {"summary": _summary(edit_rows), **{k: [_as_dict(r) for r in v] for k, v in edits.items()}},
    }
    (HERE / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (HERE / "examples.json").write_text(json.dumps(asked, indent=1, ensure_ascii=False) + "\n")
    card = {**report["model"], "levers": report["levers"], "edits_summary": report["edits"]["summary"]}  # type: ignore[dict-item, index]
    o.model.with_name("card.json").write_text(json.dumps(card, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
