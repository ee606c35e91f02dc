"""Completions that begin alike share their beginning, by content, and where they part can be told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reroll.odds import END
from reroll.sample import Completion, Token
from reroll.tree import CUT, ROOT, Tree, path_of


def words(text: str, *, end: bool = True) -> list[Token]:
    tokens = [Token(word, -0.1, ((word, -0.1),)) for word in text.split()]
    return [*tokens, Token("</s>", -0.2)] if end else tokens


def grown(*samples: tuple[str, str]) -> Tree:
    tree = Tree("r1")
    for text, outcome in samples:
        tree.grow(words(text), "end", outcome=outcome, drawn=True)
    return tree


def test_a_shared_beginning_is_there_once_and_counts_every_sample_by_outcome() -> None:
    tree = grown(("a b c", "pass"), ("a b d", "fail"), ("a b d", "invalid"))
    assert len(tree.nodes) == 1 + 2 + 2 + 2  # root; a, b; c, d; two ends
    node = tree.nodes[tree.path(next(iter(tree.leaves())))[2]]
    assert (node.text, node.passes, node.fails, node.invalid) == ("b", 1, 1, 1)


def test_an_id_is_the_content_whatever_grew_first() -> None:
    one, other = grown(("a b", "pass"), ("a c", "fail")), grown(("a c", "fail"), ("a b", "pass"))
    assert {one.id(i) for i in range(len(one.nodes))} == {other.id(i) for i in range(len(other.nodes))}
    assert one.id(ROOT) != Tree("another request").id(ROOT)


def test_the_same_text_by_other_tokens_and_other_ends_are_other_leaves() -> None:
    tree = Tree()
    leaves = [
        tree.grow([Token("ab"), Token("</s>")], "end")[-1],
        tree.grow([Token("a"), Token("b"), Token("")], "end")[-1],
        tree.grow([Token("ab")], "cut")[-1],
    ]
    assert len({tree.id(leaf) for leaf in leaves}) == 3
    assert {tree.text(leaf) for leaf in leaves} == {"ab"}
    assert [tree.nodes[leaf].key for leaf in leaves] == [END, END, CUT]


def test_two_completions_part_at_their_first_different_token() -> None:
    tree = grown(("the meeting is on Friday", "pass"), ("the meeting is off", "fail"))
    first, second = tree.leaves()
    parting = tree.parting(first, second)
    assert parting is not None
    assert (parting.shared, parting.text, parting.first, parting.second) == (3, "themeetingis", "on", "off")
    assert tree.parting(first, first) is None


def test_branches_run_together_where_nothing_parts() -> None:
    tree = grown(*[("a b c d", "pass")] * 5, *[("a b x y", "fail")] * 3, ("a b x z", "invalid"))
    root = tree.branches()
    assert (root.text, root.tokens, root.samples) == ("ab", 2, 9)
    assert [(b.text, b.passes, b.fails, b.invalid) for b in root.branches] == [("cd", 5, 0, 0), ("x", 0, 3, 1)]
    assert [b.text for b in root.branches[1].branches] == ["y", "z"]
    assert root.branches[0].ended == "end"
    assert tree.branches(least=2).branches[1].others == 1


def test_a_tree_of_one_sample_and_an_empty_one_have_a_summary() -> None:
    assert Tree().branches().samples == 0
    one = grown(("only this", "pass")).branches()
    assert (one.text, one.branches, one.ended) == ("onlythis", (), "end")
    empty = Tree()
    empty.grow([Token("</s>")], "end", outcome="fail", drawn=True)
    assert empty.branches().text == ""


def test_a_thousand_forks_below_each_other_are_no_problem() -> None:
    tree = Tree()
    for length in range(1100):
        tree.grow([Token("a")] * length, "cut", outcome="pass", drawn=True)
    assert tree.branches().samples == 1100


@given(st.lists(st.tuples(st.text("ab", max_size=6), st.sampled_from(["pass", "fail", "invalid"])), max_size=12))
def test_samples_add_up_at_every_fork(samples: list[tuple[str, str]]) -> None:
    tree = Tree()
    for text, outcome in samples:
        tree.grow([*map(Token, text), Token("")], "end", outcome=outcome, drawn=True)
    for node in tree.nodes:
        if node.children:
            assert node.samples == sum(tree.nodes[c].samples for c in node.children.values())
    assert {tree.text(leaf) for leaf in tree.leaves()} == {text for text, _ in samples}


def test_how_a_completion_ended_is_read_from_its_tokens() -> None:
    assert path_of(Completion("ab", "stop", tokens=(Token("ab"), Token(""))))[1] == "end"
    assert path_of(Completion("ab", "tool_calls", tokens=(Token("ab"), Token("<|eot|>"))))[1] == "end"
    assert path_of(Completion("ab", "stop", tokens=(Token("ab"),)))[1] == "unknown"
    assert path_of(Completion("ab", "stop", tokens=(Token("ab"), Token("#"), Token("#"))))[1] == "stop"
    assert path_of(Completion("ab", "length", tokens=(Token("ab"),)))[1] == "cut"
