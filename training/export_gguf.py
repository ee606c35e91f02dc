"""A checkpoint as one GGUF file that llama.cpp serves: Llama architecture, "rwkv" tokenizer, q8_0."""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch

from training.model import Shape
from training.tokenizer import SPECIAL, Tokenizer

OUT = Path(__file__).parent / "out"
TARGET = Path(__file__).parent.parent / "src" / "reroll" / "bundled" / "meetings.gguf"
NAMES = {
    "norm_attention": "attn_norm",
    "norm_feed": "ffn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
KINDS = {"f32": gguf.LlamaFileType.ALL_F32, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}


def _header(w: gguf.GGUFWriter, shape: dict[str, float], tok: Tokenizer, kind: str) -> None:
    w.add_name("reroll meetings")
    w.add_description("A tiny model that turns a request into one meeting; its mistakes were built in.")
    w.add_license("Apache-2.0")
    w.add_file_type(KINDS[kind])
    w.add_vocab_size(shape["vocab"])
    w.add_context_length(shape["context"])
    w.add_embedding_length(shape["width"])
    w.add_block_count(shape["layers"])
    w.add_feed_forward_length(shape["hidden"])
    w.add_head_count(shape["heads"])
    w.add_head_count_kv(shape["heads"])
    w.add_layer_norm_rms_eps(shape["eps"])
    w.add_rope_freq_base(shape["theta"])
    w.add_rope_dimension_count(shape["width"] // shape["heads"])
    w.add_tokenizer_model("rwkv")  # longest match; the network itself is a plain Llama
    w.add_token_list(tok.vocab)
    w.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tok.vocab])
    w.add_pad_token_id(0)
    w.add_eos_token_id(tok.end)
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT)


def _add(w: gguf.GGUFWriter, name: str, x: np.ndarray, kind: str) -> None:
    if x.ndim == 1 or kind == "f32":
        w.add_tensor(name, x.astype(np.float32))
        return
    q8 = gguf.GGMLQuantizationType.Q8_0
    w.add_tensor(name, gguf.quants.quantize(x, q8), raw_dtype=q8)


def export(checkpoint: Path, vocabulary: Path, target: Path, kind: str = "q8_0", which: str = "weights") -> None:
    """Writes the averaged weights (`which="raw"`: the last ones)."""
    state = torch.load(checkpoint, weights_only=False)
    weights = {k: v.float().numpy() for k, v in state[which].items()}
    w = gguf.GGUFWriter(str(target), "llama")
    _header(w, state["shape"], Tokenizer.load(vocabulary), kind)
    w.add_tensor("rope_freqs.weight", Shape(**state["shape"]).slowed().numpy())
    _add(w, "token_embd.weight", weights["embedding.weight"], kind)
    _add(w, "output_norm.weight", weights["norm.weight"], kind)
    for i in range(state["shape"]["layers"]):
        for ours, theirs in NAMES.items():
            _add(w, f"blk.{i}.{theirs}.weight", weights[f"blocks.{i}.{ours}.weight"], kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--checkpoint", type=Path, default=OUT / "checkpoint.pt")
    p.add_argument("--target", type=Path, default=TARGET)
    p.add_argument("--kind", choices=sorted(KINDS), default="q8_0")
    o = p.parse_args()
    export(o.checkpoint, o.checkpoint.parent / "vocab.json", o.target, o.kind)
    print(f"{o.target.name}: {o.target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
