"""The scheduler of a cluster: `python -m whisper_service.cluster.scheduler URL`."""

import argparse
import logging
from dataclasses import replace

from distributed import Scheduler
from distributed.security import Security

from whisper_service import config
from whisper_service.cluster import address, program

logger = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bring a service and its workers together.")
    parser.add_argument("address", help="to listen on, such as tls://0.0.0.0:8786")
    url = parser.parse_args().address
    security = address.check(replace(config.load().cluster, scheduler=url))
    program.run(_schedule(url, security))


async def _schedule(url: str, security: Security) -> None:
    """Schedule until cancelled."""
    parts = address.parse(url)
    async with Scheduler(
        host=parts.hostname,
        port=parts.port or 0,
        protocol=f"{parts.scheme}://",
        security=security,
        dashboard=False,
        dashboard_address=program.STATUS_ADDRESS,
    ) as scheduler:
        logger.info("The scheduler listens on %s", url)
        await scheduler.finished()


if __name__ == "__main__":
    program.main(main)
