"""Every figure is inert, complete, readable and the same for everybody."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import reroll.render.figures as figures
from reroll.outcomes import Outcomes
from reroll.render.figures import (
    PAGE_CSS,
    Figure,
    IntervalRow,
    dumbbells,
    evidence_walk,
    fork_tree,
    histogram,
    intervals,
    outcome_strip,
    retries,
    stream,
    success_curve,
    token_bars,
    two_distributions,
)
from reroll.render.figures.lettering import inert, size_of, width_of
from reroll.render.figures.looks import LIGHT
from reroll.sample import Token
from reroll.tree import Branch, Tree
from reroll.verdict import certify_path
from reroll.walks import certify_walks, luck_walks

EVIL = "\u202e\x1b[31m<script>alert(1)</script>\x00 \"'&\ud800\ufffe a\u0300\u0301\u0302\u0303\u0304\u0305 מילה"
LONG = EVIL + " and words that go on and on, and then on, to see what happens when nobody stops them at all"
START = 1_790_000_000.0
FOREIGN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe]")


def drawn(rate: float, n: int, seed: int, invalid: float = 0.02) -> Outcomes:
    codes = np.random.default_rng(seed).choice(3, size=n, p=[1 - rate - invalid, rate, invalid])
    return Outcomes.of_codes(codes.astype(np.uint8).tobytes())


def branch() -> Branch:
    tree, rng = Tree("r"), np.random.default_rng(4)
    for _ in range(200):
        bad = rng.random() < 0.3
        words = [
            "The",
            " capital",
            " is",
            " Lyon" if bad else " Paris",
            EVIL if rng.random() < 0.1 else str(rng.integers(9)),
        ]
        outcome = "invalid" if rng.random() < 0.03 else "fail" if bad else "pass"
        tree.grow([Token(word) for word in words], "cut", outcome=outcome, drawn=True)
    return tree.branches()


POINTS = [(START + 3600 * k, 1 if k % 7 == 0 else k // 300, 40) for k in range(360)]
CURVE = [(k, EVIL if k else "", 0.9 - k / 20, max(0.0, 0.8 - k / 20), 1 - k / 25) for k in range(14)]
ROWS = [
    IntervalRow("this case", 0.193, 0.42, 0.688, "fail", "29 of 70 runs"),
    IntervalRow("controls", 0.004, 0.012, 0.03, "muted"),
    IntervalRow("a second try", 0.31, 0.58, 0.81, "pass"),
    IntervalRow("nobody knows", None, None, None, "invalid"),
]
HOSTILE = [
    IntervalRow(LONG, 0, 0.5, 1, "fail", LONG),
    IntervalRow("", None, None, None),
    IntervalRow("almost never", 1e-7, 3e-7, 1e-5),
    IntervalRow("W" * 80, 0.999, 0.9999999, 1, "pass"),
]
BEFORE = [(LONG, (0.3, 0.42, 0.55), (0.0, 0.02, 0.06)), ("b", (0.1, 0.2, 0.3), (None, None, None))]
LINES = [
    (0.05, LONG, "target"),
    (0.051, "near", "reference"),
    (0.06, "nearer", "reference"),
    (1.0, "the end", "target"),
]
WORDS = {"met": LONG, "not_met": LONG}
Made = Callable[[int], Figure]
ALL: dict[str, Made] = {
    "intervals": lambda w: intervals("Rates of it", "Rates", ROWS, LINES[1:], width=w),
    "intervals, hostile": lambda w: intervals("i2", LONG, HOSTILE, LINES, width=w),
    "intervals near zero": lambda w: intervals("i3", "t", [IntervalRow("a", 0, 0.004, 0.03)], domain=None, width=w),
    "intervals of nothing": lambda w: intervals("i4", "t", [], width=w),
    "points": lambda w: intervals("i5", "t", [IntervalRow("a", -0.4, -0.3, -0.2, "accent")], unit="points", width=w),
    "dumbbells": lambda w: dumbbells("d", BEFORE, LINES, names=(LONG, "after"), width=w),
    "strip": lambda w: outcome_strip("s", drawn(0.2, 137, 1), width=w),
    "strip of none": lambda w: outcome_strip("s0", [], width=w),
    "strip of many": lambda w: outcome_strip("s2", drawn(0.004, 100_000, 1), width=w),
    "walk": lambda w: evidence_walk("w", certify_walks(drawn(0.001, 900, 3, 0), 0.99), width=w),
    "walk, hostile": lambda w: evidence_walk("w2", luck_walks(drawn(0.3, 43, 5), 0.1), words=WORDS, width=w),
    "walk of none": lambda w: evidence_walk("w3", certify_walks([], 0.99), width=w),
    "walk of many": lambda w: evidence_walk("w4", certify_walks(drawn(0.01, 100_000, 5), 0.99), width=w),
    "walk long decided": lambda w: evidence_walk("w5", luck_walks(["pass"] * 3000), width=w),
    "retries": lambda w: retries("r", [(k, 1 - 0.4**k, 1 - 0.5**k, 1 - 0.3**k) for k in range(1, 30)], width=w),
    "curve": lambda w: success_curve("c", CURVE, 6, width=w),
    "curve of none": lambda w: success_curve("c0", [], width=w),
    "curve of many": lambda w: success_curve("c2", [(k, "x", 0.9, 0.8, 1.0) for k in range(3000)], 2999, width=w),
    "tree": lambda w: fork_tree("t", branch(), width=w),
    "tree, cut": lambda w: fork_tree("t2", branch(), most=5, width=w),
    "tokens": lambda w: token_bars(
        "b", [(LONG, 0.6, 0.95), ("", 0.2, 1e-7), ("\n", 0.1, None)], 0.1, chosen="", width=w
    ),
    "two": lambda w: two_distributions("x", [(LONG + str(k), 0.3 / (k + 1)) for k in range(20)], [("a", 1.0)], width=w),
    "stream": lambda w: stream("f", POINTS, [(START + 9e5, "alarm"), (START + 1e6, LONG)], 0.01, named=LONG, width=w),
    "stream of none": lambda w: stream("f0", [], width=w),
    "alarms": lambda w: stream("f2", POINTS[:50], [(START + 9e3 * k, LONG) for k in range(20)], width=w),
    "histogram": lambda w: histogram(
        "h",
        np.random.default_rng(2).gamma(4, 0.4, 700).tolist(),
        lines=[(1.5, "median"), (3.2, LONG)],
        unit=LONG,
        width=w,
    ),
    "histogram of none": lambda w: histogram("h0", width=w),
    "histogram of one": lambda w: histogram("h1", [3.0] * 5, width=w),
    "histogram of bins": lambda w: histogram("h2", bins=[(0, 10, 3), (10, 20, 0), (20, 30, 9)], width=w),
}
BOTH = [pytest.param(make, w, id=f"{name} at {w}") for name, make in ALL.items() for w in (360, 720)]
every = pytest.mark.parametrize(("make", "width"), BOTH)
SVG = "{http://www.w3.org/2000/svg}"


def root_of(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    for one in root.iter():
        one.tag = one.tag.removeprefix(SVG)
    return root


def boxes(root: ET.Element) -> Iterator[tuple[str, float, float, float, float]]:
    """(text, left, top, right, bottom) of every text, by its estimated width."""
    for one in root.iter("text"):
        text, classes = "".join(one.itertext()), one.get("class", "")
        x, y, wide = float(one.get("x", "0")), float(one.get("y", "0")), width_of(text, classes)
        start = x - {"start": 0.0, "middle": wide / 2, "end": wide}[one.get("text-anchor", "start")]
        base = size_of(classes)
        yield text, start, y - 0.75 * base, start + wide, y + 0.2 * base


def places(root: ET.Element) -> Iterator[tuple[float, float]]:
    """Every corner that is drawn, and both ends of every text."""
    for text, left, top, right, bottom in boxes(root):
        if text:
            yield from ((left, top), (right, bottom))
    for one in root.iter():
        spots = [float(v) for v in re.findall(r"-?[\d.]+", one.get("points", "") + one.get("d", ""))]
        yield from zip(spots[::2], spots[1::2], strict=True)
        at = {name: float(one.get(name, "0")) for name in "x y width height x1 y1 x2 y2 cx cy r".split()}
        if one.tag == "rect":
            yield from ((at["x"], at["y"]), (at["x"] + at["width"], at["y"] + at["height"]))
        elif one.tag == "line":
            yield from ((at["x1"], at["y1"]), (at["x2"], at["y2"]))
        elif one.tag == "circle":
            yield from ((at["cx"] - at["r"], at["cy"] - at["r"]), (at["cx"] + at["r"], at["cy"] + at["r"]))


@every
def test_a_figure_parses_and_says_what_it_is(make: Made, width: int) -> None:
    made = make(width)
    for svg in (made.inline(), made.svg()):
        root = root_of(svg)
        assert root.get("role") == "img"
        ids = [one.get("id") for one in (root.find("title"), root.find("desc")) if one is not None]
        assert root.get("aria-labelledby", "").split() == ids
        assert (root.findtext("title"), bool(root.findtext("desc"))) == (made.title, True)
    assert re.fullmatch(r"[a-z0-9-]+", made.name)
    assert root_of(made.inline()).get("class") == f"figure-svg {'narrow' if width == 360 else 'wide'}"


@every
def test_a_figure_is_inert(make: Made, width: int) -> None:
    made = make(width)
    assert "style" not in made.inline()
    for svg in (made.inline(), made.svg()):
        root = root_of(svg)
        assert not FOREIGN.search(svg)
        assert {one.tag for one in root.iter()} <= set(
            "svg title desc style rect g text line circle polyline polygon path".split()
        )
        for one in root.iter():
            assert not any(name.startswith("on") or "href" in name or name == "style" for name in one.attrib)
    assert "script" not in made.csv() or "<script>" in made.csv()
    assert not FOREIGN.search(made.csv().replace("\n", ""))


@every
def test_nothing_lies_outside(make: Made, width: int) -> None:
    made = make(width)
    assert made.width == width
    for svg in (made.inline(), made.svg()):
        root = root_of(svg)
        wide, high = (float(v) for v in root.get("viewBox", "").split()[2:])
        shift = root.find("g")
        room = (0.0, 0.0) if shift is None else (20.0, wide and high - made.height - 20)
        for part, (dx, dy) in ((shift, room),) if shift is not None else ((root, room),):
            for x, y in places(part):
                assert -0.6 <= x + dx <= wide + 0.6, (x, wide)
                assert -0.6 <= y + dy <= high + 0.6, (y, high)


@every
def test_no_two_words_overlap(make: Made, width: int) -> None:
    found = [one for one in boxes(root_of(make(width).svg()).find("g")) if one[0]]  # type: ignore[arg-type]
    for i, (text, left, top, right, bottom) in enumerate(found):
        for other, left2, top2, right2, bottom2 in found[i + 1 :]:
            apart = right <= left2 + 1 or right2 <= left + 1 or bottom <= top2 + 1 or bottom2 <= top + 1
            assert apart, (text, other)


@every
def test_every_class_has_a_look_on_the_page_and_in_a_file(make: Made, width: int) -> None:
    made = make(width)
    used = {name for one in root_of(made.inline()).iter() for name in one.get("class", "").split()}
    for name in used - {"figure-svg", "wide", "narrow", "label"}:
        assert f".figure-svg .{name} {{" in PAGE_CSS
        assert f".figure-svg .{name} {{" in made.svg()


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@every
def test_the_table_holds_every_number_that_is_drawn(make: Made, width: int) -> None:
    made = make(width)
    table = [float(n.replace(",", "")) for row in (made.head, *made.rows) for cell in row for n in NUMBER.findall(cell)]
    for one in root_of(made.inline()).iter("text"):
        if "value" not in one.get("class", "").split():
            continue
        for said in NUMBER.findall("".join(one.itertext())):
            number = float(said.replace(",", ""))
            near = min((abs(number - v) for v in table), default=0.0)
            assert near <= 0.006 * number + 1e-9, (said, made.rows[:9])
    for row in made.rows:
        assert len(row) == len(made.head)


@every
def test_the_table_is_a_csv_file(make: Made, width: int) -> None:
    made = make(width)
    read = list(csv.reader(io.StringIO(made.csv())))
    assert len(read) == 1 + len(made.rows)
    assert not [cell for row in read for cell in row if re.match(r"[=@\t\r]|[-+]\D", cell)]


@pytest.mark.parametrize("name", ["intervals", "walk, hostile", "tree", "strip of many"])
def test_a_figure_is_a_picture_as_well(name: str) -> None:
    made = ALL[name](360)
    assert made.png()[:8] == b"\x89PNG\r\n\x1a\n"
    assert made == ALL[name](360)


def test_many_outcomes_make_a_small_file_and_every_column_counts_its_runs() -> None:
    outcomes = drawn(0.3, 100_000, 1)
    for width in (360, 720):
        made = outcome_strip("s", outcomes, width=width)
        assert len(made.inline()) < 60_000
        assert len(evidence_walk("w", certify_walks(outcomes, 0.7), width=width).inline()) < 60_000
        *each, total = made.rows
        cells = [[int(cell.replace(",", "")) for cell in row[:5]] for row in each]
        assert [f"{sum(row[k] for row in cells):,}" for k in (2, 3, 4)] == list(total[2:5])
        assert total[3] == f"{outcomes.count('fail'):,}"
        assert [row[0] for row in cells[1:]] == [row[1] + 1 for row in cells[:-1]]
        assert all(sum(row[2:5]) == row[1] - row[0] + 1 for row in cells)


@pytest.mark.parametrize("width", [360, 720])
def test_columns_say_what_they_stack(width: int) -> None:
    def note(outcomes: list[str]) -> str:
        return " ".join(
            one.text or "" for one in root_of(outcome_strip("s", outcomes, width=width).inline()).iter("text")
        )

    failed = drawn(0.3, 900, 1, 0)
    assert "the share of them that failed" in note(failed)
    assert "judged" not in note(failed).partition("each column")[2]
    assert "the share of them that failed, and on top that could not be judged" in note([*failed, "invalid"])


def test_every_run_of_a_few_has_its_shape() -> None:
    outcomes = ["pass"] * 7 + ["fail"] * 3 + ["invalid"]
    made = outcome_strip("s", outcomes)
    assert made.rows[:-1] == tuple((str(k), word) for k, word in enumerate(outcomes, 1))
    assert made.rows[-1] == ("all", "7 pass, 3 fail, 1 invalid")
    tags = [one.tag for one in root_of(made.inline()).iter() if one.tag in ("circle", "path")]
    assert tags.count("path") == 3 + 1  # and one beside the count
    assert "7 passed" in made.inline()


@pytest.mark.parametrize("seed", range(3))
def test_the_walk_says_the_run_at_which_the_verdict_fell(seed: int) -> None:
    outcomes = drawn(0.002, 2500, seed, 0)
    found, made = certify_path(outcomes, 0.99), evidence_walk("w", certify_walks(outcomes, 0.99))
    assert found.decided_at is not None
    assert f"verdict after {found.decided_at:,} runs" in made.inline()
    assert ("verdict after", f"{found.decided_at:,}", "") in made.rows


def test_a_walk_that_leaves_the_plot_comes_back() -> None:
    made = evidence_walk("w", certify_walks(["pass"] * 20 + ["fail"] * 3 + ["pass"] * 900, 0.9))
    lines = [one for one in root_of(made.inline()).iter("polyline") if "line-pass" in one.get("class", "")]
    assert lines
    assert all(len(one.get("points", "").split()) > 1 for one in lines)


def test_the_rare_branches_are_summed_up() -> None:
    made = fork_tree("t", branch(), most=5)
    shown = [row for row in made.rows if row[3]]
    assert len(shown) == 5
    assert sum(int(row[2]) for row in made.rows if row[0] == "2") == int(made.rows[1][2]) + int(
        next(row for row in made.rows[2:] if row[0] == "1")[2]
    )


def test_a_formula_is_no_formula_in_a_spreadsheet() -> None:
    made = token_bars("b", [('=HYPERLINK("http://x")', 0.5, None), ("+1-1", 0.2, None), ("@a", 0.1, None)])
    assert [row[0][0] for row in csv.reader(io.StringIO(made.csv()))][1:] == ["'", "'", "'"]


def test_the_page_and_the_file_wear_the_same_looks() -> None:
    css = Path(figures.__file__).with_name("figures.css").read_text(encoding="utf-8")
    assert css == PAGE_CSS  # python -c 'from reroll.render.figures import PAGE_CSS; print(PAGE_CSS, end="")'
    page = {line.partition(" {")[0] for line in css.splitlines() if "var(" in line}
    assert {f".figure-svg .{name}" for name in ("pass", "fail", "invalid", "accent", "muted")} <= page
    assert set(re.findall(r"var\(--(\w+)", css)) == set(LIGHT)


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_words_in_these_colours_can_be_read_on_paper() -> None:
    for name in ("ink", "soft", "pass", "fail", "invalid", "accent"):
        assert contrast(LIGHT[name], "#fbfbf9") >= 4.5, name


def test_what_steers_a_reader_is_spelt_out() -> None:
    assert inert("a\u202eb\x1b\u200b") == "a<U+202E>b<ESC><U+200B>"
    assert "\u0305" not in inert(EVIL)
