"""Spans by OTLP over HTTP, as OpenTelemetry's ``OTEL_*`` variables say.

Of a variable that is wrong the SDK says nothing, or warns and goes on with its default, or raises
an error that does not name the variable. Here it ends the start of the server with one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from app.core.errors import ConfigurationError
from app.telemetry.tracing import Tracing

_SAMPLERS = ("always_on", "always_off", "traceidratio")
_COMPRESSIONS = ("", "none", "gzip", "deflate")
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DEFAULTS = {_QUEUE: "2048", _BATCH: "512"}


def open_tracing(version: str, variables: Mapping[str, str]) -> Tracing:
    """Start the export, as the variables ``OTEL_...`` say.

    Raises:
        ConfigurationError: the packages of the extra ``otel`` are not installed, or a variable is wrong.
    """
    check(variables)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What the variables say wins.
        attributes = {SERVICE_VERSION: version, **Resource.create().attributes}
        if str(attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            attributes[SERVICE_NAME] = "rnnserve"
        provider = TracerProvider(resource=Resource(attributes), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ImportError:
        raise ConfigurationError(
            "--tracing otlp needs more packages (pip install '.[otel]' in a checkout): "
            "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
        ) from None
    except (ValueError, RuntimeError) as error:
        # It names the variable: the limits of spans are checked when the SDK is imported.
        raise ConfigurationError(f"--tracing otlp: {error}") from error
    return Tracing(provider)


def check(variables: Mapping[str, str]) -> None:
    """Raises ConfigurationError for a wrong variable that the SDK does not check or does not name."""
    for name, (allowed, accepts) in _ALLOWED.items():
        value = variables.get(name)
        try:
            wrong = value is not None and not accepts(value.strip())
        except ValueError:
            wrong = True
        if wrong:
            raise ConfigurationError(f"{name} is {value!r}; allowed is {allowed}")
    queue, batch = (int(variables.get(name, default)) for name, default in _DEFAULTS.items())
    if batch > queue:
        raise ConfigurationError(f"{_BATCH} is {batch}, more than {_QUEUE}, which is {queue}")


def _address(text: str) -> bool:
    address = urlsplit(text)
    return not text or (address.scheme in ("http", "https") and bool(address.hostname))


_MILLISECONDS = "a whole number of milliseconds from 1 on"
_SPANS = "a whole number of spans from 1 on"
_URL = "an address that begins with http:// or https://"
_SECONDS = "a number of seconds above 0"

_ALLOWED: dict[str, tuple[str, Callable[[str], bool]]] = {
    "OTEL_BSP_SCHEDULE_DELAY": (_MILLISECONDS, lambda text: int(text) > 0),
    "OTEL_BSP_EXPORT_TIMEOUT": (_MILLISECONDS, lambda text: int(text) > 0),
    _QUEUE: (_SPANS, lambda text: int(text) > 0),
    _BATCH: (_SPANS, lambda text: int(text) > 0),
    "OTEL_TRACES_SAMPLER": (
        f"one of {', '.join(_SAMPLERS)}, with or without parentbased_ before it",
        lambda text: text.lower().removeprefix("parentbased_") in _SAMPLERS,
    ),
    "OTEL_TRACES_SAMPLER_ARG": ("a number from 0 to 1", lambda text: 0.0 <= float(text or 1) <= 1.0),
    **{
        f"OTEL_EXPORTER_OTLP_{signal}{name}": (allowed, accepts)
        for signal in ("", "TRACES_")
        for name, allowed, accepts in (
            ("ENDPOINT", _URL, _address),
            ("TIMEOUT", _SECONDS, lambda text: 0.0 < float(text or 1) < float("inf")),
            ("COMPRESSION", "none, gzip or deflate", lambda text: text.lower() in _COMPRESSIONS),
        )
    },
}
