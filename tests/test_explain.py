"""The rule that `certify --explain` prints is the rule that `certify` follows, and it keeps its promise exactly."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from reroll.calibrate import NEVER, operating_characteristics
from reroll.evidence import Evidence
from reroll.explain import boundary_csv, explain
from reroll.verdict import certify, certify_path
from tests.background import reroll


@pytest.mark.parametrize(("target", "alpha", "horizon"), [(0.99, 0.05, None), (0.9, 0.01, None), (0.95, 0.05, 200)])
def test_the_table_is_the_rule(target: float, alpha: float, horizon: int | None) -> None:
    for row in explain(target, alpha, horizon, rows=300).boundary[::7]:
        for failures in {0, row.met_max_failures, row.not_met_min_failures, 3} - {None}:
            assert failures is not None
            if failures > row.n:
                continue
            said = certify(Evidence(failures, row.n), target, alpha, horizon).verdict
            met = row.met_max_failures is not None and failures <= row.met_max_failures
            not_met = row.not_met_min_failures is not None and failures >= row.not_met_min_failures
            assert said == ("met" if met else "not_met" if not_met else "undecided")


@pytest.mark.parametrize(("target", "horizon"), [(0.5, None), (0.9, None), (0.99, 400), (0.999, 6000)])
def test_the_printed_table_is_ever_wrong_in_at_most_alpha(target: float, horizon: int | None) -> None:
    rows = explain(target, 0.05, horizon, rows=3000).boundary
    met = np.array([-1] + [-1 if r.met_max_failures is None else r.met_max_failures for r in rows])
    not_met = np.array([NEVER] + [NEVER if r.not_met_min_failures is None else r.not_met_min_failures for r in rows])
    rate = round(1 - target, 12)
    assert operating_characteristics(rate, met, None, len(rows)).met <= 0.05
    assert operating_characteristics(rate, None, not_met, len(rows)).not_met <= 0.05


def test_rounds_have_rows_at_their_ends_and_the_plain_threshold() -> None:
    rule = explain(0.9, round_size=5, rows=200)
    assert [row.n for row in rule.boundary] == list(range(5, 201, 5))
    assert rule.threshold_met == rule.threshold_not_met == pytest.approx(20)
    first = next(row.n for row in rule.boundary if row.met_max_failures is not None)
    assert certify_path(["pass"] * first, 0.9, round_size=5).verdict == "met"
    assert certify_path(["pass"] * (first - 5), 0.9, round_size=5).verdict == "undecided"


def test_the_words_name_target_alpha_and_the_first_certificate() -> None:
    words = " ".join(explain(0.99).words)
    assert "99 %" in words
    assert "at most 5 %" in words
    assert "355 runs" in words
    assert "299" in words


def test_the_command_prints_comments_and_a_csv_that_programs_read(capsys: Any) -> None:
    ran = reroll(capsys, "certify", "--explain", "--target", 0.99, "--budget", 400, agree=False)
    assert ran.code == 0
    table = "\n".join(line for line in ran.out.splitlines() if not line.startswith("#"))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[354] == {"n": "355", "met_max_failures": "0", "not_met_min_failures": "10"}
    assert rows[353]["met_max_failures"] == ""
    assert table == boundary_csv(explain(0.99, rows=400).boundary)
    found = reroll(capsys, "certify", "--explain", "--target", 0.99, "--horizon", 1000, "--json", agree=False).json
    assert len(found["boundary"]) == 1000
    assert next(r["n"] for r in found["boundary"] if r["met_max_failures"] is not None) == 317


def test_a_rule_that_could_never_be_met_is_refused(capsys: Any) -> None:
    with pytest.raises(ValueError, match="takes 299"):
        explain(0.99, horizon=298)
    said = reroll(capsys, "certify", "--explain", "--target", 0.99, "--horizon", 298, agree=False).complaint
    assert "at least 299 calls" in said
