import hashlib
import socket
import subprocess
import sys

import pytest

from whisper_service.errors import CommandError
from whisper_service.models import fetch, hub, part_file

CONTENT = bytes(range(256)) * 3906 + bytes(64)
SHA1 = hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def get(model_hub, models_folder):
    """Download the file and give it its place; returns what is there then."""
    model_hub.content = CONTENT
    target = models_folder / "ggml-x.bin"

    def download(url=None):
        what = hub.Download(f"{url or model_hub.url}ggml-x.bin", SHA1, pause=0.001)
        with part_file.locked(target) as file:
            hub.download(what, file)
            part_file.place(file, target)
        return target.read_bytes()

    return download


@pytest.fixture
def leave_part(models_folder):
    models_folder.mkdir()
    return (models_folder / "ggml-x.bin.part").write_bytes


def listing(folder):
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_download_takes_its_place_whole(get, models_folder, capsys):
    assert get() == CONTENT
    assert listing(models_folder) == {"ggml-x.bin": len(CONTENT)}
    assert capsys.readouterr().err == "Downloading ggml-x.bin from 127.0.0.1\n"


def test_a_cut_connection_is_taken_up_where_it_broke(get, model_hub):
    model_hub.cuts = [320_000, 0, 0, 1, 100_000, 0]
    assert get() == CONTENT
    starts = [int(wanted.strip("bytes=-")) for wanted in model_hub.asked[1:]]
    assert starts == sorted(starts)
    assert starts[-1] > 300_000


def test_a_later_run_goes_on_from_the_part_file(get, leave_part, model_hub):
    leave_part(CONTENT[:400_000])
    assert get() == CONTENT
    assert model_hub.asked == ["bytes=400000-"]


def test_a_server_without_ranges_sends_all_anew(get, leave_part, model_hub):
    leave_part(b"x" * 400_000)
    model_hub.knows_ranges = False
    assert get() == CONTENT
    assert len(model_hub.asked) == 1


def test_a_part_that_is_whole_is_not_sent_again(get, leave_part, model_hub):
    leave_part(CONTENT)
    assert get() == CONTENT
    assert len(model_hub.asked) == 1


def test_a_part_longer_than_the_file_is_started_anew(get, leave_part, model_hub):
    leave_part(CONTENT + b"x")
    assert get() == CONTENT
    assert model_hub.asked == ["bytes=1000001-", None]


def test_a_part_of_something_else_is_found_out_and_dropped(get, leave_part, models_folder):
    leave_part(b"x" * 400_000)
    with pytest.raises(hub.HubError, match="damaged"):
        get()
    assert listing(models_folder) == {}
    assert get() == CONTENT


def test_a_download_without_progress_is_given_up_and_keeps_its_part(get, model_hub, models_folder):
    model_hub.cuts = [320_000] + [0] * 20
    with pytest.raises(hub.HubError, match="keeps cutting"):
        get()
    assert len(model_hub.asked) == 6
    assert listing(models_folder) == {"ggml-x.bin.part": 311_296}


def test_a_server_that_starts_anew_and_breaks_off_does_not_hold_it_for_ever(get, model_hub):
    model_hub.knows_ranges = False
    model_hub.cuts = [300_000, 200_000] * 20
    with pytest.raises(hub.HubError, match="keeps cutting"):
        get()


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_error_of_the_hub_is_reported_and_keeps_the_part(status, get, leave_part, model_hub):
    leave_part(CONTENT[:400_000])
    model_hub.status = status
    with pytest.raises(hub.HubError, match=f"answered {status}"):
        get()
    model_hub.status = 0
    assert get() == CONTENT


def test_a_hub_that_sends_something_else_leaves_nothing(get, model_hub, models_folder):
    model_hub.content = b"<html>Please log in</html>"
    with pytest.raises(hub.HubError, match="damaged"):
        get()
    assert listing(models_folder) == {}


