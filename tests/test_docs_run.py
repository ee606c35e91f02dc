"""What the pages say to type is run, and what they say is printed is printed: every code block of the documentation.

Here with small budgets, so that it costs seconds. `REROLL_DOCS=whole` (`make docs-run`) runs each line as it is
written, and then the verdicts must be those of the pages too. A model draws by chance: every run has a seed, numbers
may differ from those of a page, and two ranges of one rate must have something in common.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reroll.cli import app
from reroll.ideas_file import read_ideas
from reroll.init import init_project
from reroll.levers import fitting
from reroll.project import load_fix, load_project, parse_yaml, read_checks
from reroll.watch_file import read_watch
from tests.docs_pages import PAGES, ROOT, Block, Shell, blocks, disagreements, headings, plain, same, typed
from tests.test_docs import by_name, check_parses, command_lines

pytest_plugins = ["pytester"]
WHOLE = os.environ.get("REROLL_DOCS") == "whole"
LITTLE = 25  # calls
SHELL = ("sh", "console")
# What a block can be. A `text` is a picture of something and runs nothing.
LANGUAGES = {*SHELL, "python", "yaml", "json", "jsonl", "toml", "sql", "text"}
ENV = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
ENV["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), ENV.get("PATH", "")])  # its `pytest` knows reroll
ENV |= {
    "COLUMNS": "88",
    "NO_COLOR": "1",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "EXAMPLES": str(ROOT / "tests" / "docs_examples"),
}
OPTIONS = {name: str(app[name].assemble_argument_collection()) for name in app if not name.startswith("-")}
DRAWS = {name for name, options in OPTIONS.items() if "--budget" in options and "--seed" in options}
SHOWS = {"replay", "samples", "show"}  # what was drawn
NAMED = re.compile(r"^# ((?:fixes/)?[\w-]+\.(?:yaml|py))\n")  # a block that is a file of the project


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project, with some runs of some cases in its store."""
    folder = tmp_path_factory.mktemp("docs") / "meetings"
    init_project(folder)
    shell = Shell(folder, ENV)
    for case in ("next-friday", "half-seven", "awkward"):
        shell.run(f"reroll rerun {case} --seed 5 --budget 30 --quiet --fresh")
        assert shell.code == 0
    return folder


