"""The house stands as drawn: imports go one way, the core does no I/O, every file says its job."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reroll

ROOT = Path(reroll.__file__).parent
# Top to bottom is the import order. A folder is one layer.
CORE = """
errors numbers json_text sample match params program requirement rubric check case step_forms step_texts steps
step_record fix copying variant halves circumstances fillers draft
lever_settings lever_steps lever_kinds lever_parts levers_text levers_form levers lever_claims lever_undo
factor neutral factors
outcomes clustering evidence calibrate paired race
verdict suite_gate walks drift_rule drift recovery watch_budget watch_sample watching
population shrinkage variation wording_rounds paraphrase
moments pinned swapping manners neighbours lookalikes compare best beta judge audit
adjudicate retry retry_forecast suite balance plan
sampler noise odds tree bracket futures enumeration hybrid ways doubt agreement surprise
answer conclude words watch_words explain cause streamed
forking success_curve leaving grouping fork_search fork_certificate dud dud_report association failure_flow flattening
rate_sums loadbearing screen confirm finding inquiry
describing suggestion suggest_cause suggest_answers suggest proposals ledger ideas reduction scorecard in_reach
""".split()
EDGES = """
settings keys allocating strict_yaml yaml_edit complaints init project wording person check_process sources checking
store_schema store_sql store_sqlite store_postgres migrations store_secrets store_tokens store_prefixes store_rows
store_export store_base store_asked store_origins store_evaluated
store_samples store_concluded store_probes store_rows_web store_findings store_jobs store_glance store_slack
store_received store_parquet store_watch store purse replies findings job_person
appending intake receiving models probing gate turns engine ray_actor ray_cluster engine_ray
looking watch_file watch_judging watch_rounds watch_overview webhook
training_export evaluations evaluations_sent table_export
grouped labelling runs at_hand session keeping judge_loop judge_calls freshness branching reading astray conversing
exploring runner side_by_side rolling
associated forked_words forked fallen foreseen surprised
dependence caveats arms auditing audited doubting screening opposing remembering caused
hunt hunting causing
foretold phrased placing following phrasing reworded rewording writing proposing evolving suggesting
ideas_file applying neighbourhood neighbouring
trial trying scored retry_outlook tried piling gathering tryout helping
controls investigation taken_out certifying comparing render
arguments output job_summary options
pictures opening asking listening measuring replaying commands commands_compare commands_check
commands_tokens commands_phrase commands_neighbours commands_try commands_fixes commands_audit commands_cause
commands_files commands_export commands_import commands_ledger commands_ideas
lesson_reading playground lessons lesson_steps web serving commands_watch commands_serve
recorder commands_record slack commands_slack
fake_faults fake_server commands_fake
pytest_settings pytest_results pytest_samples pytest_store pytest_trials pytest_cases pytest_summary pytest_plugin
exits cli_files cli_tokens cli_looking cli_causes cli_fixes cli_serve cli_record cli_slack cli_watch cli
__main__ working
""".split()
LAYERS = CORE + EDGES
# What the core may import: values, arithmetic and validation, nothing that opens, sleeps or draws.
FOR_CORE = """
__future__ calendar collections contextlib copy dataclasses datetime decimal difflib enum functools hashlib heapq
itertools json math operator pathlib re typing
numpy pydantic pydantic_core jsonschema referencing re2 reroll
""".split()


def files() -> list[Path]:
    return [p for p in ROOT.rglob("*.py") if "bundled" not in p.parts and p != ROOT / "__init__.py"]


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    """Modules imported when the file is, in functions too; `if TYPE_CHECKING` blocks left out."""
    found: list[str] = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_every_module_has_a_place() -> None:
    assert {layer(p) for p in files()} == set(LAYERS)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_up_the_list(path: Path) -> None:
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "reroll" and len(parts) > 1 and parts[1] != layer(path):
            assert LAYERS.index(parts[1]) < LAYERS.index(layer(path)), f"{path.name} imports {name}"


@pytest.mark.parametrize("name", CORE)
def test_the_core_does_no_io(name: str) -> None:
    path = ROOT / f"{name}.py"
    used = {module.split(".")[0] for module in imported(path)}
    assert used <= set(FOR_CORE), used - set(FOR_CORE)
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec"}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_opens_with_its_job(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc, "no module docstring"
    assert doc.splitlines()[0].rstrip().endswith((".", ":", "?")), doc.splitlines()[0]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 620, "split it by purpose"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 70, f"{node.name} has {length} lines"


def test_the_public_names_are_complete_and_sorted() -> None:
    assert list(reroll.__all__) == sorted(reroll.__all__)
    for name in reroll.__all__:
        assert getattr(reroll, name) is not None
