"""The ggml file format of Whisper models, reading side.

The format is whisper.cpp's own: `models/convert-pt-to-ggml.py` writes it and `whisper_model_load`
in `src/whisper.cpp` reads it. All numbers are little endian. whisper.cpp trusts the file and takes
the whole process down on a damaged one, so `check` is called before a file is handed to it.
"""

import struct
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import BinaryIO

from whisper_service.errors import ServiceError

MAGIC = 0x67676D6C
ENGLISH_VOCABULARY = 51864
MEL_FFT_BINS = 201
HEAD_SIZE = 64
F32, F16, BF16 = 0, 1, 30

# ggml type -> (values in a block, bytes in a block): `ggml-common.h`'s block structs.
BLOCKS = {
    F32: (1, 4),
    F16: (1, 2),
    2: (32, 18),  # q4_0
    3: (32, 20),  # q4_1
    6: (32, 22),  # q5_0
    7: (32, 24),  # q5_1
    8: (32, 34),  # q8_0
    10: (256, 84),  # q2_K
    11: (256, 110),  # q3_K
    12: (256, 144),  # q4_K
    13: (256, 176),  # q5_K
    14: (256, 210),  # q6_K
    BF16: (1, 2),
}

# The header's ftype, without its quantisation version, -> the ggml type of the large matrices.
_FTYPES = (0, 1, 24, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14)
_KINDS = (F32, F16, BF16, 2, 3, 8, 6, 7, 10, 11, 12, 13, 14)
WEIGHT_TYPES = dict(zip(_FTYPES, _KINDS, strict=True))
_QUANTISATION_FACTOR = 1000
_QUANTISATION_VERSION = 2

# Every Whisper that OpenAI and the distillers released lies within these.
_PLAUSIBLE = {
    "n_vocab": (ENGLISH_VOCABULARY, 51865, 51866),
    "n_audio_ctx": range(1, 1501),
    "n_audio_state": range(HEAD_SIZE, 2049, HEAD_SIZE),
    "n_audio_layer": range(1, 65),
    "n_text_ctx": range(1, 449),
    "n_text_layer": range(1, 65),
    "n_mels": (80, 128),
}
_FEWEST_TOKENS = 50256
_LONGEST_TOKEN = 1024
_LONGEST_NAME = 128
_MOST_DIMENSIONS = 4


class ModelFileError(ServiceError):
    """A model file that must not be loaded: missing, damaged, or no Whisper model at all."""


@dataclass(frozen=True)
class Header:
    """The eleven numbers after the magic, in the file's order. `n_audio_ctx` counts 20 ms frames.

    `ftype` is 0 for float32, 1 for float16, else 1000 times the quantisation version plus a kind.
    """

    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    n_mels: int
    ftype: int

    @property
    def is_english_only(self) -> bool:
        return self.n_vocab == ENGLISH_VOCABULARY

    @property
    def weight_type(self) -> int:
        """The ggml type of the large matrices. Raises KeyError for an unknown ftype."""
        return WEIGHT_TYPES[self.ftype % _QUANTISATION_FACTOR]

    def to_bytes(self) -> bytes:
        return struct.pack("<I11i", MAGIC, *astuple(self))


@dataclass(frozen=True)
class Tensor:
    """Shape and ggml type of one tensor. `dims` is in the file's order: the fastest one first."""

    dims: tuple[int, ...]
    kind: int

    @property
    def size(self) -> int:
        """Bytes of data. Raises ModelFileError when the rows are not whole blocks."""
        values, block = BLOCKS[self.kind]
        if self.dims[0] % values:
            raise ModelFileError("The model file's tensors do not fit its quantisation")
        return prod(self.dims) // values * block


def read_header(path: Path) -> Header:
    """Read the first 48 bytes. Raises ModelFileError unless they begin a Whisper model."""
    with _open(path) as file:
        return _header(file)


def check(path: Path) -> Header:
    """Walk the whole file without reading tensor data, and return its header.

    Raises ModelFileError unless the file holds exactly the tensors that its header implies, each
    with the implied shape and type, and ends right after the last one.
    """
    with _open(path) as file:
        try:
            header = _header(file)
            _skip_mel_filters(file, header)
            _skip_vocabulary(file, header)
            _skip_tensors(file, path.stat().st_size, expected_tensors(header))
        except OSError as error:
            raise ModelFileError(f"The model file cannot be read: {error.strerror}") from error
    return header


