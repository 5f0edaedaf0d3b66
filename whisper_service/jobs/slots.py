"""Where engines run, and where tasks for them may wait."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from whisper_service.config import WorkerSettings
from whisper_service.models.catalog import ModelFile
from whisper_service.whisper.devices import Device

# Each engine holds a copy of its model, and half as much again to work with. The copies of one
# model may fill half of the memory: large ones are left to fewer engines with more threads.
MEMORY_SHARE = 3
DEVICE_SHARE = 1.5  # what one copy takes
LOCAL = "local"  # the name of this machine


@dataclass(frozen=True, eq=False)
class Machine:
    """`engines` that share cores and `memory` (in bytes).

    `threads_for` takes the number of busy engines, and returns the threads for each.
    """

    name: str
    engines: int
    memory: int
    threads_for: Callable[[int], int]


@dataclass(frozen=True, eq=False)
class Slot:
    """A place for a task on a machine: at one of its engines, which are numbered from 0, or ahead.

    A task that is sent ahead waits there until an engine is free, so that none waits for the way.
    """

    machine: Machine
    number: int

    @property
    def is_ahead(self) -> bool:
        return self.number >= self.machine.engines

    def can_run(self, model: ModelFile) -> bool:
        """Return whether an engine here can hold a model now; the first one can hold any."""
        return self.number < max(1, self.machine.memory // (MEMORY_SHARE * model.size))


@dataclass(frozen=True, eq=False)
class DeviceSlot(Slot):
    """A place at a GPU, which is left to what fits in its memory."""

    device: Device

    def can_run(self, model: ModelFile) -> bool:
        return DEVICE_SHARE * model.size <= self.device.memory


def of_device(settings: WorkerSettings, device: Device) -> DeviceSlot:
    """Return the slot of a GPU, which is a machine of its own."""
    machine = Machine(device.name, 1, device.memory, settings.threads_for)
    return DeviceSlot(machine, 0, device)


def local(settings: WorkerSettings, engines: int) -> list[Slot]:
    """Return the slots of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = Machine(LOCAL, engines, memory, settings.threads_for)
    return [Slot(machine, number) for number in range(engines)]
