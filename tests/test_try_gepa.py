"""`try --gepa` from the first call to the verdict: GEPA proposes, the scorecard decides."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from benchmarks._planted import planted_server
from benchmarks._tried import CASE, Product, Rates, project

from reroll.project import load_project
from tests.background import reroll

pytestmark = pytest.mark.skipif(find_spec("gepa") is None, reason="GEPA is not installed (pip install 'reroll[gepa]')")
GOOD: Rates = (0.02, 0.02, 0.04, 0.03)
ONLY_THE_CASE: Rates = (0.02, 0.50, 0.04, 0.03)


class Written(Product):
    """The product, and under another name a model that writes one and the same clause whatever it is asked."""

    clause = ""
    told: tuple[str, ...] = ()
    status = 200

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("model") != "new":
            return await super().handle(request)
        self.told = (*self.told, json.dumps(body))
        if self.status != 200:
            return web.json_response({"error": {"message": "overloaded"}}, status=self.status)
        message = {"role": "assistant", "content": f"```\n{self.clause}\n```"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        return web.json_response({"model": "new", "choices": [choice], "usage": usage})


def tried(capsys: Any, folder: Path, product: Written, budget: int) -> dict[str, Any]:
    wide = ("--case", "refund", "--yes", "--quiet", "--margin", 0.2, "--lookalike-margin", 0.2, "--budget", budget)
    with planted_server(product) as url:  # type: ignore[arg-type]
        home = project(folder, url, {})
        done = reroll(capsys, "try", "--gepa", "--with", "openai:new", "--project", home, *wide, "--json")
    assert done.out, done.err
    found: dict[str, Any] = done.json
    return found


def test_a_general_wording_that_gepa_found_is_accepted_and_written_down(capsys: Any, tmp_path: Path) -> None:
    product = Written({"GENERAL": GOOD}, seed=11)
    product.clause = "GENERAL rule about money that goes back to whoever paid it."
    found = tried(capsys, tmp_path, product, 700)
    assert any(CASE in one for one in product.told), "it is told what was asked"
    assert not any("expected" in one for one in product.told), "and not what is right"
    assert (found["verdict"], found["fixes"][0]["kind"]) == ("accept", "clause.edit")
    kept = yaml.safe_load(next((tmp_path / "fixes").glob("*.yaml")).read_text())
    assert (kept["author"], kept["text"]) == ("gepa", product.clause)
    assert load_project(tmp_path).fixes
    assert product.calls <= 700


def test_a_wording_that_only_helps_the_case_is_not_accepted(capsys: Any, tmp_path: Path) -> None:
    product = Written({"SPECIAL": ONLY_THE_CASE}, seed=12)
    product.clause = "SPECIAL rule, good for one request alone."
    found = tried(capsys, tmp_path, product, 400)
    assert found["verdict"] != "accept"
    assert not list((tmp_path / "fixes").glob("*.yaml"))


def test_a_writer_that_brings_nothing_back_is_named_and_ends_it_early(capsys: Any, tmp_path: Path) -> None:
    product = Written({}, seed=13)
    product.status = 500
    wide = ("--case", "refund", "--yes", "--quiet", "--budget", 600)
    with planted_server(product) as url:  # type: ignore[arg-type]
        home = project(tmp_path, url, {})
        done = reroll(capsys, "try", "--gepa", "--with", "openai:new", "--project", home, *wide)
    assert done.code == 2
    assert "openai:new was asked for wordings and brought nothing back: " in done.complaint
    assert product.calls < 100
