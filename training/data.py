"""Programs and requests as training arrays: several requests behind one prompt, with target distributions."""

from __future__ import annotations

import multiprocessing as mp
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training import corpus as c
from training import surface as s
from training.tokenizer import SPECIAL, Tokenizer, learn
from training.wordings import NAMES

REQUESTS_PER_PROMPT = 4
CALM_START = s.Style(
    noise=0.15,
    shake=0.0,
    shuffle=0.1,
    capitals=0.03,
    clause_capitals=0.0,
    typos=0.03,
    polite=0.15,
    gibberish=0.05,
    detail=0.1,
    loose=0.1,
)
TIDY = s.Style(canonical=0.85, noise=0.2, shake=0.03, shuffle=0.05, clause_capitals=0.02, role=0.93)
TIDY_SHARE = 0.55  # of the prompts: close to the example project's own words
CALM_STEPS = 288
BRANCH_WEIGHT, KEY_WEIGHT, NAME_WEIGHT = 12.0, 4.0, 3.0
KNOWN_SHARE = 0.5  # in training more names are made up than in the evaluation: copying is what is hard
NAME_LABELS = 5
MAX_TOKENS = 900  # a pack longer than this is dropped (positions stay under about 640)

Target = dict[int, float]


@dataclass
class Pack:
    """One prompt and its requests; `place` and `block` as in LanguageModel.forward."""

    ids: list[int]
    place: list[int]
    block: list[int]
    targets: list[tuple[int, int, float]]  # (position, next token, its probability)
    weights: dict[int, float]  # of each answer position in the loss
    asides: dict[int, list[float]]  # facts about a request, asked where its answer begins
    named: dict[int, list[float]]  # at each token of a request: is it a name's first letter, a later one, of which name


def _sharpened(path: list[int], alternatives: list[tuple[list[int], float]], targets: list[Target]) -> None:
    """Replaces one-hot targets by the constructed next-token distribution where the alternatives part."""
    for t, token in enumerate(path):
        chances: Target = {}
        for ids, p in alternatives:
            chances[ids[t]] = chances.get(ids[t], 0.0) + p
        if len(chances) > 1:
            total = sum(chances.values())
            targets[t] = {k: v / total for k, v in chances.items()}
        alternatives = [(ids, p) for ids, p in alternatives if ids[t] == token]
        if len(alternatives) == 1:
            return


def answer_targets(parts: list[c.Part], tok: Tokenizer, r: random.Random) -> tuple[list[int], list[Target]]:
    """A sampled answer and, at each of its tokens, the exact distribution of that token."""
    chosen = [r.choices(alternatives, [p for _, p, _ in alternatives])[0][0] for _, alternatives in parts]
    path = [*tok.encode("".join(chosen)), tok.end]
    targets: list[Target] = [{token: 1.0} for token in path]
    for i, (_, alternatives) in enumerate(parts):
        if len(alternatives) > 1:
            before, after = "".join(chosen[:i]), "".join(chosen[i + 1 :])
            _sharpened(
                path, [([*tok.encode(before + text + after), tok.end], p) for text, p, _ in alternatives], targets
            )
    return path, targets


def _first_missing_key(path: list[int], targets: list[Target], tok: Tokenizer) -> None:
    """Where a forced order goes on with another key, the model's own wish is still the first one missing."""
    missing = [tok.id(name) for name in c.FIELDS]
    for t, token in enumerate(path):
        if token in missing:
            targets[t] = {missing[0]: 1.0}
            missing.remove(token)


def _weights(tok: Tokenizer, targets: list[Target]) -> list[float]:
    """What each position weighs in the loss; the best prediction stays the same.

    How a field goes wrong weighs most, then how a name is copied, then which field comes next: most
    other tokens are certain early, and would drown these.
    """
    weights, among_names = [], False
    keys = {tok.id(name) for name in c.FIELDS}
    for target in targets:
        piece = next(iter(target))
        if len(target) == 1 and piece in keys:
            among_names = piece == tok.id("attendees")
        weights.append(
            BRANCH_WEIGHT if len(target) > 1 else KEY_WEIGHT if piece in keys else NAME_WEIGHT if among_names else 1.0
        )
    return weights


def _name_labels(tok: Tokenizer, ids: list[int], text: str, request: c.Request) -> list[list[float]]:
    """(first letter, later letter, of the first, second, third name) for each token."""
    letters: dict[int, list[float]] = {}
    for number, name in enumerate(request.names):
        found = re.search(rf"\b{name}\b", text, re.IGNORECASE)
        if found:
            for at in range(*found.span()):
                first = float(at == found.start())
                letters[at] = [first, 1 - first, *(float(number == i) for i in range(3))]
    labels, at = [], 0
    for i in ids:
        labels.append(letters.get(at, [0.0] * NAME_LABELS))
        at += len(tok.raw[i])
    return labels


