"""pywhispercpp's binding to whisper.cpp, in the library that the environment names, if any.

A library that is loaded before the binding, under the name of the one that the binding asks for, is
used in its place.
"""

import ctypes
import importlib
import os
from typing import Any

if library := os.environ.get("WHISPER_LIBRARY"):
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
binding: Any = importlib.import_module("_pywhispercpp")
# A symbol is searched for in the binding and then in what it is linked with: whisper.cpp.
_functions = ctypes.CDLL(binding.__file__)
_functions.whisper_get_logits.restype = ctypes.POINTER(ctypes.c_float)


def address(context: Any) -> int | None:  # noqa: ANN401 - the binding has no types
    """Return the address of whisper.cpp's context; None if the binding wraps a null pointer.

    Behind a Python object's header pybind11 keeps a pointer to what it wraps: a structure with the
    pointer to the context. Every function of whisper.cpp would dereference it.
    """
    wrapped = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    assert wrapped
    return ctypes.c_void_p.from_address(wrapped).value


def logits(context: Any) -> Any:  # noqa: ANN401
    """Return the logits after the last token that was decoded, by token, as long as it is the last.

    The binding's own function returns the first of them alone.
    """
    return _functions.whisper_get_logits(ctypes.c_void_p(address(context)))
