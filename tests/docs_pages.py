"""The pages of the documentation as their code blocks, and a shell that runs what stands in them.

A block may have a comment on the line before it:

    <!-- not run: needs a vLLM server -->     its commands are only parsed; the reason is kept in tests/test_docs_run.py
    <!-- before: cp a b; reroll rerun x -->   commands that a reader has run by then, one after the other
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

from reroll.cli import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
LASTING = ("fake-server", "record", "serve", "slack", "watch")
ENDING = {"--link", "--manifest", "--once", "--replay"}
MARK = re.compile(r"^<!-- (not run|before): (.*?) -->\s*$", re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block. line: where it begins, from 1; not_run: why it is not; before: what is run before it."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None = None
    before: str = ""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block" and (mark := MARK.match(token.content)):
            marks[mark[1]] = " ".join(mark[2].split()) if mark[1] == "not run" else mark[2]
        elif token.type == "fence":
            line = (token.map or [0])[0] + 1
            language = token.info.strip().partition(" ")[0]
            found.append(Block(page, line, language, token.content, marks.get("not run"), marks.get("before", "")))
            marks = {}
        elif token.type not in ("list_item_open", "bullet_list_open", "ordered_list_open"):
            marks = {}
    return found


# -- commands ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """One line as one types it, and what the page says that it prints: None where the page shows nothing."""

    line: str
    printed: str | None = None


def typed(block: Block) -> list[Typed]:
    """The lines of a shell block; in a console block those after `$`, each with what follows it."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        first, *parts = re.split(r"^\$ ", text, flags=re.M)
        assert not first, f"{block.where}: a console block begins with `$ `"
        split = (part.partition("\n") for part in parts)
        return [Typed(line, printed) for line, _, printed in split]
    return [Typed(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@dataclass
class Shell:
    """Runs lines in a folder; `reroll` in this process, so that its second of start-up is paid once."""

    folder: Path
    env: Mapping[str, str]
    told: Callable[[list[str]], list[str]] = list  # the words of a command as they are really given
    code: int = 0
    own: dict[str, str] = field(default_factory=dict)

    def run(self, line: str) -> str:
        """What the line prints on both streams; its exit code is kept in `code`."""
        printed = ""
        for part in re.split(r" && |; ", comment_off(line)):
            printed += self.part(part.strip())
        return printed

    def part(self, text: str) -> str:
        assigned = re.match(r"(?:export )?([A-Z_][A-Z0-9_]*)=(\S*)$", text)
        if assigned:
            self.own[assigned[1]] = assigned[2]
            self.code = 0
            return ""
        if text.startswith("cd "):
            self.folder = (self.folder / text[3:].strip()).resolve()
            assert self.folder.is_dir(), text
            self.code = 0
            return ""
        if text == "echo $?":
            return f"{self.code}\n"
        before = re.match(r"((?:[A-Z_][A-Z0-9_]*='?[^ ']*'? )*)reroll (.*)$", text)
        if before is None:
            return self.other(text)
        env = dict(one.split("=", 1) for one in shlex.split(before[1]))
        command, pipe, rest = re.match(r"(.*?)(?: (\||>) (.*))?$", before[2]).groups()  # type: ignore[union-attr]
        out, err = self.reroll(shlex.split(command), env)
        if pipe == ">":
            (self.folder / rest.strip()).write_text(out, encoding="utf-8")
            return err
        return self.other(rest, out) + err if pipe else out + err

    def other(self, text: str, stdin: str = "") -> str:
        run = subprocess.run(
            ["bash", "-c", text], cwd=self.folder, env={**self.env, **self.own}, input=stdin, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
        )  # fmt: skip
        self.code = run.returncode
        return run.stdout

    def reroll(self, words: list[str], env: Mapping[str, str]) -> tuple[str, str]:
        """What the command prints on stdout and stderr, run in this process unless somebody must end it."""
        words = self.told(words)
        if words[0] in LASTING and not set(words) & ENDING:
            return self.lasting(words, env)
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2)]
        with (
            contextlib.chdir(self.folder),
            surroundings({**self.env, **self.own, **env}),
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
            nobody_at_the_terminal(),
        ):
            self.code = main(words)
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode("utf-8") for stream in streams)  # type: ignore[attr-defined]
        return out, err

    def lasting(self, words: list[str], env: Mapping[str, str]) -> tuple[str, str]:
        """Start what goes on until it is ended, wait until it says where it listens, and end it as Ctrl-C does."""
        given = {**self.env, **self.own, **env}
        command = [sys.executable, "-m", "reroll", *words]
        with subprocess.Popen(
            command, cwd=self.folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as running:
            assert running.stdout is not None
            printed = running.stdout.readline()
            while printed and not re.search(r"http://|base_url|Watching", printed):
                line = running.stdout.readline()
                if not line:
                    break
                printed += line
            running.send_signal(signal.SIGINT)
            printed += running.stdout.read()
            self.code = running.wait(timeout=30)
        return printed, ""


def comment_off(line: str) -> str:
    """The line without what stands behind a `#` that begins a word and is in no quotes."""
    quote = ""
    for at, char in enumerate(line):
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at].rstrip()
    return line.rstrip()


