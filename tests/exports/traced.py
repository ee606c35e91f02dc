"""Makes the calls under one instrumentation, its spans and logs sent over OTLP/HTTP: TOOL MODEL_URL OTLP_URL."""

from __future__ import annotations

import os
import sys
from typing import Any


def main(tool: str, model_url: str, otlp_url: str) -> None:
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
    }
    flush = {"genai": _genai, "openinference": _openinference, "langfuse": _langfuse}[tool](otlp_url)
    from calls import make_all

    if tool == "langfuse":
        from langfuse.openai import OpenAI
    else:
        from openai import OpenAI
    make_all(OpenAI(base_url=model_url, api_key="none", max_retries=0))
    flush()


def _provider() -> Any:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def _genai(otlp_url: str) -> Any:
    from opentelemetry import _logs
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    traces, logs = _provider(), LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(logs)
    OpenAIInstrumentor().instrument(tracer_provider=traces, logger_provider=logs)

    def flush() -> None:
        traces.shutdown()
        logs.shutdown()

    return flush


def _openinference(otlp_url: str) -> Any:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    traces = _provider()
    OpenAIInstrumentor().instrument(tracer_provider=traces)
    return traces.shutdown


def _langfuse(otlp_url: str) -> Any:
    from langfuse import Langfuse

    client = Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", base_url=otlp_url)
    return client.shutdown


if __name__ == "__main__":
    main(*sys.argv[1:])
