"""faster-whisper in a process and a virtual environment of its own.

Reads a JSON object a line: the WAV and the mode. Answers with the seconds it took and the words.
"""

import json
import sys
import time

from faster_whisper import BatchedInferencePipeline, WhisperModel

COMMON = {"language": "en", "temperature": 0.0, "beam_size": 1, "condition_on_previous_text": False}
MODES = {
    "plain": {"vad_filter": True},
    "batched": {"batch_size": 8, "without_timestamps": False},
    "batched, no timestamps": {"batch_size": 8},
}


def main() -> None:
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=2)
    batched = BatchedInferencePipeline(model)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        engine = model if request["mode"] == "plain" else batched
        segments, _ = engine.transcribe(request["wav"], **COMMON, **MODES[request["mode"]])
        text = "".join(segment.text for segment in segments)
        print(json.dumps({"seconds": time.perf_counter() - started, "text": text}), flush=True)


if __name__ == "__main__":
    main()
