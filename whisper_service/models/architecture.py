"""The tensors that a Whisper model of a given size consists of."""

from dataclasses import dataclass
from math import prod

ENGLISH_VOCABULARY = 51864
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

# The header's ftype, without its quantization version, -> the ggml type of the large matrices.
_FTYPES = (0, 1, 24, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14)
_KINDS = (F32, F16, BF16, 2, 3, 8, 6, 7, 10, 11, 12, 13, 14)
WEIGHT_TYPES = dict(zip(_FTYPES, _KINDS, strict=True))
_QUANTIZATION_FACTOR = 1000
_QUANTIZATION_VERSION = 2

# Every Whisper model that OpenAI and the distillers released lies within these.
_PLAUSIBLE = {
    "n_vocab": (ENGLISH_VOCABULARY, 51865, 51866),
    "n_audio_ctx": range(1, 1501),
    "n_audio_state": range(HEAD_SIZE, 2049, HEAD_SIZE),
    "n_audio_layer": range(1, 65),
    "n_text_ctx": range(1, 449),
    "n_text_layer": range(1, 65),
    "n_mels": (80, 128),
}


@dataclass(frozen=True)
class Header:
    """The eleven numbers after the magic, in the file's order. `n_audio_ctx` counts 20 ms frames.

    `ftype` is 0 for float32, 1 for float16, else 1000 times the quantization version plus a kind.
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
        return WEIGHT_TYPES[self.ftype % _QUANTIZATION_FACTOR]

    @property
    def is_plausible(self) -> bool:
        version, kind = divmod(self.ftype, _QUANTIZATION_FACTOR)
        is_plain = WEIGHT_TYPES.get(kind) in {F32, F16, BF16}
        return (
            all(getattr(self, name) in allowed for name, allowed in _PLAUSIBLE.items())
            # The decoder attends to the encoder's output as it is, so their widths are equal.
            and self.n_text_state == self.n_audio_state
            and self.n_audio_head == self.n_text_head == self.n_audio_state // HEAD_SIZE
            and kind in WEIGHT_TYPES
            and (version == _QUANTIZATION_VERSION or (is_plain and version == 0))
            # A row is quantized in whole blocks.
            and self.n_audio_state % BLOCKS[WEIGHT_TYPES[kind]][0] == 0
        )


@dataclass(frozen=True)
class Tensor:
    """Shape and ggml type of a tensor. `dims` is in the file's order: the fastest one first."""

    dims: tuple[int, ...]
    kind: int

    @property
    def size(self) -> int:
        """Bytes of data, for rows of whole blocks."""
        values, block = BLOCKS[self.kind]
        return prod(self.dims) // values * block


def expected_tensors(header: Header) -> dict[str, Tensor]:
    """Return every tensor of such a model by PyTorch's name, in the official files' order."""
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
