"""Metrics in Prometheus' text format, for whoever runs the service."""

import ipaddress
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from whisper_service import billing, metrics
from whisper_service.errors import NotFound
from whisper_service.jobs import queue
from whisper_service.web.services import services

public = Blueprint("metrics", __name__)


@public.get("/metrics")
def show() -> Response:
    """Return the metrics, to programs on this machine only unless they are public."""
    if not (services().config.server.public_metrics or _is_local()):
        raise NotFound("Not Found")
    waiting, running = queue.count()
    gauges = {
        "transcriptions_pending": waiting,
        "transcriptions_processing": running,
        "tokens_charged": billing.charged(),
        "disk_free_bytes": services().storage.free(),
    }
    text = metrics.text(gauges, services().worker.runner.scheduler.engines())
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _is_local() -> bool:
    """Return whether the request comes from a program on this machine.

    One with a forwarding header comes through a proxy, and one to another host name may come from a
    web page whose owner resolves that name to 127.0.0.1 (DNS rebinding).
    """
    return (
        _is_loopback(request.remote_addr or "")
        and _is_local_name(request.headers.get("Host", ""))
        and not any(_is_forwarding_header(name.lower()) for name, _ in request.headers)
    )


def _is_local_name(host: str) -> bool:
    """Return whether a Host header, with or without a port, names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_forwarding_header(header: str) -> bool:
    return header.startswith("x-forwarded-") or header in {"forwarded", "x-real-ip"}


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
