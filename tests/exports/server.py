"""One server on loopback that is both the model and the collector of traces, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

LOGPROBS = {
    "content": [
        {
            "token": token,
            "logprob": logprob,
            "bytes": list(token.encode()),
            "top_logprobs": [
                {"token": token, "logprob": logprob, "bytes": list(token.encode())},
                {"token": "Sun", "logprob": -3.5, "bytes": [83, 117, 110]},
            ],
        }
        for token, logprob in (("Fri", -0.25), ("day", -0.0625))
    ],
    "refusal": None,
}
USAGE = {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23, "prompt_tokens_details": {"cached_tokens": 4}}
CALL = {"id": "call_9", "type": "function", "function": {"name": "look_up", "arguments": '{"day": "Monday"}'}}


def _refused(said: Any) -> web.Response | None:
    for status, kind in ((429, "rate_limit_exceeded"), (500, "server_error")):
        if f"fail with {status}" in json.dumps(said):
            error = {"message": f"No: {kind}.", "type": kind, "param": None, "code": kind}
            return web.json_response({"error": error}, status=status)
    return None


class ModelAndCollector:
    """Answers as it is asked; `bodies` are the requests to the model, files in `folder` what a tracer sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bodies: list[bytes] = []
        self.sent: list[Path] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        asked = json.loads(raw)
        if refused := _refused(asked["messages"][-1]):
            return refused
        if asked.get("stream"):
            return await self._stream(request, asked)
        return web.json_response(self._whole(asked))

    async def responses(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        asked = json.loads(raw)
        if refused := _refused(asked["input"]):
            return refused
        logprobs = LOGPROBS["content"] if "message.output_text.logprobs" in asked.get("include", []) else []
        text = {"type": "output_text", "text": "Friday", "annotations": [], "logprobs": logprobs}
        said = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        usage = {"input_tokens": 21, "output_tokens": 2, "total_tokens": 23}
        details = {"input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 0}}
        about = {"id": f"resp_{len(self.bodies)}", "object": "response", "created_at": 1790000000}
        more = {"status": "completed", "model": f"{asked['model']}-2026-01-01", "output": [said]}
        kept = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        return web.json_response({**about, **more, **kept, "usage": {**usage, **details}})

    def _whole(self, asked: dict[str, Any]) -> dict[str, Any]:
        texts = ["Friday", "Sunday"][: asked.get("n") or 1]
        choices = []
        for i, text in enumerate(texts):
            message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
            if asked.get("tools"):
                message |= {"content": None, "tool_calls": [CALL]}
            choice = {"index": i, "message": message, "logprobs": LOGPROBS if asked.get("logprobs") else None}
            choices.append({**choice, "finish_reason": "tool_calls" if asked.get("tools") else "stop"})
        return {**self._about(asked, "chat.completion"), "choices": choices, "usage": USAGE}

    def _about(self, asked: dict[str, Any], kind: str) -> dict[str, Any]:
        id = f"chatcmpl-{len(self.bodies)}"
        about = {"id": id, "object": kind, "created": 1790000000}
        return {**about, "model": f"{asked['model']}-2026-01-01", "system_fingerprint": "fp_1"}

    async def _stream(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        about = self._about(asked, "chat.completion.chunk")
        pieces = ({"role": "assistant", "content": "Fri"}, None), ({"content": "day"}, None), ({}, "stop")
        for delta, reason in pieces:
            piece = {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}
            await response.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def collect(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        kind = request.path.rpartition("/")[2]
        file = self.folder / f"{len(self.sent):03}-{kind}.pb"
        file.write_bytes(raw)
        self.sent.append(file)
        return web.Response(body=b"", content_type="application/x-protobuf")


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[ModelAndCollector, str]]:
    """The running server, and its address without a path."""
    server = ModelAndCollector(folder)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/responses", server.responses)
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics", "/api/public/otel/v1/traces"):
        app.router.add_post(path, server.collect)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
