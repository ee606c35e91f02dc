"""Writes what the code knows into the docs: help, exit codes, settings, kinds of fixes, schemas, the map of the house.

    python docs/generate.py             say what is out of date; exit code 1 if anything is
    python docs/generate.py --write     bring it up to date

`tests/test_docs.py` holds that nothing is out of date. A block stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # so that tests can load this file too

from generating.commands import blocks as command_blocks  # noqa: E402
from generating.forms import blocks as form_blocks  # noqa: E402
from generating.glossary import glossary  # noqa: E402
from generating.house import blocks as house_blocks  # noqa: E402
from generating.house import picture  # noqa: E402
from generating.levers import blocks as lever_blocks  # noqa: E402
from generating.schemas import schemas  # noqa: E402

BLOCK = re.compile(r"<!-- (?P<name>(?P<kind>[a-z]+)(?:: [a-z-]+)?) -->\n.*?<!-- /(?P=kind) -->", re.S)


def pages() -> list[Path]:
    """Every Markdown file that may hold a block."""
    return sorted([*HERE.rglob("*.md"), HERE.parent / "CONTRIBUTING.md"])


@cache
def blocks() -> dict[str, str]:
    """Every generated block by its name."""
    return {**command_blocks(), **lever_blocks(), **form_blocks(schemas()), **house_blocks()}


def held() -> list[str]:
    """The names of the blocks that pages hold, as often as they hold them."""
    return [match["name"] for page in pages() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def renewed(page: str, texts: dict[str, str]) -> str:
    """The page with its blocks as the code would write them now; blocks that others write are left alone."""

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{texts[name]}<!-- /{match['kind']} -->" if name in texts else match[0]

    return BLOCK.sub(one, page)


def files() -> dict[Path, str]:
    """Every file that is written or holds something written by the code, as it should be now."""
    texts = blocks()
    found = {page: renewed(page.read_text(encoding="utf-8"), texts) for page in pages()}
    found[HERE / "images" / "house.svg"] = picture()
    found[HERE.parent / "src" / "reroll" / "web" / "glossary.json"] = glossary()
    return found | {HERE / "schemas" / f"{name}.json": json.dumps(s, indent=2) + "\n" for name, s in schemas().items()}


def stale() -> list[Path]:
    return [p for p, text in files().items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def main() -> int:
    old = stale()
    if "--write" not in sys.argv[1:]:
        for path in old:
            print(f"{path} is out of date; run python docs/generate.py --write", file=sys.stderr)
        return bool(old)
    for path, text in files().items():
        if path in old:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
