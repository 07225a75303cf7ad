"""Single files with plugins, tried without packaging: `--plugin FILE.py`.

Their paths stand in an environment variable, so that processes that are started later find them
too. The registry imports them when a name is asked for that no distribution has, or all names.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sm3kit.core.errors import BrokenPlugin, SM3Error
from sm3kit.core.files import regular_file
from sm3kit.core.installed import API_CONSTANT
from sm3kit.core.libraries import missing_library, pip_line

VARIABLE = "SM3KIT_PLUGINS"
_added: set[str] = set()  # Folders on sys.path for the sake of such a file.


def named_files() -> list[Path]:
    """The files that the environment names, in order."""
    texts = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    return list(dict.fromkeys(Path(text).resolve() for text in texts))


def name_files(files: Sequence[Path]) -> None:
    """Adds files to those that this process and its children know."""
    paths = dict.fromkeys([*named_files(), *(file.resolve() for file in files)])
    os.environ[VARIABLE] = os.pathsep.join(map(str, paths))


def import_file(file: Path) -> None:
    """Imports a file as a module of its own name, which processes that are spawned find again.

    Raises:
        BrokenPlugin: it is not there, its name is taken, or it cannot be imported.
    """
    name = file.stem
    regular_file(file, "plugin file", f"Check the path, or {VARIABLE}.", BrokenPlugin)
    if file.suffix != ".py" or "." in name:
        raise BrokenPlugin(
            f"A plugin file must be named NAME.py, without further dots, not {file.name}."
        )
    if str(file.parent) not in sys.path:
        # Last, so that nothing in this folder hides a library. Children get the path as well.
        sys.path.append(str(file.parent))
        _added.add(str(file.parent))
        importlib.invalidate_caches()
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec else None
    if origin is None or Path(origin).resolve() != file:
        raise BrokenPlugin(
            f"The plugin file {file} has the name of the module {name!r} of {origin or 'Python'}. "
            "Rename it."
        )
    try:
        importlib.import_module(name)
    except SM3Error as error:
        raise BrokenPlugin(f"The plugin file {file} cannot be used: {error}") from error
    except (Exception, SystemExit) as error:
        library = missing_library(error, name)
        remedy = f"Install what it needs: {pip_line(library)}" if library else "Fix it."
        raise BrokenPlugin(
            f"The plugin file {file} cannot be imported: {type(error).__name__}: {error}. {remedy}"
        ) from error


def forget_module(file: Path) -> None:
    """Takes an imported file out of Python's table of modules."""
    if file_of(file.stem) == file:
        del sys.modules[file.stem]
    if str(file.parent) in _added:
        _added.discard(str(file.parent))
        sys.path.remove(str(file.parent))


def file_of(module: str) -> Path | None:
    """The named file that a module is, or nothing."""
    origin = getattr(sys.modules.get(module), "__file__", None)
    path = Path(origin).resolve() if origin else None
    return path if path in named_files() else None


def content_of(file: Path) -> str:
    """The hash of what a file holds."""
    return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()


def api_of(file: Path) -> tuple[str, ...]:
    """The version of the plugin API that an imported file was written for, if it says so."""
    version = getattr(sys.modules.get(file.stem), API_CONSTANT, None)
    return () if version is None else (str(version),)
