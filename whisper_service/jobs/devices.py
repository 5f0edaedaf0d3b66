"""Which tasks are for GPUs, and which for engines on processors."""

from collections.abc import Collection, Sequence

from whisper_service.jobs.run import Run
from whisper_service.jobs.slots import DeviceSlot, Slot
from whisper_service.models.catalog import ModelFile


def may_run(slot: Slot, run: Run) -> bool:
    """Return whether the engine of a slot can do tasks of a run."""
    is_avoided = isinstance(slot, DeviceSlot) and run.avoids_devices
    return not is_avoided and slot.can_run(run.model)


def left_to(
    slot: Slot, runs: list[Run], all_runs: Sequence[Run], slots: Collection[Slot]
) -> list[Run]:
    """Return the runs of which a slot may take a task now.

    An engine on processors takes a chunk only while more chunks wait than GPUs do in the time that
    it would take: else they would be done sooner without it.
    """
    found = [each for each in slots if isinstance(each, DeviceSlot)]
    if isinstance(slot, DeviceSlot) or not found:
        return runs
    meanwhile = sum(each.device.speed for each in found) * slot.machine.engines
    waiting = sum(run.chunks_ready for run in all_runs if any(may_run(each, run) for each in found))
    if waiting > meanwhile:
        return runs
    return [
        run for run in runs if not (run.chunks_ready and any(may_run(each, run) for each in found))
    ]


def chunk_seconds(slots: Collection[Slot], model: ModelFile) -> int:
    """Return how long chunks are best for the GPUs that can run a model; 0 without any."""
    found = (slot for slot in slots if isinstance(slot, DeviceSlot) and slot.can_run(model))
    return max((slot.device.chunk_seconds for slot in found), default=0)
