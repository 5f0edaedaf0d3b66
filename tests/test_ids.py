import time
import uuid

import pytest

from whisper_service import ids
from whisper_service.errors import InvalidRequest


def test_layout_is_that_of_rfc_9562() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(ids.uuid7())
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= after


def test_all_74_random_bits_vary() -> None:
    seen_ones, seen_zeros = 0, 0
    for _ in range(200):
        value = int(ids.uuid7(), 16)
        seen_ones |= value
        seen_zeros |= ~value
    random_bits = (0xFFF << 64) | ((1 << 62) - 1)
    assert seen_ones & seen_zeros & random_bits == random_bits


def test_printed_as_32_lower_case_hex_digits() -> None:
    made = ids.uuid7()
    assert len(made) == 32
    assert ids.parse(made) == made


def test_hyphens_and_upper_case_are_accepted() -> None:
    made = uuid.UUID(ids.uuid7())
    assert ids.parse(str(made).upper()) == made.hex


@pytest.mark.parametrize("text", ["", "x" * 32, "0" * 31, "0" * 33, "-" * 32, "0" * 32 + "\n"])
def test_malformed_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid UUID format"):
        ids.parse(text)
