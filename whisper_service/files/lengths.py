"""How long a recording can be, by its container's claim and its size, and what that may take."""

from dataclasses import dataclass

# Honest containers claim too little: chained Ogg and joined MP3s claim their first part, and the
# first seconds of an MP3 or AAC stream need not be like the rest.
CLAIM_FACTOR, CLAIM_SECONDS = 2, 60
# A second of sound takes at least so many bytes. Speech in Opus at 6 kbit/s, its lowest bit rate,
# takes 800 in Ogg; silence takes 80 in AMR and 160 in Opus, so that streams without a header,
# which may be silent for hours, need the lower bound.
MIN_BYTES_PER_SECOND, MIN_BYTES_PER_SECOND_OF_STREAM = 500, 50
# Seconds that the conversion of a second may take. Encoding for downloads is left a tenth of a
# busy core, of which a picture in 8K takes some seconds; sound takes a hundredth of all that.
START_SECONDS, SOUND_FACTOR, PICTURE_FACTOR = 60, 10, 200


@dataclass(frozen=True)
class ClaimedLength:
    """What a container claims as its length, in seconds; None when it claims nothing.

    `is_estimate` says that no header claims it: it was estimated from the bit rate of the
    beginning.
    """

    seconds: int | None = None
    is_estimate: bool = False

    @property
    def header_seconds(self) -> int | None:
        return None if self.is_estimate else self.seconds

    def is_far_beyond(self, max_seconds: int) -> bool:
        """Return whether a header claims so much that decoding cannot come to less."""
        return (self.header_seconds or 0) > CLAIM_FACTOR * max_seconds + CLAIM_SECONDS

    def longest(self, size_bytes: int, max_seconds: int) -> int:
        """Return how many seconds a file of that size may last, `max_seconds` at most."""
        is_stream = self.header_seconds is None
        rate = MIN_BYTES_PER_SECOND_OF_STREAM if is_stream else MIN_BYTES_PER_SECOND
        claimed = CLAIM_FACTOR * (self.seconds or 0) + CLAIM_SECONDS
        return min(max_seconds, max(claimed, size_bytes // rate))


def conversion_seconds(seconds: int, *, pictures: bool) -> int:
    """Return how long the conversion of so many seconds may run."""
    return START_SECONDS + (PICTURE_FACTOR if pictures else SOUND_FACTOR) * seconds
