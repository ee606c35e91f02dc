"""How near the log probability that `surprise` states comes to the model's own, in process and over HTTP.

    python benchmarks/surprise.py [--worlds N] [--cases N] [--out X.json]

In process: completions drawn in random worlds of which every probability is known, under several settings of the
sampler. Over HTTP: the right answer to each case of the example project, scored by `reroll surprise`'s own means on
the bundled model (a call per token), beside the same read with all of its vocabulary listed after sampling. The two
ask llama.cpp in other batches, so that its numbers are not quite the same: the noise is what asking the same twice
shows at the tokens of these answers.
"""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.exact import answer_probability, right_answer
from tests.worlds import random_world

from _report import Report
from reroll.models.continuing import open_continuer
from reroll.models.local import LocalModel, bundled_file
from reroll.models.model import Capabilities
from reroll.noise import drift_between
from reroll.project import load_project
from reroll.sampler import PLAIN, Sampling
from reroll.surprise import score

SAMPLINGS = {
    "temperature 1": PLAIN,
    "temperature 0.8": Sampling(temperature=0.8),
    "temperature 1.2, top_k 10": Sampling(temperature=1.2, top_k=10),
    "top_p 0.9": Sampling(top_p=0.9),
}
CAN = Capabilities(logprobs=1000, prefix_continuation=True, token_prompt=True)


def worlds(report: Report, number: int) -> None:
    rows, worst = [], 0.0
    for name, sampling in SAMPLINGS.items():
        off = []
        for seed in range(number):
            world = random_world(seed, top=25, sampling=sampling)
            tokens, ended, _ = world.complete([], np.random.default_rng(seed))
            stated = score(tokens, sampling, vocabulary=world.logits.shape[1], ended=ended == "end").log_prob
            off.append(abs(stated - math.log(world.probability([t.id for t in tokens]))))
        rows.append([name, number, f"{max(off):.1e}"])
        worst = max(worst, *off)
    report.add("worlds", "In process: stated beside exact", ["sampler", "completions", "nats off at most"], rows)
    report.bar("in process: nats between the stated log probability and the exact one", worst, 1e-6)


async def on_server(number: int) -> list[list[str]]:
    """Per case: exact, stated, how far apart, and how far the same asked twice lies apart, in nats."""
    model, rows = LocalModel(bundled_file(), "bundled"), []
    project = load_project(bundled_file().parent / "meetings")
    wire = await model.wire()
    try:
        for case in project.cases[:number]:
            request, answer = project.program.render(case.input, case.history), right_answer(project.program, case)
            continuer = await open_continuer(model, request, CAN)
            tokens = await continuer.cut(answer + "<|end|>")
            assert tokens is not None
            first, again = await continuer.score(tokens), await continuer.score(tokens)
            stated, twice = (score(each, PLAIN, ended=True).log_prob for each in (first, again))
            exact = math.log(await answer_probability(wire, request.body["messages"], answer))
            moved = max(drift_between(a, b)[0] for a, b in zip(first, again, strict=True))
            rows.append(
                [case.id, *(f"{x:.4f}" for x in (exact, stated, abs(stated - exact), abs(twice - stated), moved))]
            )
    finally:
        await model.close()
    return rows


def server(report: Report, number: int) -> None:
    rows = asyncio.run(on_server(number))
    head = ["case", "exact", "stated", "apart", "the same twice, apart", "one token's log-odds, twice"]
    report.add("server", "Over HTTP: the bundled model's right answers, in nats", head, rows)
    report.bar("over HTTP: nats between stated and exact, worst case", max(float(row[3]) for row in rows), 0.001)


def main() -> int:
    report = Report("surprise", __doc__, worlds=200, cases=99)
    worlds(report, report.args.worlds)
    server(report, report.args.cases)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
