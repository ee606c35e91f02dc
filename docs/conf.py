"""How Sphinx builds the docs: the repository's Markdown as it is, in the order of docs/index.md (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent  # what is built from: README, CONTRIBUTING and CHANGELOG are pages too

project = "reroll"
author = "The reroll authors"
copyright = "the reroll authors, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/commands/*.md",
    "docs/recipes/*.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
]
exclude_patterns = [".*", "benchmarks", "build", "dist", "src", "tests", "training", "docs/images", "docs/schemas"]
# Links and anchors as a forge takes them: what leads nowhere is a warning, and warnings are errors.
myst_heading_anchors = 4
myst_enable_extensions = ["strikethrough"]
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = "reroll"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["site/static"]
html_css_files = ["reroll.css"]
html_extra_path = ["site/root"]
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-dark"

FOLDER = re.compile(r"\[([^\]]+)\]\(([\w./-]+)\)")
LINK = re.compile(r"\]\(([\w/.-]+)\.md(?:#[\w-]+)?\)")


def linked(text: str) -> list[str]:
    """The pages that a text links to, in order, without those of its own heading."""
    return list(dict.fromkeys(LINK.findall(text)))


def toctree(caption: str, pages: list[str]) -> str:
    entries = "\n".join(
        f"/{(Path('docs') / page).as_posix()}" if not page.startswith("../") else f"/{page[3:]}" for page in pages
    )
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def no_page(target: Path) -> bool:
    """Whether a forge shows what is there and a built page cannot: a folder, a source file."""
    return target.is_dir() or target.suffix == ".py"


def as_pages(app: Sphinx, name: str, source: list[str]) -> None:
    """What is no page is linked nowhere: the words stay. Then the side bar: what docs/index.md lists, section by
    section, and under the commands what docs/commands.md lists."""
    place = (ROOT / name).parent
    source[0] = FOLDER.sub(lambda link: link[1] if no_page(place / link[2]) else link[0], source[0])
    if name == "docs/index":
        for section in re.split(r"^## ", source[0], flags=re.M)[1:]:
            caption, _, text = section.partition("\n")
            entries = [entry for line in text.splitlines() if line.startswith("- ") for entry in linked(line)[:1]]
            source[0] += toctree(caption, entries)
    elif name == "docs/commands":
        source[0] += toctree("Commands", sorted(page for page in linked(source[0]) if page.startswith("commands/")))


def setup(app: Sphinx) -> None:
    app.connect("source-read", as_pages)
