"""A machine that works for a service: `python -m whisper_service.cluster.worker URL [--host HOST]`.

It joins the cluster of the scheduler at the URL, again and again until SIGTERM or Ctrl-C.
"""

import argparse
import asyncio
import logging
from dataclasses import replace

from distributed import Worker as DaskWorker
from distributed.security import Security

from whisper_service import config
from whisper_service.cluster import address, program
from whisper_service.cluster.machine import NAME, Machine, ahead
from whisper_service.whisper.native.background import BackgroundBuild

RETRY_SECONDS = 3.0
CONNECT_SECONDS = 10.0  # Dask itself would try for ever, and say nothing

logger = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description="Transcribe for a service on another machine.")
    parser.add_argument("scheduler", help="such as tls://host:8786")
    parser.add_argument("--host", help="this machine's address, if the wrong one is found")
    options = parser.parse_args()
    settings = config.load()
    security = address.check(replace(settings.cluster, scheduler=options.scheduler))
    machine, build = Machine(settings), BackgroundBuild(settings.models.path)
    try:
        if settings.engine.native == "auto":
            build.start()
        program.run(work(options.scheduler, options.host, security, machine))
    finally:
        machine.close()


async def work(url: str, host: str | None, security: Security, machine: Machine) -> None:
    """Work until cancelled."""
    while True:
        logger.info("Looking for the scheduler %s", url)  # for which Dask waits in silence
        try:
            async with DaskWorker(
                url,
                host=host,
                security=security,
                # Each waits for an engine, and one receives models.
                nthreads=machine.engines + ahead(machine.engines) + 1,
                plugins=(machine,),
                metrics={NAME: machine.describe},
                memory_limit=0,  # the engines' memory is not Dask's
                death_timeout=CONNECT_SECONDS,
                dashboard=False,
                dashboard_address=program.STATUS_ADDRESS,
            ) as worker:
                logger.info("%d engines joined %s", machine.engines, url)
                await worker.finished()
                logger.warning("The scheduler %s was lost", url)
        except (OSError, RuntimeError) as error:  # the second one is Dask's, for any first one
            logger.warning("The scheduler %s cannot be joined: %s", url, error.__cause__ or error)
        await asyncio.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    program.main(main)