class Reader:
    """Somebody who types what a page shows, from its first block to its last, in one folder."""

    def __init__(self, page: Path, measured: Path, folder: Path) -> None:
        shutil.copytree(measured, folder / "meetings")
        makes_one = any("reroll init" in block.before + block.text for block in blocks(page) if block.language in SHELL)
        if makes_one:
            shutil.rmtree(folder / "meetings")
        self.shell = Shell(folder if makes_one else folder / "meetings", ENV, self.told)
        self.samples: dict[str, str] = {}  # as the page names them: as they are here

    def told(self, words: list[str]) -> list[str]:
        """The command as it is run: with samples that are here, a free port, and a seed if it draws."""
        words = [re.sub(r"\bs_\w{12}\b", lambda match: self.sample(match[0]), word) for word in words]
        if words[0] in ("serve", "record", "slack") and "--manifest" not in words and "--link" not in words:
            words = [*without(words, "--port"), *(["--port", "0"] if words[0] != "slack" or "--port" in words else [])]
        if words[0] in DRAWS and not {"--seed", "--explain"} & set(words):
            words += ["--seed", "7"]
        if words[0] in DRAWS and not WHOLE and "--horizon" not in words:
            given = int(words[words.index("--budget") + 1]) if "--budget" in words else 400
            words = [*without(words, "--budget"), "--budget", str(min(given, LITTLE))]
        return words

    def sample(self, named: str) -> str:
        """The sample that stands for one of the page: a failing one that nothing else stands for."""
        if named not in self.samples:
            with sqlite3.connect(self.shell.folder / ".reroll" / "store.sqlite") as store:
                query = (
                    "SELECT id FROM samples JOIN outcomes ON sample_id = id WHERE outcome = 'fail' ORDER BY seq DESC"
                )
                ids = [f"s_{row[0].removeprefix('s_')}" for row in store.execute(query)]
            self.samples[named] = next(id for id in ids if id not in self.samples.values())
        return self.samples[named]

    def reads(self, block: Block) -> None:
        """Type what the block says. Raises: AssertionError where something else comes of it."""
        for line in filter(None, re.split(r"[;\n] *", block.before.strip())):
            printed = self.shell.run(line)
            assert self.shell.code in (0, 1, 3), (
                f"{block.where}: before it, `{line}` ends with {self.shell.code}: {printed}"
            )
        for one in typed(block):
            if known(one.line):
                continue
            printed = self.shell.run(one.line)
            said = f"{block.where}: `{one.line}` ends with exit code {self.shell.code} and prints\n{printed}"
            assert "Traceback" not in printed, said
            if one.printed is None or not one.printed.strip():
                # With few calls an answer may stay open, and a fix that nobody accepted is not applied.
                few = not WHOLE and bool(DRAWS & set(one.line.split()))
                assert self.shell.code in ((0, 1, 3, 4) if few else (0, 1, 3)) or "[not-accepted]" in printed, said
                continue
            for here, there in zip(
                re.findall(r"\bs_\w{12}\b", printed), re.findall(r"\bs_\w{12}\b", one.printed), strict=False
            ):
                self.samples.setdefault(there, here)
            if one.line == "echo $?":
                assert printed in (one.printed, "3\n", "4\n"), said  # 3, 4: left open this time
                continue
            if same(one.printed, printed):
                continue
            assert any(command.split()[1] in DRAWS | SHOWS for command in command_lines(one.line)), said
            if WHOLE:
                first = {plain(text.strip().splitlines()[0]) for text in (one.printed, printed)}
                # What a page shows as decided may be open in another run; the contrary it may not be.
                left_open = one.printed.strip()[0] in "●✗" and printed.strip()[0] == "◐"
                begun = not one.printed.startswith("…")  # the page shows it from its first line on
                assert len(first) == 1 or left_open or not begun or one.line.split()[1] in SHOWS, said
                assert not list(disagreements(one.printed, printed)), said
                assert left_open or set(headings(one.printed)) <= set(headings(printed)), said


def without(words: list[str], option: str) -> list[str]:
    """The words without an option and its value."""
    at = words.index(option) if option in words else None
    return list(words) if at is None else words[:at] + words[at + 2 :]


def known(line: str) -> bool:
    """Whether the line is `make NAME` or `pip install reroll`, which are looked up and not run."""
    if make := re.match(r"make ([a-z-]+)", line):
        assert re.search(rf"^{make[1]}:.*##", (ROOT / "Makefile").read_text(), re.M), line
        return True
    if pip := re.match(r"pip install '?reroll(?:\[([a-z,]+)\])?'?$", line):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set((pip[1] or "postgres").split(",")) <= set(extras), line
        return True
    return False


def having(*languages: str) -> Any:
    """The pages that have blocks of one of these languages."""
    pages = [page for page in PAGES if any(block.language in languages for block in blocks(page))]
    return pytest.mark.parametrize("page", pages, ids=by_name)


