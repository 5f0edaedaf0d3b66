"""An API key in the path, for programs that cannot send a header: /key/<api key>/asr.

The key is taken out of a request before anything else sees its path: paths may be logged.
"""

import re
from collections.abc import MutableMapping

from whisper_service.web import asr

_PREFIX = re.compile(f"/+{asr.KEY_PATH[1:]}/")
_PATH = re.compile(f"/+{asr.KEY_PATH[1:]}/(?P<key>[^/]*)(?P<path>{'|'.join(asr.PATHS)})")


def move_to_header(path: str, headers: MutableMapping[str, str]) -> str:
    """Return a path without the key in it, which goes into the Authorization header.

    With a key, only the paths of `asr` lead anywhere. Header names are as in WSGI, without HTTP_.
    """
    if not _PREFIX.match(path):
        return path
    found = _PATH.fullmatch(path)
    if found is None:
        return asr.KEY_PATH
    headers["AUTHORIZATION"] = f"Bearer {found['key']}"
    return found["path"]
