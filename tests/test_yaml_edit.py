"""A value changes where it stands, and all else in the file stays as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reroll.errors import FileError
from reroll.strict_yaml import parse_yaml, write_flow, write_yaml
from reroll.yaml_edit import edited

FILE = """\
# what it is

program:   p     # its name
system:
    role: >
      folded
      text
    # why this one
    form: 'x: y'   # quoted


examples:
  - name: a      # an example
    user: "q"
    assistant: '{"a": 1}'
  # between
  - {name: b, user: u, assistant: v}
params: { temperature: 1,  max_tokens: 96 }   # both
nothing:
when: 2026-11-18
# the end
"""


def change(**changes: Any) -> dict[str, Any]:
    value = parse_yaml(FILE, "f.yaml")
    return {k: v for k, v in {**value, **changes}.items() if v != "GONE"}


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (change(program="q"), "program:   p     # its name", "program:   q     # its name"),
        (change(params={"temperature": 0, "max_tokens": 96}), "{ temperature: 1,  max", "{ temperature: 0,  max"),
        (change(params={"temperature": 1, "max_tokens": 96, "top_p": 0.5}), "96 }", "96, top_p: 0.5 }"),
        (change(nothing="12:30"), "nothing:\n", "nothing: '12:30'\n"),
        (change(nothing=[{"a": "b\nc"}]), "nothing:\n", "nothing:\n- a: |-\n    b\n    c\n"),
        (change(when="GONE"), "when: 2026-11-18\n", ""),
        (change(system={"role": "folded text\n", "form": "it's"}), "'x: y'   # quoted", "'it''s'   # quoted"),
        (change(system={"role": "folded text\n"}), "    form: 'x: y'   # quoted\n", ""),
        (change(system={"role": "One.", "form": "x: y"}),
         "role: >\n      folded\n      text\n", "role: One.\n"),
        (change(system={"role": "folded text\n", "new": "a\nb", "form": "x: y"}),
         "      text\n", "      text\n    new: |-\n      a\n      b\n"),
        (change(system={"form": "x: y", "role": "folded text\n"}),
         FILE[FILE.index("    role"):FILE.index("\n\n\nexamples")],
         "    # why this one\n    form: 'x: y'   # quoted\n    role: >\n      folded\n      text"),
        (change(examples=[{"name": "b", "user": "u", "assistant": "v"}]),
         '  - name: a      # an example\n    user: "q"\n    assistant: \'{"a": 1}\'\n', ""),
        (change(examples=[{"name": "a", "user": "r", "assistant": '{"a": 1}'},
                          {"name": "b", "user": "u", "assistant": "v"},
                          {"name": "c", "user": "u\n2", "assistant": "[]"}]),
         None, None),
        (change(system={"role": "folded text\n", "form": "two\nlines"}),
         "form: 'x: y'   # quoted", 'form: "two\\nlines"   # quoted'),
    ],
)  # fmt: skip
def test_only_the_place_of_a_change_is_written_anew(value: Any, old: str | None, new: str | None) -> None:
    text = edited(FILE, value, Path("f.yaml"))
    assert json.dumps(parse_yaml(text, "f.yaml")) == json.dumps(value)
    if old is not None and new is not None:
        assert text == FILE.replace(old, new)
    else:
        assert set(FILE.replace('"q"', '"r"').splitlines()) <= set(text.splitlines())


def test_what_is_renamed_keeps_its_place_and_comment() -> None:
    assert edited("a:\n  b: 1  # one\n", {"a": {"c": 1}}, Path("f.yaml")) == "a:\n  c: 1  # one\n"


def test_line_ends_stay() -> None:
    assert edited("a: 1\r\nb: 2\r\n", {"a": 1, "c": 3, "b": 2}, Path("f.yaml")) == "a: 1\r\nc: 3\r\nb: 2\r\n"


def test_a_last_line_without_an_end_gets_one() -> None:
    assert edited("a: 1", {"a": 1, "b": 2}, Path("f.yaml")) == "a: 1\nb: 2\n"


def test_what_an_alias_repeats_is_left_to_the_person() -> None:
    with pytest.raises(FileError, match=r"make it by hand|not YAML"):
        edited("a: &x {k: 1}\nb: *x\n", {"a": {"k": 2}, "b": {"k": 1}}, Path("f.yaml"))


# -- any change of any file --------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["", "a", "no", "12:30", "x: y", "# not a comment", "two\nlines", "- dash", "é, [b]", "'q'", " s "]
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1e-7]) | TEXTS
KEYS = st.sampled_from(["a", "b", "c", "d e", "1", "no"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


@st.composite
def mutated(draw: Any, value: Any) -> Any:
    """The value with something else somewhere, or another order."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        items = list(draw(st.permutations(list(value.items())))) if draw(st.booleans()) else list(value.items())
        at = draw(st.integers(0, len(items) - 1))
        what = draw(st.integers(0, 2))
        if what == 0:
            items[at] = (items[at][0], draw(mutated(items[at][1])))
        elif what == 1:
            del items[at]
        else:
            items.insert(at, (draw(KEYS), draw(VALUES)))
        return dict(items)
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(mutated(value[at])), *value[at + draw(st.integers(0, 1)) :]]
    return draw(VALUES)


@st.composite
def files(draw: Any, value: dict[str, Any]) -> str:
    """The value as a person might write it, a numbered comment here and there."""
    lines = []
    for n, (key, inner) in enumerate(value.items()):
        flow = draw(st.booleans()) and not (isinstance(inner, str) and "\n" in inner)
        said = f"{write_flow({key: inner})[1:-1]}\n" if flow else write_yaml({key: inner})
        if flow and draw(st.booleans()):
            said = said.rstrip("\n") + f"   # beside {n}.\n"
        above = f"\n# above {n}.\n" if draw(st.booleans()) else ""
        lines.append(above + said)
    return "".join(lines) + draw(st.sampled_from(["", "# last\n"]))


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_can_be_written_into_any_file(data: st.DataObject) -> None:
    old = data.draw(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
    text = data.draw(files(old))
    assert json.dumps(parse_yaml(text, "f.yaml")) == json.dumps(old)
    new = data.draw(mutated(old).filter(lambda value: isinstance(value, dict) and value))
    found = edited(text, new, Path("f.yaml"))
    assert json.dumps(parse_yaml(found, "f.yaml")) == json.dumps(new)
    for line in text.splitlines():
        if line.startswith("# "):
            assert line in found.splitlines()
    assert edited(found, new, Path("f.yaml")) == found
