"""Reading and writing ggml model files.

The format is whisper.cpp's own: `models/convert-pt-to-ggml.py` writes it and `whisper_model_load`
in `src/whisper.cpp` reads it. All numbers are little endian. whisper.cpp trusts the file and
crashes its process on a damaged one, so `check` is called before it opens a file.
"""

import struct
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from whisper_service.errors import ServiceError
from whisper_service.models.architecture import F16, F32, Header, Tensor, expected_tensors

MAGIC = 0x67676D6C
MEL_FFT_BINS = 201
DTYPES = {F32: "<f4", F16: "<f2"}

_FEWEST_TOKENS = 50256
_LONGEST_TOKEN = 1024
_LONGEST_NAME = 128
_MOST_DIMENSIONS = 4


class ModelFileError(ServiceError):
    """A model file that must not be loaded: missing, damaged, or not a Whisper model."""


def read_header(path: Path) -> Header:
    """Read the first 48 bytes. Raises ModelFileError unless they begin a Whisper model."""
    with _open(path) as file:
        return _read_header(file)


def check(path: Path) -> Header:
    """Read the whole file except for the tensors' data, and return its header.

    Raises ModelFileError unless the file holds exactly the tensors that its header implies, each
    with the implied shape and type, and ends right after the last one.
    """
    with _open(path) as file:
        try:
            header = skip_to_tensors(file)
            _skip_tensors(file, path.stat().st_size, expected_tensors(header))
        except OSError as error:
            raise ModelFileError(f"The model file cannot be read: {error.strerror}") from error
    return header


def skip_to_tensors(file: BinaryIO) -> Header:
    """Read a model file up to its first tensor, and return its header. Raises ModelFileError."""
    header = _read_header(file)
    if read_numbers(file, "2i") != (header.n_mels, MEL_FFT_BINS):
        raise ModelFileError("The model file's mel filters are damaged")
    file.seek(header.n_mels * MEL_FFT_BINS * 4, 1)
    _skip_vocabulary(file, header)
    return header


def read_tensor(file: BinaryIO) -> tuple[str, Tensor]:
    """Read the name and the shape of the tensor whose data follows. Raises ModelFileError."""
    rank, length, kind = read_numbers(file, "3i")
    if not 0 <= rank <= _MOST_DIMENSIONS or not 1 <= length <= _LONGEST_NAME:
        raise ModelFileError("The model file's tensors are damaged")
    dims = read_numbers(file, f"{rank}i")
    return _read_bytes(file, length).decode("latin-1"), Tensor(dims, kind)


def read_values(file: BinaryIO, tensor: Tensor) -> npt.NDArray[np.float32]:
    """Read the data of a float32 or float16 tensor, in PyTorch's shape. Raises ModelFileError."""
    values = np.frombuffer(_read_bytes(file, tensor.size), DTYPES[tensor.kind])
    return values.reshape(tensor.dims[::-1]).astype(np.float32)


def read_numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    """Read little-endian numbers, in struct's notation. Raises ModelFileError."""
    return struct.unpack(f"<{layout}", _read_bytes(file, struct.calcsize(f"<{layout}")))


def write_header(file: BinaryIO, header: Header) -> None:
    file.write(struct.pack("<I11i", MAGIC, *astuple(header)))


def write_mel_filters(file: BinaryIO, filters: npt.NDArray[np.float32]) -> None:
    file.write(struct.pack("<2i", *filters.shape))
    file.write(filters.astype("<f4").tobytes())


def write_vocabulary(file: BinaryIO, tokens: Sequence[bytes]) -> None:
    file.write(struct.pack("<i", len(tokens)))
    file.write(b"".join(struct.pack("<i", len(token)) + token for token in tokens))


def write_tensor(file: BinaryIO, name: str, tensor: Tensor) -> None:
    """Write the name and the shape of a tensor, whose data has to follow."""
    encoded, rank = name.encode("latin-1"), len(tensor.dims)
    file.write(struct.pack(f"<{3 + rank}i", rank, len(encoded), tensor.kind, *tensor.dims))
    file.write(encoded)


def _open(path: Path) -> BinaryIO:
    if not path.is_file():  # opening a pipe would wait for its writer
        raise ModelFileError("The model file is missing")
    try:
        return path.open("rb")
    except OSError as error:
        raise ModelFileError(f"The model file cannot be read: {error.strerror}") from error


def _read_bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ModelFileError("The model file is truncated")
    return data


def _read_header(file: BinaryIO) -> Header:
    magic, *numbers = read_numbers(file, "I11i")
    header = Header(*numbers)
    if magic != MAGIC or not header.is_plausible:
        raise ModelFileError("The file is not a ggml Whisper model")
    return header


def _skip_vocabulary(file: BinaryIO, header: Header) -> None:
    (count,) = read_numbers(file, "i")
    if not _FEWEST_TOKENS <= count <= header.n_vocab:
        raise ModelFileError("The model file's vocabulary is damaged")
    for _ in range(count):
        (length,) = read_numbers(file, "i")
        if not 0 <= length <= _LONGEST_TOKEN:
            raise ModelFileError("The model file's vocabulary is damaged")
        _read_bytes(file, length)


def _skip_tensors(file: BinaryIO, size: int, expected: dict[str, Tensor]) -> None:
    left = dict(expected)
    for _ in expected:
        name, tensor = read_tensor(file)
        if left.pop(name, None) != tensor:
            raise ModelFileError("The model file's tensors are not those its header implies")
        file.seek(tensor.size, 1)
        if file.tell() > size:
            raise ModelFileError("The model file is truncated")
    if file.tell() != size:
        raise ModelFileError("The model file has more data than its header implies")
