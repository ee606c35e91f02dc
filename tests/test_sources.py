"""What tells one state of a product from another: all of its modules that are in the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reroll.sources import sources_of
from tests.background import reroll

FILES = {
    "product.py": "import json\nfrom shop import prices\nimport shop.rules as rules\n",
    "shop/__init__.py": "",
    "shop/prices.py": "from . import tax\n",
    "shop/tax.py": "RATE = 2\n",
    "shop/rules.py": "def late():\n    import words\n",
    "words.py": "import product\n",
    "unused.py": "x = 1\n",
    "shop/broken.py": "def (",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["product.py", "shop/__init__.py", "shop/prices.py", "shop/tax.py", "shop/rules.py"])
def test_a_change_in_any_module_that_is_imported_is_another_state(name: str, folder: Path) -> None:
    before = sources_of(folder / "product.py", folder)
    (folder / name).write_text(FILES[name] + "# changed")
    assert sources_of(folder / "product.py", folder) != before


def test_what_is_not_imported_and_what_is_not_there_change_nothing(folder: Path) -> None:
    before = sources_of(folder / "product.py", folder)
    assert len(before) == 6
    (folder / "unused.py").write_text("x = 2")
    assert sources_of(folder / "product.py", folder) == before
    assert sources_of(folder / "gone.py", folder) == [b""]
    assert len(sources_of(folder / "shop" / "broken.py", folder)) == 1


def test_runs_of_a_product_before_a_module_of_it_was_changed_do_not_count(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_text("program: p\nmodel: python:product:answer\neffects: none\n")
    (tmp_path / "cases.yaml").write_text(
        'cases:\n  - {id: greet, input: {request: "Say"}, checks: [{contains: "yes"}]}\n'
    )
    (tmp_path / "product.py").write_text("import words\ndef answer(request):\n    return words.said()\n")
    told = ("certify", "greet", "--target", 0.9, "--json", "--quiet", "--project", tmp_path)
    ran = {}
    for said in ("yes", "no"):
        (tmp_path / "words.py").write_text(f"def said():\n    return {json.dumps(said)}\n")
        ran[said] = reroll(capsys, *told).json
    assert ran["yes"]["verdict"] == "met"
    assert (ran["no"]["cost"]["reused"], ran["no"]["cost"]["calls"] > 0) == (0, True)
