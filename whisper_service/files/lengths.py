"""Limits on a recording's length and conversion time, by its container's claim and its size."""

from dataclasses import dataclass

# Even honest containers claim too little: chained Ogg and joined MP3s claim their first part, and
# the first seconds of an MP3 or AAC stream may differ from the rest.
CLAIM_FACTOR, CLAIM_SECONDS = 2, 60
# The least bytes that a second of sound takes. Speech in Opus at 6 kbit/s, its lowest bit rate,
# takes 800 in Ogg; silence takes 80 in AMR and 160 in Opus, so streams without a header,
# which may be silent for hours, get the lower bound.
MIN_BYTES_PER_SECOND, MIN_BYTES_PER_SECOND_OF_STREAM = 500, 50
# Seconds that converting a second may take. Encoding for downloads gets a tenth of a busy core, of
# which a picture in 8K takes some seconds; sound takes a hundredth of all that.
START_SECONDS, SOUND_FACTOR, PICTURE_FACTOR = 60, 10, 200


@dataclass(frozen=True)
class ClaimedLength:
    """The length that a container claims, in seconds; None when it claims nothing.

    `is_estimate` is true if it comes from the bit rate of the beginning and not from a header.
    """

    seconds: int | None = None
    is_estimate: bool = False

    @property
    def header_seconds(self) -> int | None:
        return None if self.is_estimate else self.seconds

    def is_far_beyond(self, max_seconds: int) -> bool:
        """Return whether a header claims so much that the recording must be too long."""
        return (self.header_seconds or 0) > CLAIM_FACTOR * max_seconds + CLAIM_SECONDS

    def longest(self, size_bytes: int, max_seconds: int) -> int:
        """Return how many seconds a file of this size may last, at most `max_seconds`."""
        is_stream = self.header_seconds is None
        rate = MIN_BYTES_PER_SECOND_OF_STREAM if is_stream else MIN_BYTES_PER_SECOND
        claimed = CLAIM_FACTOR * (self.seconds or 0) + CLAIM_SECONDS
        return min(max_seconds, max(claimed, size_bytes // rate))


def conversion_seconds(seconds: int, *, pictures: bool) -> int:
    """Return how many seconds the conversion of a recording of this length may run."""
    return START_SECONDS + (PICTURE_FACTOR if pictures else SOUND_FACTOR) * seconds
