"""What reroll needs besides Python: each declared, used, with a licence that may be taken and a row in the docs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import reroll

SOURCE = Path(reroll.__file__).parent
ROOT = SOURCE.parent.parent
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("requirements.lock", "requirements-dev.lock")
# How what may be taken is written, in expressions, classifiers and free text.
TAKEN = re.compile(
    r"(MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|ISC|Zlib|CC0|Unlicense|DFSG approved)", re.IGNORECASE
)
# The licences of these are in their files alone; read there on 2026-11-29.
IN_THEIR_FILES = {"resvg-py": "MIT", "axe-playwright-python": "MIT"}
# For other systems than the one that the tests run on, so not installed; as their projects say.
ELSEWHERE = {"colorama": "BSD", "tzdata": "Apache-2.0", "httpx2-jsfetch": "BSD", "pywin32": "PSF"}
# Needed without being imported by us, for the reason that the page gives.
NOT_IMPORTED = {"python-multipart", "opentelemetry-api", "hatchling", "editables", "psycopg"}
# Imported by us, and declared by what they come with.
COMES_WITH = {
    "pydantic-core": "pydantic",
    "markupsafe": "jinja2",
    "referencing": "jsonschema",
    "protobuf": "opentelemetry-proto",
    "slack-sdk": "slack-bolt",
}


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return {row[0].lower(): row for row in cells[2:]}


def declared(*extras: str) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    lines = PROJECT["dependencies"] + [line for name in extras for line in optional[name]]
    return {canonicalize_name(Requirement(line).name) for line in lines}


EXTRAS = [name for name in PROJECT["optional-dependencies"] if name != "dev"]


def locked(lock: str) -> set[str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


def licence(name: str) -> str | None:
    """What an installed package says of its licence; None where it is not installed."""
    try:
        said: Any = distribution(name).metadata
    except PackageNotFoundError:
        return None
    classifiers = [c for c in said.get_all("Classifier") or () if c.startswith("License ::")]
    named = [c.rpartition(" :: ")[2] for c in classifiers if not c.endswith("OSI Approved")]
    words = said.get("License-Expression") or " OR ".join(named) or (said.get("License") or "").split("\n")[0]
    return words or IN_THEIR_FILES.get(name, "")


def may_be_taken(words: str) -> bool:
    """Whether every part that must be followed, or one of those to choose from, is one that we take.

    >>> may_be_taken("Apache-2.0 OR GPL-3.0"), may_be_taken("MIT AND GPL-3.0")
    (True, False)
    """
    return any(all(TAKEN.search(part) for part in one.split(" AND ")) for one in words.strip("()").split(" OR "))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_licence_that_may_be_taken(lock: str) -> None:
    reasons = {canonicalize_name(name): row[1] for name, row in rows("Licences").items()}
    for name in sorted(locked(lock)):
        words = licence(name)
        if words is None:
            words = ELSEWHERE.get(name)
            assert words is not None, f"{name} is neither installed nor known: what is its licence?"
        if not may_be_taken(words):
            assert name in reasons, f"{name} is under {words!r}; give the reason in docs/dependencies.md, or leave it"


def test_no_reason_is_given_for_what_is_not_there() -> None:
    for name in rows("Licences"):
        assert canonicalize_name(name) in locked("requirements-dev.lock")
        assert not may_be_taken(licence(name) or "")


@pytest.mark.parametrize(("words", "taken"), [("MIT", True), ("GPL-3.0-only", False), ("", False), ("MPL-2.0", False)])
def test_what_is_taken_is_told_from_what_is_not(words: str, taken: bool) -> None:
    assert may_be_taken(words) is taken


def test_every_direct_dependency_has_its_row_with_its_licence() -> None:
    for heading, names in (("The core", declared()), ("Extras", declared(*EXTRAS) - declared())):
        table = rows(heading)
        assert {canonicalize_name(name) for name in table} == names
        for name, row in table.items():
            said, is_ = row[1], licence(name)
            if is_ is not None:  # an extra may not be installed
                assert re.split(r"[- ]", said)[0].lower() in is_.lower(), f"{name}: {said} on the page, {is_} installed"
            assert row[3], f"{name}: what is it for?"


def test_sizes_on_the_page_are_those_of_what_is_installed() -> None:
    for name, row in {**rows("The core"), **rows("Extras")}.items():
        try:
            bytes_ = sum(file.size or 0 for file in distribution(name).files or ())
        except PackageNotFoundError:
            continue
        # Wheels of other systems differ; an order of magnitude does not.
        assert float(row[2]) / 4 <= max(bytes_ / 1e6, 0.02) <= float(row[2]) * 4, name


@cache
def imported() -> set[str]:
    """The distributions that our own files import."""
    tops = {top for path in SOURCE.rglob("*.py") for top in _tops(path)} - set(sys.stdlib_module_names) - {"reroll"}
    by_module = packages_distributions()
    special = {
        "google": "protobuf",
        "opentelemetry": "opentelemetry-proto",
        "compression": "",
        "backports": "backports-zstd",
    }
    special |= {"_pytest": "pytest"}
    found = {special[top] if top in special else (by_module.get(top) or [top])[0] for top in tops}
    return {canonicalize_name(name) for name in found if name}


def _tops(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_nothing_is_imported_that_is_not_declared() -> None:
    for name in imported() - declared(*EXTRAS) - {"pytest"}:  # whoever uses the plugin of pytest has it
        assert name in COMES_WITH, f"{name} is imported and stands in no list of pyproject.toml"
        wanted = distribution(COMES_WITH[name]).requires or ()
        assert name in {canonicalize_name(Requirement(line).name) for line in wanted}
        assert COMES_WITH[name] in declared(*EXTRAS)


def test_nothing_is_declared_that_is_not_used() -> None:
    assert declared(*EXTRAS) - imported() == NOT_IMPORTED


def test_the_locks_hold_every_dependency_with_hashes() -> None:
    assert declared("build") <= locked("requirements.lock") <= locked("requirements-dev.lock")
    assert declared(*PROJECT["optional-dependencies"]) <= locked("requirements-dev.lock")
    for lock in sorted(ROOT.glob("requirements*.lock")):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, f"{lock.name} names an address"
        for entry in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text)):
            assert not entry.strip() or "--hash=sha256:" in entry, entry.split("\n")[0]
