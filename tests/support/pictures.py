"""Small pictures."""

import struct
import zlib


def png(width: int, height: int) -> bytes:
    """Make a red picture of the given size in pixels."""
    rows = (b"\0" + b"\xff\0\0" * width) * height
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


PNG = png(40, 30)
