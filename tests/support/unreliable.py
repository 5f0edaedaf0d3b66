"""A service that is killed, behind a line that is cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from tests.support.live import LiveServer, start_server
from tests.support.proxy import Event, Proxy, nothing, proxying


class Unreliable:
    """A service whose process is another one after each kill."""

    def __init__(self, storage: Path, models: Path, **environ: str) -> None:
        self.storage = storage
        self._models = models
        self._environ = environ
        self.server = self._start()
        self.peaks: list[int] = []  # bytes of memory that each process took at most

    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        return str(parts.hostname), int(parts.port or 0)

    def kill(self) -> None:
        """Kill the service, and start it again."""
        self.note_memory()
        self.server.process.kill()
        self.server.process.wait()
        self.server = self._start()

    def note_memory(self) -> None:
        text = Path(f"/proc/{self.server.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
        self.peaks.append(1024 * int(line.split()[1]))

    def _start(self) -> LiveServer:
        return start_server(self.storage, self._models, **self._environ)


@contextmanager
def unreliable(
    folder: Path, models: Path, events: list[Event] | None = None, **environ: str
) -> Iterator[tuple[Unreliable, Proxy]]:
    """Run a service behind a proxy. `events` may be added to the proxy later."""
    service = Unreliable(folder, models, **environ)
    try:
        with proxying(service.address, events or []) as proxy:
            yield service, proxy
        assert service.server.stop() == 0
    finally:
        service.server.process.kill()
        service.server.process.wait()


def failures(random: Random, service: Unreliable, size: int, cuts: int, kills: int) -> list[Event]:
    """Return cuts and kills at random bytes of the next `size`, of which some are sent again."""
    moments = sorted(random.sample(range(size // 100, size), cuts + kills))
    killed = set(random.sample(range(cuts + kills), kills))
    return [
        (moment, service.kill if number in killed else nothing)
        for number, moment in enumerate(moments)
    ]
