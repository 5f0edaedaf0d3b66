import hashlib
import io
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from tests.support.harness import in_part
from tests.support.hearing import hear
from tests.support.models import tensors_of
from tests.support.paths import DATA
from tests.support.speech import WORDS, word_error_rate
from whisper_service.errors import CommandError
from whisper_service.models import architecture, ggml, hub, part_file, quantize
from whisper_service.models.ct2.convert import convert
from whisper_service.models.fetch import fetch
from whisper_service.whisper.engine import Engine

# Of what whisper.cpp 1.8.5's own whisper-quantize makes of the official tiny.en on x86.
OFFICIAL_Q8_0 = "5bc2b3860aa151a4c6e7bb095e1fcce7cf12c7b020ca08dcec0c6d018bb7dd94"
NAMES = {2: "q4_0", 6: "q5_0", 8: "q8_0"}
ERRORS = {"q4_0": 0.15, "q5_0": 0.45, "q8_0": 0.05}


@pytest.fixture
def folder(tiny_en_model, models_folder, model_hub, monkeypatch):
    """Hold the real tiny.en; the hub has nothing."""
    monkeypatch.setenv(hub.HUB_VARIABLE, model_hub.url)
    model_hub.status = 404
    models_folder.mkdir()
    (models_folder / "ggml-tiny.en.bin").symlink_to(tiny_en_model)
    return models_folder


@pytest.fixture
def small(small_model, tokenizer, models_folder):
    """A plain float16 model with one layer on each side."""
    models_folder.mkdir()
    made = io.BytesIO()
    convert(small_model, tokenizer, made)
    path = models_folder / "ggml-small.bin"
    path.write_bytes(made.getvalue())
    return path


def run(source, name, target):
    with part_file.locked(target) as file:
        quantize.quantize(source, name, file)
        part_file.place(file, target)
    return target


def words_of(path):
    engine = Engine()
    try:
        return hear(engine, path, DATA / "jfk.wav").text
    finally:
        engine.close()


@pytest.mark.parametrize("name", in_part({"q4_0", "q8_0"}, ERRORS))
def test_a_quantized_model_is_made_and_knows_what_was_said(name, folder, capsys):
    path = fetch(f"ggml-tiny.en-{name}", folder)
    assert path == folder / f"ggml-tiny.en-{name}.bin"
    assert capsys.readouterr().err == (
        f"Quantizing ggml-tiny.en.bin to {name}\n{path.name} is ready\n"
    )
    assert ggml.check(path).ftype == quantize.FTYPES[name]
    if name == "q8_0":
        assert hashlib.sha256(path.read_bytes()).hexdigest() == OFFICIAL_Q8_0
    assert word_error_rate({"": WORDS["jfk.wav"]}, {"": words_of(path)}) <= ERRORS[name]
    fetch(f"tiny.en-{name}", folder)
    assert capsys.readouterr().err == f"{path.name} exists already\n"


def dequantize(data, kind):
    """Return the values of the blocks and the scale of each, as ggml-quants.c does."""
    blocks = data.reshape(-1, architecture.BLOCKS[kind][1])
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype("f8")
    levels = np.ascontiguousarray(blocks[:, -32:]).view("i1").astype("f8")
    if kind != 8:
        low = blocks[:, -16:]
        high = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") if kind == 6 else 0
        offset = 16 if kind == 6 else 8
        levels = np.hstack([low & 15, low >> 4]) + 16.0 * high - offset
    return levels * scale, np.abs(scale)


@pytest.mark.parametrize("kind", NAMES)
def test_no_value_is_off_by_more_than_its_blocks_scale_allows(kind):
    random = np.random.default_rng(5)
    values = random.normal(0, 0.05, (20_000, 32)).astype("<f2").astype("f4")
    values[:1000] *= random.integers(0, 2, (1000, 32))
    values[-1] = 0
    data = np.frombuffer(quantize._encode(values.ravel(), kind), "u1")
    found, scale = dequantize(data, kind)
    # q8_0 has a level for every value; elsewhere the ends may be cut so that the rest fits better.
    most = (0.5 if kind == 8 else 1.5) * scale + np.abs(values).max() * 2**-10
    assert (np.abs(found - values) <= most).all()
    assert np.abs(found - values).mean() < scale.mean() * 0.3
    assert not found[-1].any()


@pytest.mark.parametrize("kind", [2, 6])
def test_the_error_is_a_tenth_below_that_of_plain_rounding(kind):
    values = np.random.default_rng(6).normal(0, 0.05, (20_000, 32)).astype("f4")
    found, _ = dequantize(np.frombuffer(quantize._encode(values.ravel(), kind), "u1"), kind)
    half = 8 if kind == 2 else 16
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)
    scale = (largest / -half).astype("<f2").astype("f4")
    plain = np.clip(np.rint(values / scale), -half, half - 1) * scale
    assert np.square(found - values).mean() < 0.95 * np.square(plain - values).mean()


