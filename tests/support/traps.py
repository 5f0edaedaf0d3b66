"""Files that are not what they seem: playlists and lists that name others, and small ones that
become large.

A trap's text may name a secret recording beside it, by `{folder}` and name, and a web server.
"""

import struct
from pathlib import Path

from tests.support.ffmpeg import run_ffmpeg

SECRET = "secret"  # .wav, .ts, .txt, and secret1.png
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n{}#EXTINF:8.0,\n{}\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {} RTP/AVP 0\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT8S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="9"><BaseURL>{}'
    "</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}</svg>'
TEXTS = {
    "hls-relative": HLS.format("", "secret.ts"),
    "hls-wav": HLS.format("", "secret.wav"),
    "hls-absolute": HLS.format("", "{folder}/secret.ts"),
    "hls-file": HLS.format("", "file://{folder}/secret.ts"),
    "hls-http": HLS.format("", "{server}/secret.ts"),
    "hls-map": HLS.format('#EXT-X-MAP:URI="secret.ts"\n', "secret.ts"),
    "hls-key": HLS.format('#EXT-X-KEY:METHOD=AES-128,URI="{server}/key"\n', "secret.ts"),
    "hls-concat": HLS.format("", "concat:{folder}/secret.txt|{server}/x.ts"),
    "hls-subfile": HLS.format("", "subfile,,start,0,end,0,,:{folder}/secret.ts"),
    "hls-data": HLS.format("", "data:video/mp2t;base64,R0FBQUFB"),
    "hls-variants": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{server}/list.m3u8\n",
    "hls-late": "\n" * 3 + HLS.format("", "secret.ts"),
    "concat-relative": "ffconcat version 1.0\nfile secret.wav\n",
    "concat-ts": "ffconcat version 1.0\nfile secret.ts\n",
    "concat-absolute": "ffconcat version 1.0\nfile {folder}/secret.wav\n",
    "concat-file": "ffconcat version 1.0\nfile 'file:{folder}/secret.wav'\n",
    "concat-http": "ffconcat version 1.0\nfile '{server}/secret.wav'\n",
    "concat-often": "ffconcat version 1.0\n" + "file secret.wav\n" * 200,
    "concat-itself": "ffconcat version 1.0\nfile {name}\n",
    "dash-file": DASH.format("file://{folder}/secret.ts"),
    "dash-http": DASH.format("{server}/secret.mp4"),
    "sdp": SDP.format(5004),
    "svg-file": SVG.format('<image href="file://{folder}/secret1.png" width="9" height="9"/>'),
    "svg-http": SVG.format('<image href="{server}/secret.png" width="9" height="9"/>'),
    "xml": '<!DOCTYPE x [<!ENTITY a SYSTEM "file://{folder}/secret.txt">]><x>&a;</x>',
    "subtitles": "1\n00:00:00,000 --> 00:00:09,000\n<img src={server}/secret.png>\n",
    "ass": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {folder}/secret.txt\n",
    "rtsp": "[playlist]\nFile1={server}/secret.wav\nNumberOfEntries=1\n",
    "pictures": "secret%d.png\n",
}
ENDINGS = ("m3u8", "mp4", "wav", "mp3", "bin", "ts")


def write_traps(folder: Path, server: str) -> list[Path]:
    """Write each text under each ending, and the film with subtitles that are a playlist."""
    paths = []
    for kind, text in TEXTS.items():
        for ending in ENDINGS:
            path = folder / f"{kind}.{ending}"
            words = {"folder": folder, "server": server, "name": path.name}
            filled = text
            for word, value in words.items():
                filled = filled.replace(f"{{{word}}}", str(value))
            path.write_text(filled)
            paths.append(path)
    film = folder / "subtitles-in-film.avi"
    film.write_bytes(_film_with_subtitles(f"{HLS.format('', f'{folder}/secret.ts')}".encode()))
    return [*paths, film]


