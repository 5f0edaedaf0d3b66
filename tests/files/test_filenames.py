import pytest

from whisper_service.files import filenames


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("talk.mp3", "talk.mp3"),
        ("C:\\Users\\ann\\talk.wav", "talk.wav"),
        ("/etc/passwd", "passwd"),
        ("a\r\nb\0c\x7f.mp3", "abc.mp3"),
        ("a\u202egnp.mp3", "agnp.mp3"),
        ("a\ud800b", "ab"),
        ("e\u0301.mp3", "é.mp3"),
        ("  ", ""),
        ("..", ".."),
    ],
)
def test_a_file_name_is_cleaned(name: str, clean: str) -> None:
    assert filenames.clean(name) == clean
