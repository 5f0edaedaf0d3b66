"""A model hub on this machine."""

import http.server
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Hub:
    """A small model hub. Its answers break off after the numbers of bytes in `cuts`."""

    url: str = ""
    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    status: int = 0
    length: int | None = 0
    asked: list[str | None] = field(default_factory=list)

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.knows_ranges else 0
        beyond = 416 if start >= max(1, len(self.content)) else 0
        handler.send_response(self.status or beyond or (206 if start else 200))
        body = self.content[start:]
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/*")
        if self.length is not None:
            handler.send_header("Content-Length", str(self.length or len(body)))
        handler.end_headers()
        with suppress(ConnectionError):  # the other side may have had enough
            handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
