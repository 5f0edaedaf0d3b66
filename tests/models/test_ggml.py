import os
import shutil
import struct
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.support.models import LARGE_V3, TINY, TINY_EN, write_sparse
from whisper_service.models import architecture, ggml

OFFICIAL = {
    "tiny.en": TINY_EN,
    "tiny": TINY,
    "base": architecture.Header(51865, 1500, 512, 8, 6, 448, 512, 8, 6, 80, 1),
    "small": architecture.Header(51865, 1500, 768, 12, 12, 448, 768, 12, 12, 80, 1),
    "medium.en": architecture.Header(51864, 1500, 1024, 16, 24, 448, 1024, 16, 24, 80, 1),
    "large-v2-q5_0": replace(LARGE_V3, n_vocab=51865, n_mels=80, ftype=2008),
    "large-v3": LARGE_V3,
    "large-v3-turbo": replace(LARGE_V3, n_text_layer=4),
    "large-v3-turbo-q5_0": replace(LARGE_V3, n_text_layer=4, ftype=2008),
    "large-v3-turbo-q8_0": replace(LARGE_V3, n_text_layer=4, ftype=2007),
    "large-v3-q4_K": replace(LARGE_V3, ftype=2012),
}


def poke(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.fixture
def copy(tiny_en_model, tmp_path):
    return Path(shutil.copy(tiny_en_model, tmp_path / "copy.bin"))


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_kind_of_official_file_passes(name, tmp_path):
    path = tmp_path / "model.bin"
    write_sparse(path, OFFICIAL[name])
    assert ggml.check(path) == ggml.read_header(path) == OFFICIAL[name]
    assert OFFICIAL[name].is_english_only == name.endswith(".en")


def test_real_weights_pass(tiny_en_model):
    assert ggml.check(tiny_en_model) == ggml.read_header(tiny_en_model) == TINY_EN


def test_a_file_cut_anywhere_fails(copy):
    size = copy.stat().st_size
    cuts = {size - 1, size - 1000, *range(0, size, size // 17), 600_000, 64_000, 100, 56, 48, 47, 4}
    for cut in sorted(cuts, reverse=True):
        os.truncate(copy, cut)
        with pytest.raises(ggml.ModelFileError, match="truncated"):
            ggml.check(copy)


def test_anything_after_the_last_tensor_fails(copy):
    with copy.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ggml.ModelFileError, match="more data"):
        ggml.check(copy)


@pytest.mark.parametrize("field", [field.name for field in fields(architecture.Header)])
def test_a_garbled_header_fails(field, copy):
    place = 4 + 4 * [each.name for each in fields(architecture.Header)].index(field)
    good = getattr(TINY_EN, field)
    for value in {-1, 0, 1, 2, 80, 384, 448, 51865, good - 1, good + 1, good * 2, 2**31 - 1} - {
        good
    }:
        poke(copy, place, struct.pack("<i", value))
        with pytest.raises(ggml.ModelFileError):
            ggml.check(copy)


def test_a_damaged_byte_in_any_tensor_header_fails(tmp_path):
    path = tmp_path / "model.bin"
    for start in write_sparse(path, TINY)[::90]:
        with path.open("rb") as file:
            file.seek(start)
            header = file.read(20)
        for offset, byte in enumerate(header):
            poke(path, start + offset, bytes([byte ^ 0x81]))
            with pytest.raises(ggml.ModelFileError):
                ggml.check(path)
            poke(path, start + offset, bytes([byte]))
    assert ggml.check(path) == TINY


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (48, 128, "mel filters"),
        (52, 200, "mel filters"),
        (56 + 80 * 201 * 4, 2**31 - 1, "vocabulary"),
        (56 + 80 * 201 * 4, -1, "vocabulary"),
        (56 + 80 * 201 * 4 + 4, -1, "vocabulary"),
        (56 + 80 * 201 * 4 + 4, 2**31 - 1, "vocabulary"),
    ],
)
def test_damage_before_the_tensors_fails(place, value, reason, tmp_path):
    path = tmp_path / "model.bin"
    write_sparse(path, TINY)
    poke(path, place, struct.pack("<i", value))
    with pytest.raises(ggml.ModelFileError, match=reason):
        ggml.check(path)


def test_a_tensor_twice_in_place_of_another_fails(tmp_path):
    path = tmp_path / "model.bin"
    places = write_sparse(path, TINY)
    for place, name in zip(places, architecture.expected_tensors(TINY), strict=True):
        if name == "encoder.blocks.1.attn.query.weight":
            poke(path, place + 20, b"encoder.blocks.0.attn.query.weight")
    with pytest.raises(ggml.ModelFileError, match="not those"):
        ggml.check(path)


def test_rows_that_are_no_whole_blocks_fail(tmp_path):
    path = tmp_path / "model.bin"
    header = replace(TINY, ftype=2012)  # rows of 384 values, blocks of 256
    write_sparse(path, header)
    with pytest.raises(ggml.ModelFileError, match="not a ggml Whisper model"):
        ggml.check(path)


@pytest.mark.parametrize(
    "content", [b"RIFF" + bytes(60), bytes(48), struct.pack("<I", ggml.MAGIC) * 12]
)
def test_files_of_other_formats_are_named(content, tmp_path):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    for read in (ggml.read_header, ggml.check):
        with pytest.raises(ggml.ModelFileError, match="not a ggml Whisper model"):
            read(path)


def test_missing_files_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.bin")
    for name in ("none.bin", "pipe.bin", "."):
        with pytest.raises(ggml.ModelFileError, match="missing") as caught:
            ggml.check(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