def make_pack(tok: Tokenizer, r: random.Random, calm: float) -> Pack:
    style = CALM_START if r.random() < calm else TIDY if r.random() < TIDY_SHARE else s.Style()
    program = c.draw_program(r)
    ids = tok.encode(s.head(program, r, style))
    n = len(ids)
    pack = Pack(ids, list(range(n)), [0] * n, [], {}, {}, {})
    for number in range(1, REQUESTS_PER_PROMPT + 1):
        request = c.draw_request(r, program.today, s.known_names(style), KNOWN_SHARE)
        forced = program.order if program.fields and r.random() < 0.5 else c.FIELDS
        path, targets = answer_targets(c.answer_parts(program, request, forced), tok, r)
        _first_missing_key(path, targets, tok)
        text = c.render_user(s.request_text(request, r, style))
        question = tok.encode(text)
        first = len(pack.ids) + len(question) - 1
        pack.targets += [(first + t, token, p) for t, target in enumerate(targets) for token, p in target.items()]
        pack.weights |= {first + t: weight for t, weight in enumerate(_weights(tok, targets))}
        pack.asides[first] = c.facts(program, request)
        pack.named |= {len(pack.ids) + t: label for t, label in enumerate(_name_labels(tok, question, text, request))}
        added = question + path[:-1]
        pack.ids += added
        pack.place += range(n, n + len(added))
        pack.block += [number] * len(added)
    return pack


Arrays = dict[str, np.ndarray]


def to_arrays(packs: list[Pack]) -> Arrays:
    """Padded (B, T) arrays; the targets as flat lists with the index of their unique position."""
    longest = max(len(p.ids) for p in packs)
    ids, place = np.zeros((len(packs), longest), np.int64), np.zeros((len(packs), longest), np.int64)
    block = np.full((len(packs), longest), -1, np.int64)
    rows, columns, tokens, weights = [], [], [], []
    for row, pack in enumerate(packs):
        n = len(pack.ids)
        ids[row, :n], place[row, :n], block[row, :n] = pack.ids, pack.place, pack.block
        for position, token, p in pack.targets:
            rows.append(row), columns.append(position), tokens.append(token), weights.append(p)
    keys, index = np.unique(np.array(rows) * longest + np.array(columns), return_inverse=True)
    return {
        "scale": np.array([packs[key // longest].weights[key % longest] for key in keys], np.float32),
        "ids": ids,
        "place": place,
        "block": block,
        "rows": keys // longest,
        "columns": keys % longest,
        "index": index,
        "asides_rows": np.array([row for row, pack in enumerate(packs) for _ in pack.asides]),
        "asides_columns": np.array([column for pack in packs for column in pack.asides]),
        "named_rows": np.array([row for row, pack in enumerate(packs) for _ in pack.named]),
        "named_columns": np.array([column for pack in packs for column in pack.named]),
        "named": np.array([labels for pack in packs for labels in pack.named.values()], np.float32),
        "asides": np.array([facts for pack in packs for facts in pack.asides.values()], np.float32),
        "tokens": np.array(tokens),
        "weights": np.array(weights, np.float32),
    }


def make_group(tok: Tokenizer, seed: int, group: int, packs: int, batches: int, calm: float) -> list[Arrays]:
    """Some batches of packs of similar length, the same for the same seed and group."""
    r = random.Random(f"{seed}/{group}")
    made: list[Pack] = []
    while len(made) < packs * batches:
        pack = make_pack(tok, r, calm)
        if len(pack.ids) <= MAX_TOKENS:
            made.append(pack)
    made.sort(key=lambda p: len(p.ids))
    arrays = [to_arrays(made[i : i + packs]) for i in range(0, len(made), packs)]
    r.shuffle(arrays)
    return arrays


def calm_share(step: int) -> float:
    """Mostly tidy prompts at first, so that copying and counting days emerge early."""
    return max(0.0, 1 - step / CALM_STEPS)


def _produce(queue: mp.Queue, tok: Tokenizer, seed: int, first: int, steps: int, packs: int, batches: int) -> None:
    for step in range(first, steps, batches):
        queue.put((make_group(tok, seed, step // batches, packs, batches, calm_share(step)), time.process_time()))


def stream(
    tok: Tokenizer, seed: int, first: int, steps: int, packs: int, batches: int = 8
) -> Iterator[tuple[Arrays, float]]:
    """Batches from a second process, and its CPU seconds so far, so that the training thread never waits for text.

    `first` is a multiple of `batches`, or a resumed run would see some batches twice.
    """
    queue: mp.Queue = mp.Queue(maxsize=4)
    worker = mp.Process(target=_produce, args=(queue, tok, seed, first, steps, packs, batches), daemon=True)
    worker.start()
    for _ in range(first, steps, batches):
        made, spent = queue.get()
        yield from ((batch, spent) for batch in made)
    worker.join()


def learn_tokenizer(seed: int = 7, prompts: int = 6000, words: int = 1200) -> list[str]:
    """The vocabulary, from sampled prompts."""
    r = random.Random(seed)
    texts = []
    for _ in range(prompts):
        style = s.Style()
        program = c.draw_program(r)
        request = c.draw_request(r, program.today, NAMES)
        answer = "".join(r.choices(a, [p for _, p, _ in a])[0][0] for _, a in c.answer_parts(program, request))
        texts.append(s.head(program, r, style) + c.render_user(s.request_text(request, r, style)) + answer)
    return learn((re.sub("|".join(map(re.escape, SPECIAL)), "\n", text) for text in texts), words)
