import io
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.paths import DATA
from tests.support.service import Service
from whisper_service.files import media
from whisper_service.files.media import Media
from whisper_service.tables import File

JFK = DATA / "jfk.wav"


def leftovers(service: Service) -> list[Path]:
    return list((service.storage.root / "tmp").iterdir())


def test_an_upload_is_kept_byte_for_byte(service: Service) -> None:
    ann = service.register()
    (answer,) = ann.upload(JFK)
    row = File.get()
    assert answer == {
        "message": "File uploaded successfully",
        "filename": "jfk.wav",
        "uuid": row.uuid,
        "hash": blake3(JFK.read_bytes()).hexdigest(),
        "status": {"existed": False, "uploaded": True},
    }
    assert service.storage.original(row.uuid).read_bytes() == JFK.read_bytes()
    assert (row.status, row.content_type, row.kind) == ("converting", "audio/wav", "audio")
    assert leftovers(service) == []


def test_the_same_bytes_are_the_same_file_of_a_user(service: Service) -> None:
    ann, bob = service.register("ann"), service.register("bob")
    (first,) = ann.upload(JFK)
    (second,) = ann.upload(JFK)
    assert second["message"] == "File already exists"
    assert second["uuid"] == first["uuid"]
    assert second["status"] == {"existed": True, "uploaded": False}
    (theirs,) = bob.upload(JFK)
    assert theirs["status"]["existed"] is False
    assert theirs["uuid"] != first["uuid"]
    assert leftovers(service) == []


def test_a_bad_file_does_not_fail_the_others(service: Service) -> None:
    ann = service.register()
    results = ann.send(
        ("document.pdf", b"%PDF-1.7 ..."),
        ("empty.wav", b""),
        ("one.wav", JFK.read_bytes()),
        ("two.wav", JFK.read_bytes()),
        ("big.wav", b"\0" * (1024**2 + 1)),
    )
    assert [(item["filename"], item["status"].get("error")) for item in results] == [
        ("document.pdf", "unsupported_content_type"),
        ("empty.wav", "empty_file"),
        ("one.wav", None),
        ("two.wav", None),
        ("big.wav", "file_too_large"),
    ]
    assert results[0] == {
        "message": "Unsupported content type",
        "filename": "document.pdf",
        "status": {"existed": False, "uploaded": False, "error": "unsupported_content_type"},
    }
    assert [item["status"]["existed"] for item in results] == [False] * 3 + [True, False]
    assert File.select().count() == 1
    assert leftovers(service) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"json": {"file": "x"}},
        {"data": {"file": "a text field"}},
        {"data": {"file": (io.BytesIO(b""), "")}},
    ],
)
def test_without_a_file_there_is_nothing_to_do(service: Service, arguments: dict) -> None:
    message = service.register().error("POST", "/file", 400, **arguments)
    assert message == "No file provided"


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary in here",
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nhalf a fi',
    ],
)
def test_half_a_form_is_refused_and_leaves_nothing(service: Service, body: bytes) -> None:
    message = service.register().error(
        "POST", "/file", 400, data=body, content_type="multipart/form-data; boundary=x"
    )
    assert message == "Invalid multipart body"
    assert leftovers(service) == []


def test_files_per_request_are_limited(service: Service) -> None:
    ann = service.register()
    most = service.settings.limits.files_per_request
    files = [(f"{number}.txt", b"no sound") for number in range(most)]
    assert len(ann.send(*files)) == most
    sound = JFK.read_bytes()[:10_000]
    form = {f"file{number}": (io.BytesIO(sound), "a.wav") for number in range(most + 1)}
    message = ann.error("POST", "/file", 400, data=form)
    assert message == "At most 20 files can be uploaded at once"
    assert File.select().count() == 0
    assert leftovers(service) == []


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Limit this process to some more open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    with Path(os.devnull).open("rb") as null, ExitStack() as stack:
        copy = null.fileno()
        while copy <= highest:  # the limit is on their numbers, and some lower ones are free
            copy = os.dup(null.fileno())
            stack.callback(os.close, copy)
        resource.setrlimit(resource.RLIMIT_NOFILE, (copy + 1 + number, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        yield


def test_one_file_of_a_form_is_open_at_a_time(service: Service) -> None:
    ann = service.register()
    ann.send(("first.txt", b"no sound"))  # what the first upload opens for good
    with descriptors_left(12):
        assert len(ann.send(*[(f"{number}.txt", b"no sound") for number in range(20)])) == 20


@pytest.mark.parametrize("fields", [{"a": "x" * 65_537}, {"a": "x" * 40_000, "b": "x" * 40_000}])
def test_text_fields_of_a_form_are_limited_in_size(
    service: Service, fields: dict[str, str]
) -> None:
    file = (io.BytesIO(b"no sound"), "a.wav")
    message = service.register().error("POST", "/file", 413, data={"file": file, **fields})
    assert message == "Request Entity Too Large"
    assert leftovers(service) == []


@pytest.mark.parametrize("path", ["/file", "/v1/audio/transcriptions"])
def test_only_a_form_is_taken_apart(service: Service, path: str) -> None:
    """Werkzeug would decode such a body whole, in memory."""
    sent = {"data": b"\xff=1", "content_type": "application/x-www-form-urlencoded"}
    ann = service.register()
    if path.startswith("/v1"):
        answer = replace(ann, prefix="").call("POST", path, 400, **sent)
        assert answer.json["error"]["message"] == "Missing file"
    else:
        assert ann.error("POST", path, 400, **sent) == "No file provided"


def test_no_more_probes_at_once_than_cores(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, lock, running, most = media.probe, threading.Lock(), 0, 0

    def counted(path: Path) -> Media:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return probe(path)
        finally:
            with lock:
                running -= 1

    def upload(number: int) -> None:
        api = replace(ann, client=service.client.application.test_client())
        api.send((f"{number}.wav", JFK.read_bytes() + bytes([number])))

    monkeypatch.setattr(media, "probe", counted)
    ann, cores = service.register(), os.cpu_count() or 1
    with ThreadPoolExecutor(4 * cores) as pool:
        list(pool.map(upload, range(4 * cores)))
    assert File.select().count() == 4 * cores
    assert most <= cores


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("интервью 😀.wav", "интервью 😀.wav"),
        ("a\u202egnp.wav", "agnp.wav"),
        ("x" * 300, "x" * 255),
        ("/", "file"),
    ],
)
def test_a_name_is_cleaned_and_never_a_path(service: Service, sent: str, kept: str) -> None:
    service.register().send((sent, JFK.read_bytes()))
    assert File.get().filename == kept


def test_identical_uploads_at_once_make_one_file(service: Service) -> None:
    ann = service.register()
    answers = []

    def upload() -> None:
        client = service.client.application.test_client()
        answers.extend(replace(ann, client=client).upload(JFK))

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["uuid"] for answer in answers}) == 1
    assert [answer["status"]["uploaded"] for answer in answers].count(True) == 1
    assert len(list((service.storage.root / "files").iterdir())) == 1
    assert leftovers(service) == []
