"""File names from users: for display only, never used on disk."""

import re
import unicodedata

MAX_LENGTH = 255


def clean(name: str) -> str:
    """Return a name that is safe to show and to send in a header; '' if nothing is left.

    Folders, control and formatting characters (line feeds, direction marks) and lone surrogates
    are dropped, and letters are composed (NFC).
    """
    base = re.split(r"[/\\]", name)[-1]
    kept = (character for character in base if unicodedata.category(character) not in _UNSAFE)
    return unicodedata.normalize("NFC", "".join(kept)).strip()[:MAX_LENGTH]


_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