@having(*SHELL)
def test_what_a_page_says_to_type_does_what_it_says(page: Path, measured: Path, tmp_path: Path) -> None:
    reader = Reader(page, measured, tmp_path)
    for block in blocks(page):
        if block.not_run is None and block.language in SHELL:
            reader.reads(block)
        elif name := NAMED.match(block.text):
            file = reader.shell.folder / name[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")


@having("python")
def test_python_on_a_page_runs(page: Path, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(page, measured, tmp_path)
    monkeypatch.chdir(reader.shell.folder)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python" and ">>>" not in block.text and block.not_run is None:
            for line in filter(None, re.split(r"[;\n] *", block.before.strip())):
                assert not reader.shell.run(line)
            exec(compile(block.text, block.where, "exec"), names)


def test_the_pytest_example_prints_what_its_page_shows(pytester: pytest.Pytester) -> None:
    source, shown, *_ = (block.text for block in blocks(ROOT / "docs" / "pytest.md"))
    mailer = "def subject_for(self, name): return f'Welcome, {name}'"
    pytester.makeconftest(
        f"import pytest\nclass Mailer:\n    {mailer}\n@pytest.fixture\ndef mailer(): return Mailer()\n"
    )
    pytester.makepyfile(test_mail=source)
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    run.stdout.fnmatch_lines([line.replace("[", "[[]") for line in shown.splitlines()[1:]])


@having("yaml")
def test_yaml_on_a_page_is_what_its_reader_takes(page: Path, tmp_path: Path) -> None:
    folder, project = tmp_path / "example", None
    init_project(folder)
    shutil.copy(Path(ENV["EXAMPLES"]) / "weeks.yaml", folder / "fixes")
    for block in blocks(page):
        if block.language != "yaml":
            continue
        value = parse_yaml(block.text, block.where)
        if isinstance(value, list):
            read_checks(block.text, block.where)
        elif "fix" in value:
            file = tmp_path / "one.yaml"
            file.write_text(block.text, encoding="utf-8")
            fix = load_fix(file)
            if project is not None and page.name == "levers.md":
                fitting(fix, project.program)
        elif kind := next((kind for kind in ("program", "cases", "ideas", "watch") if kind in value), None):
            if kind == "program":  # another project begins
                folder = tmp_path / str(block.line)
                folder.mkdir()
            if kind == "ideas" and not (folder / "fixes").exists():
                shutil.copytree(tmp_path / "example" / "fixes", folder / "fixes")
            (folder / f"{kind}.yaml").write_text(block.text, encoding="utf-8")
            if "raw" in value:
                shutil.copy(Path(ENV["EXAMPLES"]) / "request.json", folder)
            project = load_project(folder)
            READERS.get(kind, lambda project: None)(project)
        else:
            assert {"jobs", "kind"} & set(value), f"{block.where}: whose file is it?"  # a workflow, or for a cluster
            runs = [step["run"] for job in value.get("jobs", {}).values() for step in job["steps"] if "run" in step]
            for line in command_lines("\n".join(runs)):
                check_parses(line)


READERS = {"ideas": read_ideas, "watch": read_watch}


@having("sql")
def test_sql_on_a_page_runs(page: Path, measured: Path) -> None:
    with sqlite3.connect(measured / ".reroll" / "store.sqlite") as store:
        for block in blocks(page):
            if block.language == "sql":
                for statement in filter(str.strip, block.text.split(";\n")):
                    store.execute(statement)


@having("toml")
def test_toml_on_a_page_is_toml(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            tomllib.loads(block.text)


def test_every_block_says_what_it_is() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in LANGUAGES, f"{block.where}: {block.language or 'no language'}"
            if block.language == "text":
                assert not list(command_lines(block.text)), f"{block.where}: commands stand in sh or console blocks"


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    """A block that is not run is seen here by whoever reviews a change: write its line into tests/not_run.txt."""
    found = [
        f"{by_name(page)}: {block.not_run}" for page in PAGES for block in blocks(page) if block.not_run is not None
    ]
    listed = (ROOT / "tests" / "not_run.txt").read_text(encoding="utf-8").splitlines()
    assert found == [line for line in listed if line and not line.startswith("#")]


@having(*SHELL)
def test_what_is_not_run_is_still_understood(page: Path) -> None:
    for block in blocks(page):
        if block.not_run is not None and block.language in SHELL:
            for one in typed(block):
                for line in command_lines(one.line):
                    check_parses(line)
