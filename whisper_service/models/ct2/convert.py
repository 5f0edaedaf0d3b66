"""Converting a CTranslate2 Whisper model to a ggml file with float16 weights.

The result is, bit for bit, what whisper.cpp's `models/convert-pt-to-ggml.py` makes of OpenAI's own
checkpoint of the same weights.
"""

from typing import BinaryIO

import numpy as np

from whisper_service.models import ggml
from whisper_service.models.architecture import HEAD_SIZE, Header, expected_tensors
from whisper_service.models.ct2 import mel, reader, vocabulary
from whisper_service.models.ct2.reader import Array

_FLOAT16_FTYPE = 1

_TOP_LEVEL = {
    "encoder.positional_embedding": "encoder/position_encodings/encodings",
    "encoder.conv1.weight": "encoder/conv1/weight",
    "encoder.conv1.bias": "encoder/conv1/bias",
    "encoder.conv2.weight": "encoder/conv2/weight",
    "encoder.conv2.bias": "encoder/conv2/bias",
    "encoder.ln_post.weight": "encoder/layer_norm/gamma",
    "encoder.ln_post.bias": "encoder/layer_norm/beta",
    "decoder.positional_embedding": "decoder/position_encodings/encodings",
    "decoder.token_embedding.weight": "decoder/embeddings/weight",
    "decoder.ln.weight": "decoder/layer_norm/gamma",
    "decoder.ln.bias": "decoder/layer_norm/beta",
}
_NORMS = {
    "attn_ln": "self_attention/layer_norm",
    "cross_attn_ln": "attention/layer_norm",
    "mlp_ln": "ffn/layer_norm",
}
_NORM_PARTS = {"weight": "gamma", "bias": "beta"}
# PyTorch's layer -> CTranslate2's, and which of the parts that are stacked in it.
_LINEARS = {
    "attn.query": ("self_attention/linear_0", 0, 3),
    "attn.key": ("self_attention/linear_0", 1, 3),
    "attn.value": ("self_attention/linear_0", 2, 3),
    "attn.out": ("self_attention/linear_1", 0, 1),
    "cross_attn.query": ("attention/linear_0", 0, 1),
    "cross_attn.key": ("attention/linear_1", 0, 2),
    "cross_attn.value": ("attention/linear_1", 1, 2),
    "cross_attn.out": ("attention/linear_2", 0, 1),
    "mlp.0": ("ffn/linear_0", 0, 1),
    "mlp.2": ("ffn/linear_1", 0, 1),
}


def convert(model: bytes | bytearray, tokenizer: bytes, output: BinaryIO) -> None:
    """Write the ggml file of a CTranslate2 `model.bin` and its `tokenizer.json`.

    Raises ValueError when they are not a Whisper model, and OSError from writing.
    """
    source = reader.read(model)
    try:
        header = _header(source)
        tokens = vocabulary.tokens(tokenizer)
        ggml.write_header(output, header)
        ggml.write_mel_filters(output, mel.filterbank(header.n_mels))
        ggml.write_vocabulary(output, tokens)
        for name, tensor in expected_tensors(header).items():
            values = _values(source, name).reshape(tensor.dims[::-1])
            ggml.write_tensor(output, name, tensor)
            output.write(np.ascontiguousarray(values, ggml.DTYPES[tensor.kind]).data)
    except KeyError as error:
        raise ValueError(f"the CTranslate2 model lacks {error}") from error


def _header(source: dict[str, Array]) -> Header:
    n_vocab, state = source["decoder/embeddings/weight"].shape
    heads = state // HEAD_SIZE
    return Header(
        n_vocab=n_vocab,
        n_audio_ctx=source["encoder/position_encodings/encodings"].shape[0],
        n_audio_state=state,
        n_audio_head=heads,
        n_audio_layer=_layers(source, "encoder"),
        n_text_ctx=source["decoder/position_encodings/encodings"].shape[0],
        n_text_state=state,
        n_text_head=heads,
        n_text_layer=_layers(source, "decoder"),
        n_mels=source["encoder/conv1/weight"].shape[1],
        ftype=_FLOAT16_FTYPE,
    )


def _layers(source: dict[str, Array], side: str) -> int:
    return sum(name.startswith(side) and name.endswith("/ffn/linear_0/weight") for name in source)


def _values(source: dict[str, Array], name: str) -> Array:
    if name in _TOP_LEVEL:
        return source[_TOP_LEVEL[name]]
    side, _, layer, rest = name.split(".", 3)
    module, _, kind = rest.rpartition(".")
    prefix = f"{side}/layer_{layer}"
    if module in _NORMS:
        return source[f"{prefix}/{_NORMS[module]}/{_NORM_PARTS[kind]}"]
    fused, part, parts = _LINEARS[module]
    rows = source[f"{prefix}/{fused}/{kind}"]
    size = len(rows) // parts
    return rows[part * size : (part + 1) * size]
