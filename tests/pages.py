"""The pages under test: a real server on a free port, a real Chromium that may talk to nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reroll.init import init_project
from reroll.store import Store
from reroll.web.home import Home, secret_of

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; as root `make test` installs Debian's")
SECONDS = 30_000  # milliseconds that a page may take at most on a busy machine; nothing waits that long by itself


def run(*words: str) -> None:
    """One command of reroll, in a process of its own (the browser's driver keeps this one's event loop)."""
    done = subprocess.run([sys.executable, "-m", "reroll", *words], capture_output=True, text=True, env=environment())
    assert done.returncode in (0, 1, 3), done.stderr


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds; fails where it does not come to hold."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)


@dataclass
class Served:
    """A running server. `link` opens it once; `base` is its address."""

    process: subprocess.Popen[bytes]
    folder: Path
    link: str

    @property
    def base(self) -> str:
        parts = urlsplit(self.link)
        return f"{parts.scheme}://{parts.netloc}"

    def another_link(self) -> str:
        port = str(urlsplit(self.link).port)
        words = [sys.executable, "-m", "reroll", "serve", "--link", "--port", port, "--project", str(self.folder)]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment()).stdout.strip()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


@contextlib.contextmanager
def served(folder: Path, *words: str, **env: str) -> Iterator[Served]:
    """`reroll serve` on the project in this folder, until the block ends."""
    command = [sys.executable, "-m", "reroll", "serve", "--port", "0", "--project", str(folder), *words]
    log = folder / "serve.log"
    with log.open("w+b") as told:
        process = subprocess.Popen(command, stderr=told, env=environment(**env))
    try:
        until = time.monotonic() + SECONDS / 1000
        while not (found := re.search(r"Open (http://\S+)", log.read_text())):
            assert process.poll() is None, f"it did not start: {log.read_text()}"
            assert time.monotonic() < until, f"it did not start in time: {log.read_text()}"
            time.sleep(0.02)
        yield Served(process, folder, found[1])
    finally:
        process.terminate()
        process.wait(20)
        no_job_goes_on(folder)
    assert "Traceback" not in log.read_text(), log.read_text()[-4000:]


def no_job_goes_on(folder: Path) -> None:
    """Stop every job and wait for its end: jobs outlive their server, tests shall not leave any."""
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        for job in store.jobs(states=("waiting", "running")):
            store.stop_job(job.id)
        until(lambda: not store.jobs(states=("waiting", "running")))


@contextlib.contextmanager
def home_in(folder: Path) -> Iterator[Home]:
    """The example project in a new folder, with an empty store, as a server would show it."""
    init_project(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        yield Home(folder, store, secret=secret_of(folder))


@dataclass
class Tab:
    """A page of the browser with what went wrong in it. Nothing but the server may be asked for anything."""

    page: Any
    base: str
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        reply = self.page.goto(self.base + path)
        self.page.wait_for_selector("html[data-ready]", timeout=SECONDS)
        return reply

    def text(self, selector: str = "main") -> str:
        return str(self.page.inner_text(selector))

    def is_clean(self) -> None:
        """Nothing outside was asked for, no script failed, nothing was blocked."""
        assert not self.outside, self.outside
        assert not self.errors, self.errors

    def is_accessible(self) -> None:
        """axe finds nothing serious."""
        from axe_playwright_python.sync_playwright import Axe

        before = len(self.errors)
        found = Axe().run(self.page)
        del self.errors[before:]  # the policy stops what axe itself tries
        serious = [
            (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, (self.page.url, serious)

    def fits(self) -> None:
        """Nothing is wider than the screen."""
        wide = self.page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1] + 1, f"the page is {wide[0]} px wide on a screen of {wide[1]}"


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def tab(started: Any, link: str, *, width: int = 1280, dark: bool = False, **more: Any) -> Iterator[Tab]:
    """A fresh visitor who opened the link, on a screen this wide."""
    context = started.new_context(
        viewport={"width": width, "height": 900 if width > 600 else 844},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        **more,
    )
    context.set_default_timeout(SECONDS)
    page = context.new_page()
    parts = urlsplit(link)
    seen = Tab(page, f"{parts.scheme}://{parts.netloc}")
    page.on(
        "request", lambda r: None if r.url.startswith((seen.base, "data:", "blob:")) else seen.outside.append(r.url)
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console",
        lambda said: seen.errors.append(said.text) if said.type == "error" and "status of 4" not in said.text else None,
    )
    page.goto(link)
    page.wait_for_selector("html[data-ready]")
    try:
        yield seen
    finally:
        context.close()
