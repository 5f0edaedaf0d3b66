"""The form of all audio inside the service: 16 kHz, mono, 16-bit samples."""

SAMPLE_RATE = 16_000  # samples per second
# What one probability of speech stands for, and how many there are in a second.
FRAME_SAMPLES = 512
FRAMES_PER_SECOND = SAMPLE_RATE / FRAME_SAMPLES


def seconds_of(samples: float) -> float:
    return samples / SAMPLE_RATE
