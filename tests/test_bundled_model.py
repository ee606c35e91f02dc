"""The bundled model is what its card says, and reroll's numbers agree with its exact probabilities."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from reroll.engine import run_draws
from reroll.models.local import LocalModel, bundled_file
from reroll.models.model import Draw
from reroll.models.registry import open_model
from reroll.project import Project, load_project
from reroll.sample import Sample
from tests.background import reroll
from tests.exact import exact_pass, right_answer

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this machine")

EXAMPLE = bundled_file().parent / "meetings"
CARD = bundled_file().parent / "card.json"


def project() -> Project:
    return load_project(EXAMPLE)


def exact(*case_ids: str) -> dict[str, float]:
    """Exact failure rates under the example program."""

    async def run() -> dict[str, float]:
        model = open_model("bundled")
        assert isinstance(model, LocalModel)
        here = project()
        try:
            return {i: 1 - await exact_pass(model, here.program, here.case(i)) for i in case_ids}
        finally:
            await model.close()

    return asyncio.run(run())


def test_the_file_is_small_and_is_the_one_that_the_card_describes() -> None:
    data = bundled_file().read_bytes()
    card = json.loads(CARD.read_text())
    assert len(data) <= 2 * 1024 * 1024
    assert hashlib.sha256(data).hexdigest() == card["sha256"]
    assert card["training_cpu_minutes"] > 0


def test_controls_rarely_fail_and_the_causes_of_failure_are_real() -> None:
    rates = exact("next-friday", "half-seven", "clear-thursday", "clear-tomorrow", "clear-friday")
    controls = [rates[i] for i in rates if i.startswith("clear")]
    assert max(controls) < 0.05, rates
    assert 0.2 < rates["next-friday"] < 0.55, rates
    assert 0.4 < rates["half-seven"] < 0.8, rates


def test_sampled_failures_agree_with_the_exact_rate() -> None:
    here, draws = project(), 400
    case = here.case("next-friday")
    right = right_answer(here.program, case)
    texts: list[str] = []

    def keep(draw: Draw, sample: Sample) -> None:
        assert sample.completion is not None, sample.error
        texts.append(sample.completion.text)

    async def run() -> float:
        model = open_model("bundled")
        assert isinstance(model, LocalModel)
        try:
            truth = 1 - await exact_pass(model, here.program, case)
            request = here.program.render(case.input)
            await run_draws(model, [Draw(request, case.id, i, 7_000 + i) for i in range(draws)], 8, keep)
            return truth
        finally:
            await model.close()

    truth = asyncio.run(run())
    failed = sum(text != right for text in texts) / draws
    # Five standard errors: seeds are fixed, so this does not depend on luck of the day.
    assert abs(failed - truth) < 5 * math.sqrt(truth * (1 - truth) / draws) + 0.005, (failed, truth)


def test_the_demo_tells_the_truth_about_the_model(capsys: Any) -> None:
    truth = exact("next-friday")["next-friday"]
    calls = []
    for seed in range(1, 6):
        answer = reroll(capsys, "demo", "--seed", seed, "--json", "--quiet").json
        assert answer["luck"]["verdict"] == "worse_than_reference"
        assert answer["luck"]["rate"]["low"] <= truth <= answer["luck"]["rate"]["high"]
        assert answer["certify"]["verdict"] == "not_met"
        assert answer["cost"]["usd"] == 0
        assert answer["text"].count(". ") <= 5
        calls.append(len(answer["outcomes"]))
        dud = answer["dud"]
        assert dud["verdict"] in ("dud", "unsure")
        assert dud["token"] in ("20", None), "the day of the wrong Friday"
        assert answer["cause"]["verdict"] in ("systematic", "undecided")
        assert {one["words"] for one in answer["cause"]["factors"]} <= {"next Friday", "next", "Friday"}
        spent = answer["cost"]["calls"] - sum(answer["cause"]["calls"].values())
        assert spent <= len(answer["outcomes"]) + 320, "with the circumstances, and the search for that token"
    assert median(calls) <= 40, calls  # a single run may draw few failures at first and need twice as many


def test_certify_refuses_the_ambiguous_request_in_a_few_calls(tmp_path: Path, capsys: Any) -> None:
    reroll(capsys, "init", tmp_path / "m")
    ran = reroll(capsys, "certify", "next-friday", "--project", tmp_path / "m", "--seed", 3, "--json", "--quiet")
    assert (ran.code, ran.json["verdict"]) == (1, "not_met")
    assert ran.json["cost"]["calls"] <= 30
