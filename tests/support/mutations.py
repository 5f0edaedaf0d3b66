"""Small files in every container, made by the real ffmpeg, and ways to damage them."""

import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.containers import AUDIO, MORE_AUDIO, MORE_VIDEOS, VIDEOS
from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA

SECONDS = "0.8"
SOUND = ["-i", str(DATA / "austen-0930.wav")]
PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10"]
ALL = AUDIO | VIDEOS | MORE_AUDIO | MORE_VIDEOS
# The encoder of AV1 talks about itself, and takes long to begin.
NAMES = [name for name in ALL if name != "av1.mkv"]


def make_seed(folder: Path, name: str) -> bytes:
    how, _ = ALL[name]
    has_pictures = name in VIDEOS | MORE_VIDEOS
    inputs = [*PICTURES, *SOUND, "-map", "0:v", "-map", "1:a"] if has_pictures else SOUND
    path = folder / name
    run_ffmpeg(*inputs, "-t", SECONDS, *how.split(), path)
    content = path.read_bytes()
    path.unlink()
    return content


def flip(random: Random, seed: bytes, _: bytes) -> bytes:
    content = bytearray(seed)
    for _ in range(random.choice((1, 3, 30, 300))):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def flip_head(random: Random, seed: bytes, other: bytes) -> bytes:
    """Damage the beginning, where most containers describe their streams."""
    head = min(len(seed), 600)
    return flip(random, seed[:head], other) + seed[head:]


def truncate(random: Random, seed: bytes, _: bytes) -> bytes:
    return seed[: random.randrange(1, len(seed))]


def behead(random: Random, seed: bytes, _: bytes) -> bytes:
    return seed[random.randrange(1, len(seed)) :]


def splice(random: Random, seed: bytes, other: bytes) -> bytes:
    return seed[: random.randrange(len(seed))] + other[random.randrange(len(other)) :]


def repeat(random: Random, seed: bytes, _: bytes) -> bytes:
    start, stop = sorted(random.randrange(len(seed)) for _ in range(2))
    return seed[:stop] + seed[start:stop] * random.randrange(1, 4) + seed[stop:]


def blank(random: Random, seed: bytes, _: bytes) -> bytes:
    start, stop = sorted(random.randrange(len(seed)) for _ in range(2))
    return seed[:start] + random.choice((b"\0", b"\xff")) * (stop - start) + seed[stop:]


def lie(random: Random, seed: bytes, _: bytes) -> bytes:
    """Write large and odd numbers where lengths, rates, sizes and counts may be."""
    content = bytearray(seed)
    reach = random.choice((100, 1000, len(content)))
    for _ in range(random.choice((1, 2, 8))):
        number = random.choice((0, 1, 0x7F, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1))
        written = struct.pack(random.choice(("<I", ">I")), number)[: random.choice((2, 4))]
        position = random.randrange(max(1, min(reach, len(content)) - 4))
        content[position : position + len(written)] = written
    return bytes(content)


MUTATIONS: list[Callable[[Random, bytes, bytes], bytes]] = [
    flip,
    flip_head,
    truncate,
    behead,
    splice,
    repeat,
    blank,
    lie,
]


def mutate(random: Random, seeds: list[bytes]) -> bytes:
    """Damage one of the files, mostly in one way."""
    content = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2))):
        content = random.choice(MUTATIONS)(random, content, random.choice(seeds)) or b"\0"
    return content
