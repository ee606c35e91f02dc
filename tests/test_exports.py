"""What a module says that it gives is what it gives: `__all__` names what is there, and all that others take."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import reroll

ROOT = Path(reroll.__file__).parent


@cache
def modules() -> dict[str, ast.Module]:
    """Every module by its whole name, as it is parsed."""
    found = {}
    for path in ROOT.rglob("*.py"):
        if "bundled" not in path.parts:
            parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
            found[".".join(["reroll", *parts])] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def given(tree: ast.Module) -> list[str] | None:
    """`__all__` of a module; None where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def bound(tree: ast.Module) -> set[str]:
    """The names that a module's own statements bind."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found


def taken() -> dict[str, dict[str, str]]:
    """Of each module the names that other modules import from it, each with one that does."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in modules():
                for alias in node.names:
                    if f"{node.module}.{alias.name}" not in modules():
                        found[node.module][alias.name] = name
    return found


def test_every_name_that_a_module_gives_is_there_once() -> None:
    for name, tree in modules().items():
        names = given(tree) or []
        assert len(names) == len(set(names)), name
        assert set(names) <= bound(tree), f"{name}: {set(names) - bound(tree)}"


def test_what_other_modules_take_is_given() -> None:
    """A private name stays at home; what others use, its module says that it gives."""
    for module, names in taken().items():
        public = given(modules()[module])
        for name, user in names.items():
            assert name == "__version__" or not name.startswith("_"), f"{user} takes {name} of {module}"
            assert public is None or name in public, f"{user} takes {name}, which {module}.__all__ lacks"


def test_a_module_that_others_import_names_what_it_gives() -> None:
    without = {module for module in taken() if given(modules()[module]) is None}
    assert not without