def write_secret(folder: Path) -> None:
    """Write a secret recording, in the formats that playlists name."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=1234:duration=7.7"]
    run_ffmpeg(*tone, folder / f"{SECRET}.wav")
    run_ffmpeg(*tone, "-c:a", "mp2", folder / f"{SECRET}.ts")
    run_ffmpeg(
        "-f", "lavfi", "-i", "color=red:size=16x16", "-frames:v", "1", folder / f"{SECRET}1.png"
    )
    (folder / f"{SECRET}.txt").write_text("nobody's business\n")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _film_with_subtitles(text: bytes) -> bytes:
    """Make an AVI whose one stream of subtitles holds a text, as GAB2 does."""
    title = "x\0".encode("utf-16-le")
    head = b"GAB2\0\2\0" + struct.pack("<I", len(title)) + title
    packet = head + b"\4\0" + struct.pack("<I", len(text)) + text
    header = struct.pack("<14I", 40_000, 0, 0, 16, 1, 0, 1, 0, 16, 16, 0, 0, 0, 0)
    stream = b"txts" + bytes(4) + struct.pack("<12I", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0)
    listed = b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", b"")
    headers = b"hdrl" + _chunk(b"avih", header) + _chunk(b"LIST", listed)
    movie = b"movi" + _chunk(b"00tx", packet)
    return _chunk(b"RIFF", b"AVI " + _chunk(b"LIST", headers) + _chunk(b"LIST", movie))


def write_bombs(folder: Path) -> list[Path]:
    """Write small files that claim to be, or become, very large ones."""
    quiet = folder / "quiet.flac"
    silence = "anullsrc=channel_layout=mono:sample_rate=1000:duration=36000"
    run_ffmpeg("-f", "lavfi", "-i", silence, "-frame_size", "65535", quiet)
    wavs = {
        "never.wav": _wav(0, 1),
        "fast.wav": _wav(2**32 - 1, 1),
        "wide.wav": _wav(16_000, 65_535),
        "claiming.wav": _wav(16_000, 1, claimed=2**32 - 1),
    }
    for name, content in wavs.items():
        (folder / name).write_bytes(content)
    made = [quiet, write_slow(folder), *(folder / name for name in wavs)]
    return [*made, _long(folder), _crowded(folder), _large_picture(folder)]


def write_slow(folder: Path) -> Path:
    """Write a sound of one sample a second."""
    path = folder / "slow.wav"
    path.write_bytes(_wav(1, 1))
    return path


def _wav(rate: int, channels: int, claimed: int = 0) -> bytes:
    sound = bytes(200_000)
    size = claimed or len(sound)
    width = min(2 * channels, 65_535)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 & 0xFFFFFFFF, width, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVE"
        + _chunk(b"fmt ", form)
        + (b"data" + struct.pack("<I", size) + sound)
    )


def _long(folder: Path) -> Path:
    """Chain ten hours of silence, a minute at a time."""
    minute, path = folder / "minute.opus", folder / "hours.opus"
    silence = "anullsrc=channel_layout=mono:sample_rate=8000:duration=60"
    opus = ["-c:a", "libopus", "-b:a", "500", "-frame_duration", "60"]
    run_ffmpeg("-f", "lavfi", "-i", silence, *opus, minute)
    path.write_bytes(minute.read_bytes() * 600)
    minute.unlink()
    return path


def _crowded(folder: Path) -> Path:
    """Make a file of five hundred streams."""
    path = folder / "crowd.mkv"
    one = ["-f", "lavfi", "-i", "anullsrc=sample_rate=8000:duration=0.1"]
    run_ffmpeg(*one, *["-map", "0:a"] * 500, "-c:a", "pcm_s16le", path)
    return path


def _large_picture(folder: Path) -> Path:
    """Make a film of one picture with 225 million pixels."""
    path = folder / "picture.mkv"
    picture = ["-f", "lavfi", "-i", "color=black:size=15000x15000:rate=1,format=gray"]
    sound = ["-f", "lavfi", "-i", "anullsrc=sample_rate=8000:duration=1"]
    run_ffmpeg(*picture, *sound, "-frames:v", "1", "-c:v", "png", "-c:a", "flac", path)
    return path
