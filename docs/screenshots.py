"""Draws every page at both widths into docs/images/pages, from a project that is measured for it: `make screenshots`.

Needs Chromium. Look at each picture afterwards: they are what a reader of the docs sees.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT / "docs" / "images" / "pages"
WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
TALLEST = 1000  # pixels of a page that are shown


def main() -> None:
    from tests.pages import browser, run, served, tab
    from tests.test_pages import failing, pages

    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "meetings"
        run("init", str(folder))
        at = ("--project", str(folder), "--quiet", "--yes")
        run("investigate", WORDS, "--budget", "1600", "--seed", "3", *at)
        run("forks", failing(folder), *at)
        run("try", "hard-code", "describe-date", "--case", "next-friday", "--budget", "2000", *at)
        run("ideas", "add", "Tell it which week next Friday is in", "--case", "next-friday", "--by", "lena", *at[:2])
        every = {**pages(folder), "learn": "/learn", "learn a step": "/learn/words?guess=awkward&seed=4"}
        with served(folder) as server, browser() as chromium:
            for width in (1280, 390):
                with tab(chromium, server.another_link(), width=width) as visit:
                    for name, path in every.items():
                        visit.go(path)
                        tall = visit.page.evaluate("() => document.documentElement.scrollHeight")
                        size = {"x": 0, "y": 0, "width": width, "height": min(tall, TALLEST)}
                        file = OUT / f"{name.replace(' ', '-')}-{width}.png"
                        visit.page.screenshot(path=str(file), full_page=True, clip=size)
                        print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
