"""An engine's process that hears "Hello world." in everything, FAKE_SECONDS after it was asked.

It comes to grief over recordings of certain lengths.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
import wave
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

MEMORY = 512 * 1024**2


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    threading.Event().wait()


def exhaust() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    taken = []
    while True:
        taken.append(bytearray(1024**2))


# By the number of samples that a recording has.
POISONS: dict[int, Callable[[], None]] = {12_345: crash, 12_346: hang, 12_347: exhaust}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    length = request["stop"] - request["start"]
    if request["do"] == "find speech":
        return {"probabilities": [1.0] * length}
    with wave.open(request["wav"]) as recording:
        POISONS.get(recording.getnframes(), lambda: None)()
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    segment = {
        "start": 0.0,
        "end": length / 16_000,
        "text": " Hello world.",
        "tokens": [1, 2],
        "avg_logprob": -0.25,
        "compression_ratio": 1.0,
        "temperature": 0.0,
    }
    heard = "en" if request["language"] == "auto" else request["language"]
    return {"language": heard, "segments": [segment]}


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    connection.send_bytes(json.dumps({"is_multilingual": True}).encode())
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(json.dumps(answer(request)).encode())


if __name__ == "__main__":
    main()
