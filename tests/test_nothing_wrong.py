"""No word of any verdict is left out of what is measured when nothing is wrong, and a small such measurement holds."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))  # its scripts import one another by their names

from benchmarks._claims import FALSE, POWER, VOCABULARY, Claim  # noqa: E402
from benchmarks._report import least  # noqa: E402
from benchmarks._results import read  # noqa: E402
from benchmarks.nothing_wrong import said, title  # noqa: E402

VERDICT = re.compile(r"(Verdict|Shade|State|Seed|EventKind)$")
NOT_VERDICTS = {"ideas.State", "store_rows_web.JobState"}  # where an idea or a job stands: no evidence decides it
# Thresholds of unusual rates take a second each to compute, so that these two are left to the benchmark.
DEAR = ("adjudicate.Adjudicated.verdict",)
CHEAP = [claim for claim in FALSE if claim.part >= 0.3 and claim.of not in DEAR]
SEEN_IN = 40
# What a page, a command or the answer says: words that were decided elsewhere.
SHOWN = {"answer", "certifying", "conclude", "phrasing", "futures", "hybrid", "words", "render", "ledger"}


def literal(node: ast.expr | None) -> set[str]:
    """The words of `Literal[...]`, also in a union with None."""
    found: set[str] = set()
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.Subscript) and ast.unparse(part.value) == "Literal":
            inside = part.slice.elts if isinstance(part.slice, ast.Tuple) else [part.slice]
            found |= {one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def verdicts() -> Iterator[tuple[str, set[str]]]:
    """Every verdict of the code: `module.Name` of an alias, or `module.Class.field`, with its words."""
    for path in sorted((ROOT / "src" / "reroll").rglob("*.py")):
        module = path.relative_to(ROOT / "src" / "reroll").parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if VERDICT.search(node.targets[0].id) and (words := literal(node.value)):
                    yield f"{module}.{node.targets[0].id}", words
            elif isinstance(node, ast.ClassDef):
                for field in node.body:
                    if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                        continue
                    if field.target.id in ("verdict", "stands", "shade") and (words := literal(field.annotation)):
                        yield f"{module}.{node.name}.{field.target.id}", words


def test_every_word_of_every_verdict_has_worlds_in_which_it_would_be_wrong_or_a_reason_why_not() -> None:
    found = {name: words for name, words in verdicts() if name not in NOT_VERDICTS}
    everything = {word for words in VOCABULARY.values() for word in words}
    for name, words in found.items():
        if name in VOCABULARY:
            assert set(VOCABULARY[name]) == words, name
        else:
            assert name.split(".")[0] in SHOWN, f"{name} is a verdict: what would be wrong of it?"
            assert words <= everything, (name, words - everything)
    assert set(VOCABULARY) - set(found) == {"wording_rounds.Standing.aside"}  # a list of places, not a word
    claimed = {(claim.of, claim.word) for claim in FALSE}
    for of, words in VOCABULARY.items():
        for word, reason in words.items():
            assert reason or (of, word) in claimed, f"{word} of {of}"


def test_every_word_that_may_be_wrong_also_has_effects_that_it_should_find() -> None:
    assert {claim.of for claim in POWER} >= {claim.of for claim in FALSE} - {
        "audit.Seed",  # that a seed is honoured is seen; nothing is planted
        "wording_rounds.Standing.aside",
        "scorecard.ClaimState",  # the whole verdict stands for its claims
    }


@pytest.mark.parametrize("claim", CHEAP, ids=title)
def test_a_word_is_said_no_more_often_than_promised_where_it_is_not_so(claim: Claim) -> None:
    found = said(claim, SEEN_IN / claim.part, seed=7)
    share = sum(1 for n in found if n) / len(found)
    assert least(share, len(found), sure=1 - 1e-6) <= claim.alpha
    if claim.exact is not None:
        assert claim.exact() <= claim.alpha


def test_what_is_planted_is_found() -> None:
    of = {title(claim): claim for claim in POWER}
    for name in ("not_met (verdict): fails 5 %, target 99 %, 400 calls", "green (suite_gate): a test at 99 %"):
        found = said(of[name], SEEN_IN / of[name].part, seed=7)
        assert sum(1 for n in found if n) / len(found) > 0.8, name


def test_every_claim_has_its_measured_row() -> None:
    measured = {row["what"] for row in read()["rows"] if row["id"].startswith("nothing_wrong/")}
    assert measured == {f"wrong: {title(c)}" for c in FALSE} | {f"found: {title(c)}" for c in POWER}