def test_halves_are_rounded_away_from_zero_in_q8_0():
    values = np.zeros(32, "f4")
    values[:5] = 127, 0.5, -0.5, 1.5, -2.5
    levels = np.frombuffer(quantize._encode(values, 8)[2:], "i1")
    assert list(levels[:6]) == [127, 1, -1, 2, -3, 0]


def test_what_is_no_large_matrix_stays_as_it_is(small, tmp_path):
    path = run(small, "q5_0", tmp_path / "ggml-x.bin")
    content, header = path.read_bytes(), ggml.read_header(small)
    assert content[48:2000] == small.read_bytes()[48:2000]
    plain = tensors_of(small, header)
    for name, tensor in architecture.expected_tensors(ggml.check(path)).items():
        if tensor.kind in (architecture.F32, architecture.F16):
            assert plain[name].tobytes() in content


def test_float32_gives_what_the_same_numbers_give_as_float16(small, tmp_path):
    header = ggml.read_header(small)
    single = replace(header, ftype=0)
    content, tensors = small.read_bytes(), tensors_of(small, header)
    first = content.index(b"decoder.positional_embedding") - 20
    with (tmp_path / "ggml-single.bin").open("wb") as file:
        ggml.write_header(file, single)
        file.write(content[48:first])
        for name, tensor in architecture.expected_tensors(single).items():
            file.write(struct.pack("<3i", len(tensor.dims), len(name), tensor.kind))
            file.write(struct.pack(f"<{len(tensor.dims)}i", *tensor.dims) + name.encode())
            file.write(tensors[name].astype("<f4").tobytes())
    from_single = run(tmp_path / "ggml-single.bin", "q8_0", tmp_path / "ggml-x.bin")
    assert from_single.read_bytes() == run(small, "q8_0", tmp_path / "ggml-y.bin").read_bytes()


def test_memory_stays_flat(tiny_en_model, tmp_path):
    tracemalloc.start()
    try:
        run(tiny_en_model, "q8_0", tmp_path / "ggml-x.bin")
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_a_plain_model_that_is_missing_is_fetched_first(folder, model_hub, small_model, tokenizer):
    with pytest.raises(
        CommandError, match="ggml-small cannot be downloaded: the model hub answered 404"
    ):
        fetch("ggml-small-q4_0", folder)
    assert [path.name for path in folder.iterdir()] == ["ggml-tiny.en.bin"]


def test_what_the_hub_has_quantized_comes_from_there(folder):
    (folder / "ggml-large-v3.bin").symlink_to(folder / "ggml-tiny.en.bin")
    with pytest.raises(
        CommandError, match="ggml-large-v3-q5_0 cannot be downloaded: the model hub"
    ):
        fetch("large-v3-q5_0", folder)


def test_a_model_of_ones_own_can_be_quantized(small):
    small.rename(small.with_name("ggml-mine.bin"))
    assert ggml.check(fetch("ggml-mine-q4_0.bin", small.parent)).ftype == 2002


@pytest.mark.parametrize(
    "name", ["tiny.en-q4_1", "q4_0", "-q4_0", "tiny.en-q8_0-q4_0", "large-v3-q5_0-q4_0"]
)
def test_an_unknown_name_is_reported_with_the_known_ones(name, folder):
    with pytest.raises(CommandError, match=f"Unknown model ggml-{name}. .*, -q8_0$"):
        fetch(name, folder)


def test_a_quantized_model_is_refused(small, tmp_path):
    quantized = run(small, "q8_0", tmp_path / "ggml-x.bin")
    with pytest.raises(CommandError, match=r"^ggml-x\.bin cannot be quantized: it is not float32"):
        run(quantized, "q4_0", tmp_path / "ggml-y.bin")
    assert list(tmp_path.glob("ggml-y*")) == []


def test_damaged_models_leave_nothing(small, tmp_path):
    content = small.read_bytes()
    small.write_bytes(content[:-1])
    with pytest.raises(CommandError, match=r"ggml-small\.bin cannot be quantized: .* truncated"):
        run(small, "q4_0", tmp_path / "ggml-y.bin")
    small.write_bytes(content[:-50_000] + b"\xff" * 40_000 + content[-10_000:])
    with pytest.raises(CommandError):
        run(small, "q4_0", tmp_path / "ggml-y.bin")
    assert list(tmp_path.glob("ggml-y*")) == []
