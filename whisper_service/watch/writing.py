"""From a completed transcription to the results beside the recording."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from whisper_service import db
from whisper_service.errors import Conflict
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS, file_content
from whisper_service.transcripts.transcript import Transcript
from whisper_service.watch import folders, records
from whisper_service.watch.records import Delayed, Recording

# The results of 12 hours of speech take less; a larger file is not one of them.
MAX_RESULT_BYTES = 64 * 1024**2
NO_RESULT = ""


def check_free(recording: Recording, formats: Sequence[str], root: Path) -> None:
    """Raise Delayed when the results cannot be written, before the recording is paid for.

    Raises Changed when its folder is gone.
    """
    try:
        with folders.opened_folder(root, recording.folder) as folder:
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
                raise Delayed("Its folder cannot be written to")
            for name in formats:
                _check_replaceable(recording, FORMATS[name].ending, folder)
    except Conflict as error:
        raise Delayed(str(error)) from error
    except OSError as error:
        raise records.obstacle("Its folder cannot be read", error) from error


def render(transcript: Transcript, formats: Sequence[str]) -> dict[str, bytes]:
    """Return the results in these formats, by the ending of their names."""
    return {FORMATS[name].ending: file_content(name, transcript, Layout()) for name in formats}


def remember(recording: Recording, results: Mapping[str, bytes]) -> Recording:
    """Record which results are about to be written, so that they are known after a kill."""
    hashes = [*recording.results, *map(_hash, results.values())]
    remembered = replace(recording, results=tuple(dict.fromkeys(hashes)))
    if remembered != recording:
        records.save(remembered)
    return remembered


def write(recording: Recording, results: Mapping[str, bytes], root: Path) -> None:
    """Write remembered results beside a recording, whole or not at all; then it is done.

    Raises Conflict for one whose name is taken, Delayed when the folder cannot be written, Changed
    when the recording is gone, OSError on a full disk.
    """
    try:
        with folders.opened_folder(root, recording.folder) as folder:
            for ending, content in results.items():
                _write(recording, ending, content, folder)
            os.fsync(folder)
    except OSError as error:
        if db.is_full(error):
            raise
        raise records.obstacle("Its result cannot be written", error) from error
    hashes = tuple(map(_hash, results.values()))
    records.save(replace(recording, error=None, is_done=True, results=hashes))


def _write(recording: Recording, ending: str, content: bytes, folder: int) -> None:
    existing = _check_replaceable(recording, ending, folder)
    temporary = _temporary_name(recording, ending)
    try:
        if existing != _hash(content):
            _write_temporary(temporary, content, _permissions(recording, folder), folder)
            _place(temporary, recording.stem.name + ending, folder, replaces=existing is not None)
    finally:  # what a killed process left goes, too
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)


def _check_replaceable(recording: Recording, ending: str, folder: int) -> str | None:
    """Return the hash of an earlier result, None without one.

    Raises Conflict if its name is taken by what the service did not write.
    """
    name = recording.stem.name + ending
    found = _find(name, folder, may_be_ours=bool(recording.results))
    if found is not None and found not in recording.results:
        raise Conflict(f"A file of its name with {ending} exists and is not overwritten")
    return found


def _find(name: str, folder: int, *, may_be_ours: bool) -> str | None:
    """Return the hash of a file, None without one, NO_RESULT for what cannot be a result."""
    try:
        with folders.opened_file(name, folder) as file:
            if not may_be_ours or os.fstat(file).st_size > MAX_RESULT_BYTES:
                return NO_RESULT
            with os.fdopen(file, "rb", closefd=False) as reader:
                return _hash(reader.read())
    except FileNotFoundError:
        return None
    except OSError:  # a link, a folder, or unreadable
        return NO_RESULT


def _temporary_name(recording: Recording, ending: str) -> str:
    """Return a hidden name that fits, however long the recording's is."""
    return f".{_hash(os.fsencode(recording.name))[:16]}{ending}.part"


def _permissions(recording: Recording, folder: int) -> int:
    """Return who may read the result: who may read the recording."""
    status = os.stat(recording.name, dir_fd=folder, follow_symlinks=False)
    return status.st_mode & 0o666


def _write_temporary(name: str, content: bytes, permissions: int, folder: int) -> None:
    """Write a hidden file that is safe on disk. One that a killed process left is replaced."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        with suppress(OSError):  # a file system without permissions
            os.fchmod(descriptor, permissions)
        os.fsync(descriptor)


def _place(temporary: str, name: str, folder: int, *, replaces: bool) -> None:
    """Rename a file. Unless it `replaces` an earlier result, no other file may have the name."""
    if not replaces:
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError as error:
            raise Conflict("A file of its result's name exists and is not overwritten") from error
        except OSError:  # a file system without links; that the name is free was checked
            pass
        else:
            return
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _hash(content: bytes) -> str:
    return blake3(content).hexdigest()
