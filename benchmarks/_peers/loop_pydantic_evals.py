"""pydantic-evals with the openai client as its task, run with its own Python: URL N WIDTH SECONDS OUT.

The report lives in memory, so what is written down is written when it is whole.
"""

import asyncio
import json
import sys

import httpx2
import openai
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Contains


async def main(url: str, n: int, width: int, seconds: float, out: str) -> None:
    limits = httpx2.Limits(max_connections=width, max_keepalive_connections=width)
    http = httpx2.AsyncClient(limits=limits, timeout=seconds)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=http, timeout=seconds) as client:

        async def task(request: str) -> str:
            messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": request}]
            got = await client.chat.completions.create(model="tiny", messages=messages)
            return got.choices[0].message.content or ""

        dataset = Dataset(name="greeting", cases=[Case(name="greet", inputs="Say yes")], evaluators=[Contains("yes")])
        report = await dataset.evaluate(task, max_concurrency=width, repeat=n, progress=False)
    with open(out, "w") as rows:  # noqa: ASYNC230 - nothing runs beside it
        for case in report.cases:
            passed = all(a.value for a in case.assertions.values())
            rows.write(json.dumps({"name": case.name, "text": case.output, "passed": passed}) + "\n")
        for failure in report.failures:
            rows.write(json.dumps({"name": failure.name, "error": failure.error_message}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
