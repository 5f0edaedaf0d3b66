import shutil
from dataclasses import replace
from pathlib import Path

from tests.support.service import Service
from whisper_service import config
from whisper_service.models import catalog


def test_models_are_listed_by_name_and_size(service: Service, stub_models: Path) -> None:
    ann = service.register()
    answer = ann.get("/model")
    assert answer["models"] == [{"name": "ggml-tiny.en"}]
    assert {"en", "de", "yue"} < set(answer["languages"])
    size = (stub_models / "ggml-tiny.en.bin").stat().st_size
    assert ann.get("/models?size=true")["models"] == [{"name": "ggml-tiny.en", "size": size}]
    assert ann.error("GET", "/model?size=x", 400) == "size must be true or false"


def test_a_new_file_shows_and_what_is_no_model_does_not(tmp_path: Path, stub_models: Path) -> None:
    folder = replace(config.ModelsSettings(), path=tmp_path).path
    (tmp_path / "ggml-broken.bin").write_bytes(b"lmgg" * 4)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.bin").mkdir()
    assert catalog.available(folder) == []
    shutil.copy(stub_models / "ggml-tiny.en.bin", tmp_path / "mine.bin")
    (model,) = catalog.available(folder)
    assert (model.name, model.size, model.is_english_only) == ("mine", 48, True)