def test_a_length_that_is_too_short_is_found_out(get, model_hub):
    model_hub.length = 999_999
    with pytest.raises(hub.HubError, match="damaged"):
        get()


def test_a_length_that_is_too_long_is_found_out(get, model_hub):
    model_hub.length = 1_000_100
    with pytest.raises(hub.HubError, match="keeps cutting"):
        get()


def test_a_missing_network_is_reported_at_once(get, models_folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    with pytest.raises(hub.HubError, match="cannot be reached"):
        get(url)
    assert listing(models_folder) == {}


def test_a_second_download_at_the_same_time_is_refused(get, models_folder):
    holder = (
        "import sys, pathlib; from whisper_service.models import part_file\n"
        "with part_file.locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(models_folder / "ggml-x.bin")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(CommandError, match=r"is already downloading ggml-x\.bin"):
            get()
        other.communicate()
    assert get() == CONTENT


def test_a_disk_with_too_little_room_is_reported_before_the_download(get, model_hub, models_folder):
    model_hub.length = 10**15
    with pytest.raises(CommandError, match=r"ggml-x\.bin needs 1000000000 MB") as caught:
        get()
    assert not isinstance(caught.value, hub.HubError)
    assert listing(models_folder) == {}


def _in_a_small_disk(folder, script):
    mount = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    return subprocess.run([*unshare, *script], capture_output=True, text=True, check=False)


def test_a_disk_that_fills_up_is_reported_and_left_empty(model_hub, models_folder):
    models_folder.mkdir()
    if _in_a_small_disk(models_folder, ["true"]).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    model_hub.content, model_hub.length = CONTENT, None  # no length: nothing to compare before
    script = (
        "import sys, pathlib; from whisper_service.models import hub, part_file\n"
        "target = pathlib.Path(sys.argv[1]) / 'ggml-x.bin'\n"
        "try:\n"
        "    with part_file.locked(target) as file:\n"
        "        hub.download(hub.Download(*sys.argv[2:]), file)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error, list(target.parent.iterdir()))"
    )
    url = f"{model_hub.url}ggml-x.bin"
    command = [sys.executable, "-c", script, str(models_folder), url, SHA1]
    done = _in_a_small_disk(models_folder, command)
    assert done.stdout.startswith("CommandError ggml-x.bin needs more room"), done
    assert done.stdout.endswith("[]\n")


def test_an_unknown_model_is_reported_with_the_known_ones(models_folder):
    with pytest.raises(CommandError, match=r"ggml-huge\. Known models: tiny, tiny\.en, base"):
        fetch.fetch("ggml-huge", models_folder)


@pytest.mark.parametrize("name", ["tiny.en", "ggml-tiny.en", "ggml-tiny.en.bin", "tiny.en.bin"])
def test_a_model_that_is_there_is_kept(name, tiny_en_model, model_hub, monkeypatch, capsys):
    monkeypatch.setenv(hub.HUB_VARIABLE, model_hub.url)
    assert fetch.fetch(name, tiny_en_model.parent) == tiny_en_model
    fetch.fetch_starter(tiny_en_model.parent)
    assert capsys.readouterr().err == "ggml-tiny.en.bin exists already\n"
    assert model_hub.asked == []


def test_a_failed_download_is_reported_in_one_line(model_hub, models_folder, monkeypatch):
    monkeypatch.setenv(hub.HUB_VARIABLE, model_hub.url)
    model_hub.status = 404
    with pytest.raises(CommandError) as caught:
        fetch.fetch("small", models_folder)
    assert str(caught.value) == "ggml-small cannot be downloaded: the model hub answered 404"
    assert listing(models_folder) == {}


def test_a_folder_that_takes_no_file_is_reported(model_hub, tmp_path, monkeypatch):
    monkeypatch.setenv(hub.HUB_VARIABLE, model_hub.url)
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(CommandError, match=r"ggml-small\.bin cannot be written"):
        fetch.fetch("small", tmp_path / "models")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
