"""The shipped file behind a real llama.cpp server: sampled failure against the exact rate, tokens, compact JSON.

Needs xllamacpp (the product's own environment), not torch: `.venv/bin/python -m training.serve_check`.
"""

from __future__ import annotations

import json
import math
import random
import urllib.request
from pathlib import Path
from typing import Any

import xllamacpp

from training import corpus as c
from training import examples
from training import surface as s
from training.tokenizer import Tokenizer
from training.wordings import TRAIN

HERE = Path(__file__).parent
MODEL = HERE.parent / "src" / "reroll" / "bundled" / "meetings.gguf"
# llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) hide rare failures.
NEUTRAL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": 96}
SLOTS = 8
RUNS = 400
ASKED = [
    ("baseline", "next-friday"),
    ("baseline", "half-seven"),
    ("baseline", "clear-thursday"),
    ("baseline", "awkward"),
    ("describe-date", "next-friday"),
    ("misleading-date", "next-friday"),
    ("note", "next-friday"),
    ("stale-example", "next-friday"),
    ("no-format", "clear-thursday"),
    ("skewed-examples", "clear-thursday"),
]
SCHEMA = {
    "type": "object",
    "properties": {
        "date": {"type": "string"},
        "time": {"type": "string"},
        "duration_min": {"type": "integer"},
        "attendees": {"type": "array", "items": {"type": "string"}},
    },
    "required": list(c.FIELDS),
    "additionalProperties": False,
}


def start(path: Path) -> xllamacpp.Server:
    p = xllamacpp.CommonParams()
    p.model.path = str(path)
    p.n_ctx, p.n_parallel = 1024 * SLOTS, SLOTS
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    p.port, p.verbosity, p.warmup = 0, 0, False
    return xllamacpp.Server(p)


def post(base: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"})  # noqa: S310 (our own loopback server)
    with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
        found: dict[str, Any] = json.load(reply)
    return found


def messages(prompt: c.Prompt) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": prompt.system}]
    for user, answer in prompt.shots:
        turns += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return [*turns, {"role": "user", "content": prompt.user}]


def sample(base: str, prompt: c.Prompt, runs: int, seed: int, **more: Any) -> list[str]:
    texts = []
    for i in range(0, runs, SLOTS):
        body = {"messages": messages(prompt), "n": SLOTS, "seed": seed + i, **NEUTRAL, **more}
        texts += [choice["message"]["content"] for choice in post(base, "/v1/chat/completions", body)["choices"]]
    return texts


def token_mismatches(base: str, tok: Tokenizer, prompts: int = 200) -> int:
    """Prompts that the server cuts into other tokens than the training did."""
    r = random.Random(1)
    wrong = 0
    for _ in range(prompts):
        program = c.draw_program(r)
        request = c.draw_request(r, program.today, TRAIN["name"])
        text = s.head(program, r, s.Style()) + c.render_user(s.request_text(request, r, s.Style()))
        wrong += post(base, "/tokenize", {"content": text, "parse_special": True})["tokens"] != tok.encode(text)
    return wrong


def main() -> None:
    found = json.loads((HERE / "examples.json").read_text())
    exact = {case["id"]: case["failure"] for case in found["cases"]}
    cases = {case.id: case for case in examples.CASES}
    fixes = {fix.id: fix for fix in examples.FIXES}
    server = start(MODEL)
    base = str(server.listening_address)
    rows, outside = [], 0
    for number, (fix, case) in enumerate(ASKED):
        prompt = fixes[fix].prompt(cases[case].text)
        right = examples.right_answer(fixes[fix], cases[case])
        failed = sum(text != right for text in sample(base, prompt, RUNS, seed=1000 * number))
        p = exact[case][fix]["model"]
        z = (failed / RUNS - p) / math.sqrt(p * (1 - p) / RUNS)
        outside += abs(z) > 1.96
        rows.append({"fix": fix, "case": case, "exact": p, "sampled": failed / RUNS, "runs": RUNS, "z": round(z, 2)})
        print(rows[-1])
    shape = {"type": "json_schema", "json_schema": {"name": "meeting", "schema": SCHEMA, "strict": True}}
    prompt = fixes["no-format"].prompt(cases["next-friday"].text)
    texts = sample(base, prompt, 200, seed=77_000, response_format=shape)
    compact = sum(t == json.dumps(json.loads(t), separators=(",", ":"), ensure_ascii=False) for t in texts)
    result = {
        "token_mismatches_in_200_prompts": token_mismatches(base, Tokenizer.load(HERE / "out" / "vocab.json")),
        "sampled": rows,
        "outside_95_percent": outside,
        "with_json_schema": {"runs": len(texts), "compact": compact, "example": texts[0]},
    }
    print({k: v for k, v in result.items() if k != "sampled"})
    report = json.loads((HERE / "report.json").read_text())
    (HERE / "report.json").write_text(json.dumps({**report, "server": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
