"""Draws every page at both widths into docs/images/pages, and one report from the form to the mended program into
docs/images/first-report, from projects that are measured for it: `make screenshots`, or with names of what is wanted
(`pages`, `first-report`).

Needs Chromium. Look at each picture afterwards: they are what a reader of the docs sees.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
IMAGES = ROOT / "docs" / "images"
WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
TALLEST = 1000  # pixels of a page that are shown


def pages(folder: Path, chromium: Any) -> None:
    """Every page of a project in which one report was measured and two fixes tried."""
    from tests.pages import run, served, tab
    from tests.test_pages import failing
    from tests.test_pages import pages as every_page

    run("init", str(folder))
    at = ("--project", str(folder), "--quiet", "--yes")
    run("investigate", WORDS, "--budget", "1600", "--seed", "3", *at)
    run("forks", failing(folder), *at)
    run("try", "hard-code", "describe-date", "--case", "next-friday", "--margin", "0.1", "--budget", "2000", *at)
    run("phrase", "next-friday", "--tokens", "um so like lunch w/ Ana next Friday at noon", "--budget", "200", *at)
    run("ideas", "add", "Tell it which week next Friday is in", "--case", "next-friday", "--by", "lena", *at[:2])
    every = {**every_page(folder), "learn": "/learn", "learn a step": "/learn/words?guess=awkward&seed=4"}
    with served(folder) as server:
        for width in (1280, 390):
            with tab(chromium, server.another_link(), width=width) as visit:
                for name, path in every.items():
                    visit.go(path)
                    draw(visit, IMAGES / "pages" / f"{name.replace(' ', '-')}-{width}.png")


def first_report(folder: Path, chromium: Any) -> None:
    """What somebody sees who reports something, and whoever mends it."""
    from tests.pages import SECONDS, run, served, tab

    run("init", str(folder))
    out = IMAGES / "first-report"
    with served(folder, REROLL_METHOD="sampling") as server, tab(chromium, server.another_link()) as visit:
        page = visit.page
        visit.go("/reports/new")
        page.fill("textarea[name='input.request']", "Lunch with Ana next Friday at noon")
        page.fill("textarea[name=happened]", "It booked this Friday. I meant the one of next week.")
        page.fill("input[name=by]", "Lena")
        draw(visit, out / "form.png", 1060)
        page.click("text=Measure it")
        page.wait_for_selector(".job-strip i >> nth=2", timeout=SECONDS)
        draw(visit, out / "running.png", 640)
        page.wait_for_selector("main:not(:has([data-job])) #reply", timeout=4 * SECONDS)
        draw(visit, out / "answer.png")
        at = ("--project", str(folder), "--quiet", "--yes")
        run("cause", "next-friday", "--budget", "600", *at)
        visit.go("/cases/next-friday/cause")
        draw(visit, out / "cause.png", 820)
        run("try", "hard-code", "describe-date", "--case", "next-friday", "--margin", "0.1", "--budget", "2000", *at)
        visit.go("/cases/next-friday/fixes")
        draw(visit, out / "fixes.png")
        run("apply", "describe-date", *at[:2])
        visit.go("/cases/next-friday/life")
        draw(visit, out / "story.png")


def draw(visit: Any, file: Path, tallest: int = TALLEST) -> None:
    """The page as it stands, from its top on."""
    wide, tall = visit.page.evaluate(
        "() => { document.activeElement?.blur(); scrollTo(0, 0);"
        " return [document.documentElement.clientWidth, document.documentElement.scrollHeight]; }"
    )
    size = {"x": 0, "y": 0, "width": wide, "height": min(tall, tallest)}
    file.parent.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=str(file), full_page=True, clip=size)
    print(file.relative_to(ROOT))


def main() -> None:
    from tests.pages import browser

    wanted = sys.argv[1:] or ["pages", "first-report"]
    with tempfile.TemporaryDirectory() as place, browser() as chromium:
        if "pages" in wanted:
            pages(Path(place) / "meetings", chromium)
        if "first-report" in wanted:
            first_report(Path(place) / "first" / "meetings", chromium)


if __name__ == "__main__":
    main()
