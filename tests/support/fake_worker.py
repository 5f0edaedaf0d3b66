"""A worker of a cluster, with the engine of `fake_engine.py`."""

import sys

from whisper_service.cluster import program, worker
from whisper_service.whisper import engine

if __name__ == "__main__":
    engine.PROGRAM = [sys.executable, "-m", "tests.support.fake_engine"]
    program.main(worker.main)
