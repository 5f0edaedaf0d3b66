"""How probable speech is in each frame of a recording, kept beside its WAV.

That depends on no model, so it is computed once. The file has a byte for each frame, as
protocol.SpeechFound has them.
"""

import logging

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.files.storage import Storage
from whisper_service.tables import File

logger = logging.getLogger(__name__)


def load(storage: Storage, uuid: str, samples: int) -> bytes | None:
    """Return the probabilities for all `samples` of a recording; None unless they are kept."""
    try:
        kept = storage.probabilities(uuid).read_bytes()
    except OSError:  # as a rule there is none yet
        return None
    return kept if len(kept) == -(-samples // FRAME_SAMPLES) else None


def keep(storage: Storage, uuid: str, probabilities: bytes) -> None:
    """Keep the probabilities if the disk has room: they can be computed again."""
    if not storage.has_room(len(probabilities)):
        return
    made = storage.temporary()
    try:
        made.write_bytes(probabilities)
        storage.place(made, storage.probabilities(uuid))
    except OSError as error:
        logger.warning("The speech found in file %s is not kept: %s", uuid, error.strerror)
    finally:
        made.unlink(missing_ok=True)
    if not File.select().where(File.uuid == uuid).exists():
        storage.delete(uuid)  # it was deleted meanwhile
