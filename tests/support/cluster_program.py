"""A program of the cluster, as `python -m` starts it, with the engine of `fake_engine.py`."""

import runpy
import sys

from whisper_service.whisper import engine

if __name__ == "__main__":
    engine.PROGRAM = [sys.executable, "-m", "tests.support.fake_engine"]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
