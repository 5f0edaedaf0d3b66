"""Reading a CTranslate2 `model.bin`, format version 6 of a Whisper model.

The layout is the one that CTranslate2's `python/ctranslate2/specs/model_spec.py` writes: little
endian, strings as a u16 length with the final NUL counted, then the bytes.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

_FORMAT = 6
_SPEC = "WhisperSpec"
_DTYPES = ("<f4", "i1", "<i2", "<i4", "<f2")


@dataclass
class _Cursor:
    data: memoryview
    place: int = 0

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(f"<{layout}", self.data, self.place)
        self.place += struct.calcsize(f"<{layout}")
        return int(value)

    def chunk(self, size: int) -> memoryview:
        found = self.data[self.place : self.place + size]
        if len(found) < size:
            raise ValueError("the CTranslate2 model is truncated")
        self.place += size
        return found

    def string(self) -> str:
        return bytes(self.chunk(self.number("H"))).rstrip(b"\0").decode()


def read(model: bytes | bytearray) -> dict[str, Array]:
    """Return every variable of the model by name; the arrays are views of the given bytes.

    Raises ValueError unless it is a complete Whisper model in this format.
    """
    cursor = _Cursor(memoryview(model))
    try:
        if cursor.number("I") != _FORMAT or cursor.string() != _SPEC:
            raise ValueError("this is not a CTranslate2 Whisper model of format version 6")
        cursor.number("I")  # the spec's revision, which only adds options of CTranslate2's own
        arrays = dict(_variable(cursor) for _ in range(cursor.number("I")))
        aliases = [(cursor.string(), cursor.string()) for _ in range(cursor.number("I"))]
    except struct.error as error:
        raise ValueError("the CTranslate2 model is truncated") from error
    return arrays | {alias: arrays[name] for alias, name in aliases}


def _variable(cursor: _Cursor) -> tuple[str, Array]:
    name = cursor.string()
    shape = [cursor.number("I") for _ in range(cursor.number("B"))]
    dtype = _DTYPES[cursor.number("B")]
    data = cursor.chunk(cursor.number("I"))
    return name, np.frombuffer(data, dtype).reshape(shape)