@contextlib.contextmanager
def surroundings(env: Mapping[str, str]) -> Iterator[None]:
    old = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)


@contextlib.contextmanager
def nobody_at_the_terminal() -> Iterator[None]:
    old, sys.stdin = sys.stdin, io.StringIO("")
    try:
        yield
    finally:
        sys.stdin = old


# -- what is printed ---------------------------------------------------------------------------------------------------

NUMBER = r"\d[\d,]*(?:\.\d+)?"
RANGE = re.compile(rf"({NUMBER}) % \(({NUMBER})(?: %)?–({NUMBER}) %\)")
HEADING = re.compile(r"^ ?(\S.*?) ─{3,}$")
DRAWN = re.compile(r"[─━╸├┤│┃┓┗◆◇▲▄▁█░·●✗◐]+")
NAMES = ((re.compile(r"\bs_\w{12}\b"), "SAMPLE"), (re.compile(r"bundled@\w+"), "MODEL"), (re.compile(NUMBER), "#"))


def plain(line: str) -> str:
    """The line without what differs from run to run: numbers, ids, bars and the width of columns."""
    for pattern, name in NAMES:
        line = pattern.sub(name, line)
    return " ".join(DRAWN.sub(" ", line).split())


def same(expected: str, printed: str) -> bool:
    """Whether the lines are those of the page, in order, numbers apart; `…` stands for any lines left out."""
    wanted = [plain(line) for line in expected.splitlines() if line.strip()]
    found = [plain(line) for line in printed.splitlines() if line.strip()]
    at, loose = 0, False
    for line in wanted:
        if line == "…":
            loose = True
            continue
        end = len(found) if loose else at + 1
        if line.endswith("…"):  # cut off
            match = next((i for i in range(at, end) if i < len(found) and found[i].startswith(line[:-1])), None)
        else:
            match = next((i for i in range(at, end) if i < len(found) and found[i] == line), None)
        if match is None:
            return False
        at, loose = match + 1, False
    return loose or at == len(found) or not wanted


def headings(text: str) -> list[str]:
    return [match[1] for line in text.splitlines() if (match := HEADING.match(line))]


def ranges(text: str) -> dict[str, tuple[float, float]]:
    """The rates that have a range, by the words before them: the first of each."""
    found: dict[str, tuple[float, float]] = {}
    for line in text.splitlines():
        if match := RANGE.search(line):
            label = re.split(r" {2,}", line[: match.start()].strip())[0]
            low, high = (float(match[n].replace(",", "")) for n in (2, 3))
            found.setdefault(plain(label), (low, high))
    return found


def disagreements(expected: str, printed: str) -> Iterator[str]:
    """Ranges of the page and of the run that exclude each other."""
    now = ranges(printed)
    for label, (low, high) in ranges(expected).items():
        if label in now and (now[label][0] > high or now[label][1] < low):
            yield f"{label}: the page says {low}–{high} %, now {now[label][0]}–{now[label][1]} %"
