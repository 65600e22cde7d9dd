"""Spans by OpenTelemetry's SDK, which reads its own ``OTEL_*`` variables. Loaded only where a collector is named.

Needs the extra ``otel``.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kubently import __version__, tracing

_KINDS = {
    tracing.Kind.SERVER: trace.SpanKind.SERVER,
    tracing.Kind.CLIENT: trace.SpanKind.CLIENT,
    tracing.Kind.INTERNAL: trace.SpanKind.INTERNAL,
}


class SdkTracer:
    """See `tracing.Tracer`. ``close`` sends what waits."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):  # OTEL_SERVICE_NAME says none
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("kubently", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, kind: tracing.Kind, parent: str) -> tracing.Open:
        """See `tracing.Tracer.start`."""
        context = self._propagator.extract({"traceparent": parent} if parent else {})
        return _Open(self._tracer.start_span(name, context=context, kind=_KINDS[kind]))

    def close(self) -> None:
        """Send what waits, within the exporter's own time-out."""
        self._provider.shutdown()


class _Open:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        place = span.get_span_context()
        self.traceparent = f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.trace_flags):02x}"

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def end(self, failure: str) -> None:
        if failure:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, failure[:1000]))
        self._span.end()
