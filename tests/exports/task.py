"""The calls as evaluations of Inspect, whose logs go into a folder: MODEL_URL FOLDER.

One by chat completions, with a log in its own format; and one by the Responses API, which it takes of itself, in JSON.
"""

from __future__ import annotations

import sys


def main(model_url: str, folder: str) -> None:
    from calls import ASKED, MODEL, SET, SYSTEM
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    asked = {"which-day": ASKED["content"], "broken": "fail with 500"}
    good, bad = [
        Sample(
            id=name,
            input=[ChatMessageSystem(content=SYSTEM["content"]), ChatMessageUser(content=text)],
            target="Friday",
        )
        for name, text in asked.items()
    ]
    config = GenerateConfig(**SET, logprobs=True, top_logprobs=2, max_retries=0)
    # A failed call is tried again for seconds whatever is set, so only one evaluation has one.
    for form, responses, dataset in (("eval", False, [good, bad]), ("json", True, [good])):
        eval(
            Task(dataset=dataset, solver=[generate()], scorer=includes(), name="days"),
            model=f"openai/{MODEL}",
            model_base_url=model_url,
            model_args={"responses_api": responses},
            log_dir=folder,
            log_format=form,
            display="none",
            fail_on_error=False,
            **config.model_dump(exclude_none=True),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
