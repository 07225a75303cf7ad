"""What is known of a declared plugin without importing it: why it would not load, its constants."""

from __future__ import annotations

import ast
import functools
import pkgutil
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from sm3kit.core.installed import Declaration
from sm3kit.core.libraries import pip_line


def why_broken(declaration: Declaration) -> str:
    """The reason why a declaration cannot work, or nothing.

    Reads the source as text: a missing module, a syntax error, a missing name, a `raise` at
    import and an import of a library that is not installed are seen; what only running the
    module would show is not.
    """
    target = declaration.target.partition("[")[0].strip()  # Extras are no part of the name.
    module, _, attribute = target.partition(":")
    spec = _find(module)
    if spec is None:
        return f"there is no module {module!r}"
    if not spec.origin or not spec.origin.endswith(".py"):
        return ""  # Compiled: only an import would tell.
    try:
        tree = ast.parse(Path(spec.origin).read_bytes(), filename=spec.origin)
    except (OSError, SyntaxError, ValueError) as error:
        return f"{Path(spec.origin).name}: {error}"
    return _fault(tree, module, attribute.partition(".")[0])


def constant_of(declaration: Declaration, name: str) -> Any:
    """The literal value of a constant in the module of a declaration; None where it has none."""
    spec = _find(declaration.target.partition(":")[0].strip())
    try:
        body = ast.parse(Path(spec.origin or "").read_bytes()).body if spec else []
    except (OSError, SyntaxError, ValueError):
        return None
    values = (
        node.value
        for node in body
        if isinstance(node, ast.Assign) and [ast.unparse(part) for part in node.targets] == [name]
    )
    return next(map(ast.literal_eval, values), None)


def text_of_library(name: str, pattern: str) -> Iterator[str]:
    """The files of an installed library that fit a pattern, as text; nothing is imported."""
    spec = _locate(name, None)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob(pattern)):
            yield file.read_text("utf-8", errors="replace")


def _find(module: str) -> ModuleSpec | None:
    """The spec of a dotted module; its parents are located, never run."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        if name in sys.modules and sys.modules[name].__spec__ is not None:
            spec = sys.modules[name].__spec__
        else:
            spec = _locate(name, path)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        path = list(locations) if locations is not None else []
    return spec


def _locate(name: str, path: list[str] | None) -> ModuleSpec | None:
    # Top level: editable installs have finders of their own.
    finders = sys.meta_path if path is None else [pkgutil.get_importer(folder) for folder in path]
    portions: list[str] = []
    for finder in finders:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, None) if find else None
        if spec is None:
            continue
        if spec.loader is not None or path is None:
            return spec
        portions += spec.submodule_search_locations or []
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _fault(tree: ast.Module, module: str, attribute: str) -> str:
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Raise):
            return f"{module} raises at import: {ast.unparse(node)[6:]}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            missing = _missing_library(node)
            if missing:
                return f"{module} needs {missing!r}, which is not installed: {pip_line(missing)}"
        defined |= _names(node)
    if attribute in defined or "*" in defined or "__getattr__" in defined:
        return ""
    return f"{module} has no {attribute!r}"


def _missing_library(node: ast.Import | ast.ImportFrom) -> str:
    if isinstance(node, ast.ImportFrom):
        roots = [] if node.level or node.module is None else [node.module.partition(".")[0]]
    else:
        roots = [alias.name.partition(".")[0] for alias in node.names]
    for root in roots:
        if root not in sys.modules and not _is_there(root, tuple(sys.path)):
            return root
    return ""


@functools.cache
def _is_there(root: str, path: tuple[str, ...]) -> bool:
    """Whether a library can be found; most plugins ask for the same few."""
    return _locate(root, None) is not None


def _names(node: ast.AST) -> set[str]:
    """The names that a top-level statement may bind; branches count as taken."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    return {name for inner in ast.iter_child_nodes(node) for name in _names(inner)}
