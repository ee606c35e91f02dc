"""A bare loop with the openai client, run with its own Python: URL N WIDTH SECONDS OUT.

It is what a careful person writes: as many kept connections as calls in flight, one client, one line a row in a file as
soon as there is an answer, and errors as rows of their own. Retries are the client's own (two).
"""

import asyncio
import json
import sys

import httpx2
import openai


async def main(url: str, n: int, width: int, seconds: float, out: str) -> None:
    limits = httpx2.Limits(max_connections=width, max_keepalive_connections=width)
    http = httpx2.AsyncClient(limits=limits, timeout=seconds)
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say yes"}]
    todo = iter(range(n))
    with open(out, "w", buffering=1) as rows:  # noqa: ASYNC230 - a line is written at once
        async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=http, timeout=seconds) as client:

            async def worker() -> None:
                for index in todo:
                    try:
                        got = await client.chat.completions.create(model="tiny", messages=messages)
                        text = got.choices[0].message.content or ""
                        row = {"index": index, "text": text, "passed": "yes" in text}
                    except (openai.OpenAIError, ValueError) as problem:
                        row = {"index": index, "error": repr(problem)}
                    rows.write(json.dumps(row) + "\n")

            await asyncio.gather(*(worker() for _ in range(width)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
