"""What docs/security.md says is held by tests is; and what no test of one module sees: the source as a whole."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import reroll
from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.program import Program
from reroll.sample import Completion, Sample
from reroll.store import Store

SOURCE = Path(reroll.__file__).parent
ROOT = SOURCE.parent.parent
PAGE = ROOT / "docs" / "security.md"
# Where code of others is run or pickles are read, and nowhere else; why is in the page's part on code that runs.
MAY = {
    "exec": {"check_process.py"},
    "eval": set(),
    "__import__": set(),
    "pickle": {"engine_ray.py", "ray_actor.py", "beside.py", "storing.py"},
    "marshal.loads": {"storing.py"},
    "shelve": set(),
    "dill": set(),
    "cloudpickle": set(),
}

FORBIDDEN = set("os.system os.popen yaml.load yaml.full_load yaml.unsafe_load marshal.load".split())
WORTH_A_LOOK = re.compile(rf"\b({'|'.join(MAY)}|shell|system|popen|marshal|yaml|extract(all)?)\b")
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")


def sources(worth: re.Pattern[str]) -> Iterator[tuple[Path, ast.Module]]:
    """The files that have one of these words, parsed."""
    for path in SOURCE.rglob("*.py"):
        if worth.search(text := read(path)):
            yield path, ast.parse(text)


def called(node: ast.Call) -> str:
    """The name of what is called, with dots; of `a().b` the end, `.b`."""
    names, at = [], node.func
    while isinstance(at, ast.Attribute):
        names.append(at.attr)
        at = at.value
    return ".".join([at.id if isinstance(at, ast.Name) else "", *reversed(names)])


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    there = set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(map(read, (ROOT / "tests").glob("*.py"))), re.M))
    named = set(re.findall(r"`(test_\w+)`", read(PAGE)))
    assert len(named) > 60
    assert named - there == set()


def test_every_row_of_the_page_says_what_is_done_and_what_holds_it() -> None:
    for line in read(PAGE).split("## Who may want it otherwise")[1].splitlines():
        if line.startswith("| ") and not line.startswith("| what could happen"):
            danger, done, held = (cell.strip() for cell in line.strip("|").split("|"))
            assert danger, line
            assert done, line
            assert re.fullmatch(r"(`test_\w+`(, )?)+", held), line


def test_nothing_that_comes_in_is_unpickled_or_run() -> None:
    for path, tree in sources(WORTH_A_LOOK):
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Call):
                name = called(node)
                names = [name.split(".")[0] if name.split(".")[0] in MAY else name]
                shell = next((word.value for word in node.keywords if word.arg == "shell"), None)
                assert shell is None or ast.unparse(shell) == "False", f"{path.name}:{node.lineno}"
                assert name not in FORBIDDEN, f"{path.name}:{node.lineno}"
                assert not name.endswith((".extractall", ".extract")), f"{path.name}:{node.lineno}"
            elif isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            for name in names:
                assert path.name in MAY.get(name, {path.name}), f"{path.name}:{node.lineno} uses {name}"


def test_no_pattern_of_a_user_takes_for_ever(tmp_path: Path) -> None:
    """With Python's own `re` each of these would take longer than the universe is old."""
    endless, text = "(a|aa)+$", "a" * 300 + "b"
    schema = {"type": "object", "properties": {"x": {"type": "string", "pattern": endless}}}
    checks = (Check.of("matches", endless), Check.of("schema", schema))
    case = Case(id="a", input={"x": text}, checks=checks)
    samples = [Sample(Completion(text)), Sample(Completion(json.dumps({"x": text})))]
    with Checker(tmp_path) as checker:
        found = [checker.judge(case, Program(program="p"), sample) for sample in samples]
    assert [found[0][0].outcome, found[1][1].outcome] == ["fail", "fail"]


def test_nothing_switches_escaping_off() -> None:
    """`|safe` stands where figures are drawn, which escape by themselves; Markup has no values but through format."""
    for template in (SOURCE / "web" / "templates").glob("*.html"):
        text = read(template)
        for line in text.splitlines():
            assert not re.search(r"\|\s*safe\b", line) or "drawn." in line, f"{template.name}: {line.strip()[:80]}"
        assert "autoescape" not in text, template.name
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son[a-z]+=|\sstyle=|javascript:", text), template.name
    for path, tree in sources(re.compile(r"\bMarkup\b")):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) == "Markup" and node.args:
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
    for script in (SOURCE / "web" / "static").glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", read(script)
        )


def test_only_the_hash_of_an_access_token_is_kept(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        id, secret = store.new_token("ana", ("read",))
        found = store.token_of(secret)
        assert found is not None
        assert found.id == id
        assert len(secret.removeprefix("rr_")) == 32  # letters of 6 bits: 192
        for path in tmp_path.iterdir():
            assert secret.removeprefix("rr_").encode() not in path.read_bytes()
