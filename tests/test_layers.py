"""Imports go one way, and each outside library has one room."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "whisper_service"
# A room may import those of the lines above its own, and these of its own line.
LAYERS = (
    "errors audio transcript_key _sandboxed system_calls",
    "ids transcripts config logs metrics sandbox",
    "models",
    "whisper",
    "db",
    "tables pagination",
    "billing credentials search_index",
    "files",
    "accounts jobs",
    "web watch cluster",
    "webhooks",
    "server",
    "commands",
)
ROOMS = {
    "distributed": {"cluster"},
    "dask": {"cluster"},
    "cryptography": {"cluster"},
    "flask": {"web", "webhooks"},
    "werkzeug": {"web"},
    "waitress": {"server"},
    "bcrypt": {"accounts"},
    "prometheus_client": {"metrics", "web"},
    "flask_swagger_ui": {"web"},
    "yaml": {"web"},
    "imageio_ffmpeg": {"files"},
    "subprocess": {"files", "whisper", "models", "commands"},
    "_pywhispercpp": {"whisper"},
    "requests": {"models", "commands"},
}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports() -> list[tuple[str, str]]:
    """List (room, imported module) of the whole package."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found += [(here, alias.name) for alias in node.names]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
                found.append((here, ast.literal_eval(node.args[0])))
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                base = node.module or ""
                if base == "whisper_service":
                    found += [(here, f"{base}.{alias.name}") for alias in node.names]
                else:
                    found.append((here, base))
    return found


def test_a_module_imports_only_lower_ones() -> None:
    level = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
    for here, module in imports():
        if module.startswith("whisper_service.") and room(module) != here:
            assert level[room(module)] < level[here], f"{here} imports {module}"


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_only_in_its_room(library: str) -> None:
    rooms = {here for here, module in imports() if module.split(".")[0] == library}
    assert rooms <= ROOMS[library]
    is_there = ROOMS[library] <= {path.stem for path in PACKAGE.iterdir()}
    assert rooms or not is_there


def test_no_import_hides_in_a_function() -> None:
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    assert not isinstance(node, ast.Import | ast.ImportFrom), path
