import hashlib
import io
import json

import numpy as np
import pytest

from tests.support.models import ctranslate2_file, tensors_of, variables
from whisper_service.models import architecture, ggml
from whisper_service.models.ct2 import mel, vocabulary
from whisper_service.models.ct2.convert import convert

# Of the filters in whisper.cpp's models/for-tests-ggml-tiny.en.bin, which are OpenAI's.
OFFICIAL_FILTERS = "85818f156f7e189453901a515e4726d270d307f976e161cf9403e8caab405498"


def test_every_variable_lands_in_its_tensor(small_model, tokenizer, tmp_path):
    path = tmp_path / "model.bin"
    with path.open("wb") as file:
        convert(small_model, tokenizer, file)
    header = ggml.check(path)
    assert header == architecture.Header(51864, 1500, 64, 1, 1, 448, 64, 1, 1, 80, 1)
    found, source = tensors_of(path, header), variables()
    fused = {
        "encoder.blocks.0.attn": ("encoder/layer_0/self_attention/linear_0", "query key value"),
        "decoder.blocks.0.attn": ("decoder/layer_0/self_attention/linear_0", "query key value"),
        "decoder.blocks.0.cross_attn": ("decoder/layer_0/attention/linear_1", "key value"),
    }
    for prefix, (name, parts) in fused.items():
        rows = np.vstack([found[f"{prefix}.{part}.weight"] for part in parts.split()])
        assert np.array_equal(rows, source[f"{name}/weight"])
        assert np.array_equal(found[f"{prefix}.value.bias"], source[f"{name}/bias"][-64:])
    same = {
        "decoder.token_embedding.weight": "decoder/embeddings/weight",
        "encoder.positional_embedding": "encoder/position_encodings/encodings",
        "encoder.conv2.weight": "encoder/conv2/weight",
        "decoder.blocks.0.cross_attn.query.weight": "decoder/layer_0/attention/linear_0/weight",
        "decoder.blocks.0.cross_attn_ln.bias": "decoder/layer_0/attention/layer_norm/beta",
        "decoder.blocks.0.mlp.2.weight": "decoder/layer_0/ffn/linear_1/weight",
        "encoder.blocks.0.mlp_ln.weight": "encoder/layer_0/ffn/layer_norm/gamma",
        "encoder.ln_post.weight": "encoder/layer_norm/gamma",
    }
    for name, variable in same.items():
        assert np.array_equal(found[name], source[variable])


def test_a_model_that_is_cut_or_lacks_something_is_refused(small_model, tokenizer):
    for cut in (0, 3, 20, 1000, len(small_model) // 2, len(small_model) - 1):
        with pytest.raises(ValueError, match="truncated"):
            convert(small_model[:cut], tokenizer, io.BytesIO())
    rest = variables()
    del rest["encoder/layer_0/ffn/linear_1/weight"]
    with pytest.raises(ValueError, match="lacks"):
        convert(ctranslate2_file(rest), tokenizer, io.BytesIO())
    with pytest.raises(ValueError, match="not a CTranslate2 Whisper model"):
        convert(bytes(100), tokenizer, io.BytesIO())


def test_the_mel_filters_are_the_official_ones():
    filters = mel.filterbank(80)
    assert filters.shape == (80, 201)
    assert hashlib.sha256(filters.tobytes()).hexdigest() == OFFICIAL_FILTERS
    assert mel.filterbank(128).shape == (128, 201)


def test_tokens_are_the_bytes_that_the_letters_stand_for():
    words = {str(number): number for number in range(50257)}
    swapped = {"\u0120caf\u00c3\u00a9": 0, "\u010a": 1, "\u0142\u0143~\u00a1": 2, "": 3}
    words = swapped | {word: number for word, number in words.items() if number > 3}
    tokenizer = json.dumps({"model": {"vocab": words}, "added_tokens": []}).encode()
    tokens = vocabulary.tokens(tokenizer)
    assert tokens[:5] == [" café".encode(), b"\n", b"\xa0\xad~\xa1", b"", b"4"]
    assert len(tokens) == 50257


def test_a_tokenizer_with_a_gap_is_refused(tokenizer):
    with pytest.raises(ValueError, match="lacks token 50256"):
        vocabulary.tokens(tokenizer.replace(b'"id": 50256', b'"id": 60000'))
