"""Resolving a host name within a time: the system's resolver has no timeout."""

import threading
from queue import Empty, SimpleQueue

from whisper_service.errors import Cancelled
from whisper_service.webhooks import addresses
from whisper_service.webhooks.deadline import Deadline

# Threads that are in the resolver. One whose answer comes too late stays there for about half a
# minute; four senders need no more.
MAX_LOOKUPS = 32

_places = threading.BoundedSemaphore(MAX_LOOKUPS)
_Answer = list[str] | Exception


def resolve(host: str, port: int, deadline: Deadline) -> list[str]:
    """Return the addresses of a host name. Raises TimeoutError, Cancelled, and what `look_up` does.

    The lookup has a thread of its own, which is left alone when its answer comes too late.
    """
    answer: SimpleQueue[_Answer] = SimpleQueue()
    with deadline.cancellation.unblock(lambda: answer.put(Cancelled())):
        _start(host, port, answer, deadline)
        try:
            found = answer.get(timeout=deadline.left())
        except Empty as error:
            raise TimeoutError from error
    if isinstance(found, Exception):
        raise found
    return found


def _start(host: str, port: int, answer: "SimpleQueue[_Answer]", deadline: Deadline) -> None:
    if not _places.acquire(timeout=deadline.left()):
        raise TimeoutError
    try:
        threading.Thread(target=_look_up, args=(host, port, answer), daemon=True).start()
    except RuntimeError:  # no more threads
        _places.release()
        raise


def _look_up(host: str, port: int, answer: "SimpleQueue[_Answer]") -> None:
    try:
        answer.put(addresses.look_up(host, port))
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
        answer.put(error)
    finally:
        _places.release()
