"""Small disks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024**2
OF_ITS_OWN = "TORTURE_NAMESPACE"  # says that this process may mount, since it was given a namespace
BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of `size` bytes. Skips the test where that is impossible."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def as_mounter(request: pytest.FixtureRequest) -> None:
    """Where only root may mount, run the test in a namespace where this user is root."""
    if os.geteuid() == 0 or os.environ.get(OF_ITS_OWN):
        return
    command = ["unshare", "-rm", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, request.node.nodeid],
        cwd=request.config.rootpath,
        env={**os.environ, OF_ITS_OWN: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and "unshare" not in done.stderr:
        pytest.fail(done.stdout)
    pytest.skip("ran in a namespace of its own" if done.returncode == 0 else done.stderr.strip())


def deleted_bytes(disk: Path) -> int:
    """Return how many bytes a small disk holds for files that were deleted and are still open."""
    status = os.statvfs(disk)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    return used - sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.is_file())


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk until `leave` bytes are free, with a file that can be removed."""
    ballast = disk / BALLAST
    status = os.statvfs(disk)
    size = max(0, status.f_bavail * status.f_frsize - leave)
    try:
        with ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), size)
    except OSError:
        with ballast.open("ab", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
    return ballast
