import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Service
from whisper_service import config
from whisper_service.errors import NotFound
from whisper_service.models import catalog, ggml
from whisper_service.models.architecture import Header


def test_models_are_listed_by_name_and_size(service: Service, tiny_en_model: Path) -> None:
    ann = service.register()
    assert ann.get("/model") == {"models": [{"name": "ggml-tiny.en"}]}
    size = tiny_en_model.stat().st_size
    assert ann.get("/models?size=true") == {"models": [{"name": "ggml-tiny.en", "size": size}]}
    assert ann.error("GET", "/model?size=x", 400) == "size must be true or false"


def test_a_new_file_shows_and_what_is_no_model_does_not(
    tmp_path: Path, tiny_en_model: Path
) -> None:
    folder = replace(config.ModelsSettings(), path=tmp_path).path
    (tmp_path / "ggml-broken.bin").write_bytes(b"lmgg" * 4)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.bin").mkdir()
    assert catalog.available(folder) == []
    shutil.copy(tiny_en_model, tmp_path / "mine.bin")
    (model,) = catalog.available(folder)
    assert (model.name, model.size, model.is_english_only) == ("mine", 77_704_715, True)


def test_a_model_is_found_without_reading_the_others(
    tmp_path: Path, tiny_en_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).symlink_to(tiny_en_model)
    read, opened = ggml.read_header, []

    def counted(path: Path) -> Header:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(ggml, "read_header", counted)
    for _ in range(3):
        assert catalog.find(tmp_path, "two").name == "two"
    assert opened == ["two.bin"]
    for name in ("three", "../two", "one.bin"):
        with pytest.raises(NotFound):
            catalog.find(tmp_path, name)