def expected_tensors(header: Header) -> dict[str, Tensor]:
    """Name every tensor of such a model, with PyTorch's names, in the official files' order."""
    kind, state = header.weight_type, header.n_audio_state
    convolution = F32 if kind == F32 else F16
    tensors = {
        "decoder.positional_embedding": Tensor((state, header.n_text_ctx), F32),
        "encoder.positional_embedding": Tensor((state, header.n_audio_ctx), F32),
        "decoder.token_embedding.weight": Tensor((state, header.n_vocab), kind),
    }
    for layer in range(header.n_text_layer):
        tensors |= _block(f"decoder.blocks.{layer}", ("attn", "cross_attn"), state, kind)
    tensors |= _norm("decoder.ln", state)
    tensors |= {
        "encoder.conv1.weight": Tensor((3, header.n_mels, state), convolution),
        "encoder.conv1.bias": Tensor((1, state), F32),
        "encoder.conv2.weight": Tensor((3, state, state), convolution),
        "encoder.conv2.bias": Tensor((1, state), F32),
    }
    for layer in range(header.n_audio_layer):
        tensors |= _block(f"encoder.blocks.{layer}", ("attn",), state, kind)
    return tensors | _norm("encoder.ln_post", state)


def _block(prefix: str, attentions: tuple[str, ...], state: int, kind: int) -> dict[str, Tensor]:
    tensors = _norm(f"{prefix}.mlp_ln", state)
    tensors |= _linear(f"{prefix}.mlp.0", state, 4 * state, kind)
    tensors |= _linear(f"{prefix}.mlp.2", 4 * state, state, kind)
    for attention in attentions:
        tensors |= _norm(f"{prefix}.{attention}_ln", state)
        for part in ("query", "key", "value", "out"):
            tensors |= _linear(f"{prefix}.{attention}.{part}", state, state, kind)
    return tensors


def _linear(name: str, into: int, out: int, kind: int) -> dict[str, Tensor]:
    tensors = {f"{name}.weight": Tensor((into, out), kind)}
    if not name.endswith(".key"):  # Whisper's key projections have no bias
        tensors[f"{name}.bias"] = Tensor((out,), F32)
    return tensors


def _norm(name: str, state: int) -> dict[str, Tensor]:
    return {f"{name}.{part}": Tensor((state,), F32) for part in ("weight", "bias")}


def _open(path: Path) -> BinaryIO:
    if not path.is_file():  # opening a pipe would wait for its writer
        raise ModelFileError("The model file is missing")
    try:
        return path.open("rb")
    except OSError as error:
        raise ModelFileError(f"The model file cannot be read: {error.strerror}") from error


def _read(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(f"<{layout}", _read_bytes(file, struct.calcsize(f"<{layout}")))


def _read_bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ModelFileError("The model file is truncated")
    return data


def _header(file: BinaryIO) -> Header:
    magic, *numbers = _read(file, "I11i")
    header = Header(*numbers)
    if magic != MAGIC or not _is_plausible(header):
        raise ModelFileError("The file is not a ggml Whisper model")
    return header


def _is_plausible(header: Header) -> bool:
    version, kind = divmod(header.ftype, _QUANTISATION_FACTOR)
    is_plain = WEIGHT_TYPES.get(kind) in {F32, F16, BF16}
    return (
        all(getattr(header, name) in allowed for name, allowed in _PLAUSIBLE.items())
        # The decoder attends to the encoder's output as it is, so their widths are one.
        and header.n_text_state == header.n_audio_state
        and header.n_audio_head == header.n_text_head == header.n_audio_state // HEAD_SIZE
        and kind in WEIGHT_TYPES
        and (version == _QUANTISATION_VERSION or (is_plain and version == 0))
    )


def _skip_mel_filters(file: BinaryIO, header: Header) -> None:
    if _read(file, "2i") != (header.n_mels, MEL_FFT_BINS):
        raise ModelFileError("The model file's mel filters are damaged")
    file.seek(header.n_mels * MEL_FFT_BINS * 4, 1)


def _skip_vocabulary(file: BinaryIO, header: Header) -> None:
    (count,) = _read(file, "i")
    if not _FEWEST_TOKENS <= count <= header.n_vocab:
        raise ModelFileError("The model file's vocabulary is damaged")
    for _ in range(count):
        (length,) = _read(file, "i")
        if not 0 <= length <= _LONGEST_TOKEN:
            raise ModelFileError("The model file's vocabulary is damaged")
        _read_bytes(file, length)


def _skip_tensors(file: BinaryIO, size: int, expected: dict[str, Tensor]) -> None:
    left = dict(expected)
    for name, tensor in islice(_tensor_headers(file), len(expected)):
        if left.pop(name, None) != tensor:
            raise ModelFileError("The model file's tensors are not those its header implies")
        file.seek(tensor.size, 1)
        if file.tell() > size:
            raise ModelFileError("The model file is truncated")
    if file.tell() != size:
        raise ModelFileError("The model file has more data than its header implies")


def _tensor_headers(file: BinaryIO) -> Iterator[tuple[str, Tensor]]:
    while True:
        rank, length, kind = _read(file, "3i")
        if not 1 <= rank <= _MOST_DIMENSIONS or not 1 <= length <= _LONGEST_NAME:
            raise ModelFileError("The model file's tensors are damaged")
        dims = _read(file, f"{rank}i")
        yield _read_bytes(file, length).decode("latin-1"), Tensor(dims, kind)
