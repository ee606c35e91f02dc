"""A product on loopback whose failure rates, with and without each fix, are known: what `reroll try` is scored on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from aiohttp import web

__all__ = ["BASE", "CASE", "Product", "Rates", "project"]

Rates = tuple[float, float, float, float]  # of the case, its neighbours, its look-alikes, control cases
BASE: Rates = (0.55, 0.50, 0.04, 0.03)
CASE = "Please refund order 17 to Ana"
NEIGHBOURS = (
    "Please refund order 21 to Ben",
    "Could you refund order 4?",
    "Refund what Kim paid for order 9",
    "Give Lena her money back for order 30",
    "Order 12 came broken, return what Omar paid",
    "Send Tom his payment for order 8 back",
    "Eva wants her money for order 44 returned",
    "Undo the payment of order 3",
)
LOOKALIKES = (
    "Please refund policy as a link to Ana",
    "What does refund mean?",
    "Refund of order 17: is it done?",
    "Show the refund of order 2",
    "Where is order 17?",
    "Please send order 17 to Ana",
)
CONTROLS = (*tuple(f"What is the price of article {k}?" for k in range(1, 12)), "Is a refund taxed?")


@dataclass
class Product:
    """An OpenAI-compatible server. marks: what stands in a request (`A+B`: both), and the failure rates that it brings
    with it; the first that fits counts.

    A wrong answer says `lost`, or one time in three `unknown`; a right one `done`.
    """

    marks: Mapping[str, Rates] = field(default_factory=dict)
    base: Rates = BASE
    seed: int = 0
    calls: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drawers: dict[str, np.random.Generator] = {}

    def _rng(self, body: Mapping[str, Any]) -> np.random.Generator:
        """One for each request: then the same calls bring the same, in whatever order they arrive."""
        text = json.dumps(body, sort_keys=True)
        if text not in self.drawers:
            digest = hashlib.blake2b(f"{self.seed} {text}".encode(), digest_size=8).digest()
            self.drawers[text] = np.random.default_rng(int.from_bytes(digest))
        return self.drawers[text]

    def rate(self, body: Mapping[str, Any]) -> float:
        text = json.dumps(body, ensure_ascii=False)
        asked = str(body["messages"][-1]["content"])
        of = 0 if asked == CASE else 1 if asked in NEIGHBOURS else 2 if asked in LOOKALIKES else 3
        there = (rates for mark, rates in self.marks.items() if all(part in text for part in mark.split("+")))
        rates = next(there, self.base)
        return rates[of]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls += 1
        self.bodies.append(body)
        rng = self._rng(body)
        wrong, which = rng.random() < self.rate(body), rng.random()
        said = ("unknown" if which < 1 / 3 else "lost") if wrong else "done"
        message = {"role": "assistant", "content": json.dumps({"answer": said})}
        usage = {"prompt_tokens": len(json.dumps(body)) // 4, "completion_tokens": 5, "total_tokens": 5}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return web.json_response({"model": body.get("model"), "choices": [choice], "usage": usage})


def project(folder: Path, url: str, fixes: Mapping[str, Mapping[str, Any]], **more: Any) -> Path:
    """A project of this product with these fixes, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    program = {
        "program": "shop",
        "model": "openai:tiny",
        "base_url": url,
        "params": {"temperature": 1},
        "effects": "none",
        "system": {"role": "You serve a shop.", "form": "Answer with one JSON object."},
        "response": {"type": "object", "properties": {"answer": {"type": "string"}}},
        "structured": "describe",
        **more,
    }
    (folder / "program.yaml").write_text(yaml.safe_dump(program, sort_keys=False))
    check = [{"name": "right", "json": {"answer": "done"}}]
    cases: list[dict[str, Any]] = [{"id": "refund", "input": {"request": CASE}, "checks": check}]
    for kind, texts in (("neighbour", NEIGHBOURS), ("lookalike", LOOKALIKES), ("control", CONTROLS)):
        for k, text in enumerate(texts, 1):
            of = {} if kind == "control" else {"of": "refund"}
            cases.append({"id": f"{kind}-{k}", "set": kind, **of, "input": {"request": text}, "checks": check})
    (folder / "cases.yaml").write_text(yaml.safe_dump({"cases": cases}, sort_keys=False))
    (folder / "fixes").mkdir(exist_ok=True)
    for name, fix in fixes.items():
        (folder / "fixes" / f"{name}.yaml").write_text(yaml.safe_dump({"fix": name, **fix}, sort_keys=False))
    return folder
