"""The service's figures in Prometheus' format, for whoever runs it."""

import ipaddress

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from whisper_service import billing, jobs, metrics
from whisper_service.errors import NotFound
from whisper_service.web.services import services

public = Blueprint("metrics", __name__)


@public.get("/metrics")
def figures() -> Response:
    """Answer from this machine alone, unless the configuration lets everybody ask."""
    if not (services().config.server.public_metrics or _is_local(request.remote_addr or "")):
        raise NotFound("Not Found")
    waiting, running = jobs.count()
    now = {
        "transcriptions_pending": waiting,
        "transcriptions_processing": running,
        "tokens_charged": billing.charged(),
        "disk_free_bytes": services().storage.free(),
    }
    return Response(metrics.text(now), content_type=CONTENT_TYPE_LATEST)


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
