"""The rooms of the house: who may import whom, who owns which library, how long things may be."""

import ast
import configparser
import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from sm3kit.core.kinds import KINDS
from sm3kit.testing.every_plugin import WITH_SOURCE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sm3kit"
FILES = {
    path.relative_to(ROOT)
    .with_suffix("")
    .as_posix()
    .replace("/", ".")
    .removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FAMILIES = tuple(KINDS)
BASES = {f"{family}.base" for family in FAMILIES}

GROUND = {"core", "tables", "nn", "imaging", "metrics", "published"}
TRAINED = {*GROUND, *BASES, "data", "networks", "runs", "training"}

# Which rooms, or modules of rooms, each room may import beside itself; families are apart.
ROOMS = {
    "core": set(),
    "tables": {"core"},
    "nn": {"core"},
    "imaging": {"core", "tables"},
    "synthesis": {"core"},
    "metrics": {"core"},
    "published": {"core"},
    "data": {*GROUND, *BASES},
    "networks": {*GROUND, *BASES, "data"},
    "runs": {*GROUND, *BASES, "data", "networks"},
    "training": {*GROUND, *BASES, "data", "networks", "runs"},
    "evaluation": TRAINED,
    "results": {*TRAINED, "evaluation"},
    "grids": {*TRAINED, "evaluation", "results"},
    "deployment": {*TRAINED, "evaluation", "results"},
    "report": {*TRAINED, "evaluation", "results", "grids"},
    "python": {*TRAINED, "evaluation", "results", "grids", "deployment", "report"},
    "diagnosis": {"core", "data", "networks"},
    "cli": {
        "core",
        "synthesis",
        "published",
        "tables",
        "data",
        "networks",
        "runs",
        "training",
        "evaluation",
        "results",
        "grids",
        "report",
        "deployment",
        "python",
        "diagnosis",
        "authoring",
    },  # fmt: skip
    "api": {
        "core",
        "tables",
        "nn.host.values",
        "nn.label_heads",
        "nn.map_shape",
        "nn.named_modules",
        *BASES,
    },
    "testing": {"core", "tables", "nn", "metrics", *BASES},
    "authoring": {"core", "testing", *BASES},
    "pytest_plugin": {"core", "cli"},
    "__main__": {"cli"},
}
FAMILY = {"core", "tables", "nn"}
FAMILY_MORE = {
    "modalities": {"imaging"},
    "datasets": {"synthesis"},
    "classifiers": {"metrics.checklist"},
}

# Rooms that take few libraries at all.
LIBRARIES = {
    "core": set(),
    "tables": {"openpyxl"},
    "nn": {"torch", "numpy", "scipy", "safetensors"},
    "imaging": {"numpy", "cv2", "PIL", "torch"},
    "synthesis": {"numpy", "cv2"},
    "metrics": {"numpy", "scipy"},
    "published": {"yaml"},
}
# Libraries that belong to few rooms.
OWNERS = {
    "timm": {"backbones", "training.optimising.optimisers"},
    "lightly": {"objectives"},
    "faiss": {"clusterers"},
    "psutil": {"training"},
    "pytorch_lightning": {"training"},
    "click": {"cli", "pytest_plugin"},
    "rich": {"cli", "data.progress"},
    "matplotlib": {
        *("report", "results.picture", "results.lettering", "results.curves"),
        "deployment.saliency",
    },
    "jinja2": {"results.html"},
    "cv2": {"imaging", "modalities", "synthesis"},
    "openpyxl": {"tables.workbook"},
}
PROJECT_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-gpu",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "shared"}

FILES_IN_A_ROOM = 20
USED_ONCE = 20  # Fewer modules than these have one other that imports them.
# Of these sorts there is a file for each, whoever asks for it.
SORTS = {
    "formulas of plugins": ("nn.association", "nn.gradient_reversal"),
    "protocols": tuple(
        f"evaluation.{name}" for name in ("clusters", "finetune", "matching", "neighbours")
    ),
    "executors": ("grids.executors",),
    "decisions": ("evaluation.decisions", "metrics.thresholds"),
    "callbacks": ("training.callbacks", "training.progress"),
    "formulas": ("metrics.agreement", "nn.clustering", "nn.distillation"),
    "what stage 2 learns": ("training.pseudo_labels",),
    "figures": tuple(
        f"report.{name}"
        for name in ("agreement", "calibration", "clusters", "confusion", "embedding", "roc")
    ),
    "hidden libraries": ("nn.low_rank", "tables.workbook"),
    "means of laws": ("testing.classifier_absence", "testing.likeness"),
    "layouts": tuple(
        f"synthesis.layout_{name}" for name in ("derm7pt", "isic", "manifest", "midas", "milk10k")
    ),
    "tables": (
        *("results.clustering", "results.grid_losses"),
        *("results.prediction_table", "results.pretraining_table"),
    ),
    "writers": (
        *("results.formats", "results.writers"),
        "report.grid_page",
        *("deployment.embedding_file", "deployment.onnx_graph", "deployment.timm_folder"),
    ),
}

LONGEST_MODULE, LONGEST_FUNCTION, LONGEST_FIRST_LINE = 250, 45, 100
LONGEST_IN_CLI = 40  # A command parses, calls and shows.
# Modules with one idea that takes more room; the reason beside each.
LONGER = {
    "sm3kit.backbones.timm": "one library: its models, sizes, weights, blocks, and what it refuses",
    "sm3kit.datasets.isic": "any collection: what one has and another lacks has its answer",
    "sm3kit.datasets.midas": "no lesion ids, odd file names, free text: each gap has its answer",
    "sm3kit.datasets.manifest": "every mistake in a table that people write by hand has its answer",
    "sm3kit.datasets.milk10k": "three layouts of one archive",
    "sm3kit.data.image_cache": "one format on disk: what is written, read and healed",
    "sm3kit.training.stage1": "one step that every row of the paper takes, and its run",
    "sm3kit.training.stage2": "one step that every row of the paper takes, and its run",
}


@cache
def tree(module):
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imports(module):
    """Everything that a module imports, anywhere in it, as dotted names of modules."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports hide the room"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
    return frozenset(found)


def inner(module):
    """What a module imports of sm3kit, without the package's name."""
    ours = {name for name in imports(module) if name.partition(".")[0] == "sm3kit"}
    return {name.removeprefix("sm3kit.") for name in ours if name != "sm3kit"}


def libraries(module):
    roots = {name.partition(".")[0] for name in imports(module)}
    return roots - sys.stdlib_module_names - {"sm3kit"}


def room(module):
    return module.split(".")[1] if "." in module else ""


def within(name, rooms):
    return any(name == one or name.startswith(f"{one}.") for one in rooms)


def allowed(module):
    place = room(module)
    if place in FAMILIES:
        return FAMILY | FAMILY_MORE.get(place, set()) | {f"{place}.base"}
    return ROOMS[place] | {place}


MODULES = [module for module in FILES if module != "sm3kit"]


def listed(violations):
    """All violations of a rule, one a line, for the message of its one test."""
    return "\n".join([f"Violations: {len(violations)}", *violations])


# Imports


def test_every_room_is_known():
    assert {room(module) for module in MODULES} <= {*ROOMS, *FAMILIES}


def test_imports_go_down():
    """A plugin takes the core, the building blocks and its own contract; never a sibling."""
    violations = []
    for module in MODULES:
        wrong = sorted(name for name in inner(module) if not within(name, allowed(module)))
        if wrong:
            violations.append(f"{module} imports {wrong}; it may import {sorted(allowed(module))}")
    assert not violations, listed(violations)


def test_importing_the_package_imports_nothing_else():
    """The Python face is imported on first use; type checkers see it at once."""
    module = loaded_after("import sm3kit; assert {'pretrain', 'open_run'} <= set(dir(sm3kit))")[0]
    ours = {name for name in module if name.partition(".")[0] == "sm3kit"}
    assert ours == {"sm3kit"}
    assert not {name.partition(".")[0] for name in module} & HEAVY


def misplaced_libraries(module):
    """What is wrong with the libraries that a module imports."""
    place = module.removeprefix("sm3kit.")
    for library in sorted(libraries(module)):
        if library in OWNERS and not within(place, OWNERS[library]):
            yield f"{module} imports {library}, which belongs to {sorted(OWNERS[library])}"
        if library not in LIBRARIES.get(room(module), {library}):
            yield f"{module} imports {library}; {room(module)} takes few libraries"


def test_libraries_stay_with_their_owners():
    violations = [one for module in MODULES for one in misplaced_libraries(module)]
    assert not violations, listed(violations)


OF_CONSOLE = "data.progress"  # Makes every console: its texts are never markup, its names no emoji.


def consoles(module):
    """Where a module makes a console of its own, or takes a text for markup."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            words = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            plain = words.get("markup") is False
            if called == "Console" or (called == "TextColumn" and not plain):
                yield f"{module}, line {node.lineno}: {called}"
            if called in ("from_markup", "render_markup") or words.get("markup") is True:
                yield f"{module}, line {node.lineno}: markup"
    for name in imports(module) & {"rich.markup", "rich.emoji", "rich.print"}:
        yield f"{module} imports {name}"


def test_no_text_is_markup():
    violations = [
        place
        for module in MODULES
        for place in consoles(module)
        if not (module == f"sm3kit.{OF_CONSOLE}" and place.endswith(": Console"))
    ]
    assert not violations, listed(violations)


def test_every_library_is_a_declared_dependency():
    declared = {
        re.split(r"[<>=;\s]", line, maxsplit=1)[0].lower().replace("_", "-")
        for line in settings()["options"]["install_requires"].strip().splitlines()
    }
    # The fixtures for plugin authors are imported by pytest itself, or not at all.
    modules = [module for module in MODULES if module != "sm3kit.pytest_plugin"]
    used = {library for module in modules for library in libraries(module)}
    missing = {one for one in used if PROJECT_OF.get(one, one).replace("_", "-") not in declared}
    assert not missing, f"setup.cfg does not declare {sorted(missing)}"


# Files


def test_no_room_is_crowded():
    """A folder within a room is counted for itself."""
    sizes = {}
    for module, path in FILES.items():
        if path.name != "__init__.py":
            folder = module.rpartition(".")[0]
            sizes[folder] = sizes.get(folder, 0) + 1
    crowded = {folder: size for folder, size in sizes.items() if size > FILES_IN_A_ROOM}
    assert not crowded


def used_once():
    """{module: the only one that imports it}; commands and plugins aside, and all of SORTS.

    What a command alone calls does not count: its logic may not stand in the command.
    """
    users = {module: [] for module in MODULES}
    for module in FILES:
        for name in imports(module) & users.keys() - {module}:
            users[name].append(module)
    plugins = {
        target.partition(":")[0] for names in declared().values() for target in names.values()
    }
    aside = [name for names in SORTS.values() for name in names]
    return {
        module: others[0]
        for module, others in users.items()
        if len(others) == 1
        and not {room(module), room(others[0])} & {"cli"}
        and others[0] != "sm3kit"  # The package names what users call.
        and module not in plugins
        and not within(module.removeprefix("sm3kit."), aside)
        and FILES[module].name != "__init__.py"
    }


def test_a_file_that_one_other_imports_is_part_of_that_one():
    """Unless it hides a library, or an idea of its own: some are, most are not."""
    modules = used_once()
    pairs = [f"{module} <- {user}" for module, user in modules.items()]
    assert len(modules) < USED_ONCE, listed(pairs)


# Plugins


def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def declared():
    """{group: {name: target}} of setup.cfg."""
    lines = settings()["options.entry_points"]
    return {
        group: dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in text.strip().splitlines())
        for group, text in lines.items()
    }


def test_what_is_declared_is_installed():
    installed = {}
    for entry in metadata.distribution("sm3kit").entry_points:
        installed.setdefault(entry.group, {})[entry.name] = entry.value
    assert declared() == installed, "setup.cfg has changed since. Run: pip install -e ."


def test_every_group_is_a_family():
    assert set(declared()) - {"console_scripts", "pytest11"} == {
        kind.group for kind in KINDS.values()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_of_a_family_is_declared(family):
    files = {m for m in MODULES if room(m) == family} - {
        f"sm3kit.{family}",
        f"sm3kit.{family}.base",
    }
    targets = {target.partition(":")[0] for target in declared()[f"sm3kit.{family}"].values()}
    assert files == targets


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_is_called_as_on_the_command_line(family):
    for name, target in declared()[f"sm3kit.{family}"].items():
        assert target.partition(":")[0] == f"sm3kit.{family}.{name}"


PLUGINS = [
    (family, name, *target.partition(":")[::2])
    for family in FAMILIES
    for name, target in declared()[f"sm3kit.{family}"].items()
]


@pytest.mark.parametrize(("family", "name", "module", "attribute"), PLUGINS)
def test_a_method_says_where_it_comes_from(family, name, module, attribute):
    (found,) = [
        node
        for node in tree(module).body
        if isinstance(node, ast.ClassDef) and node.name == attribute
    ]
    text = ast.get_docstring(found)
    if family in WITH_SOURCE:
        assert "\nSource: " in text
        told = r"Differs\s+from\s|As\s+in\s+the\s+(paper|released|publication)|A\s+minimal\s+form"
        assert re.search(told, text), (
            "says neither how it differs from the paper nor that it does not"
        )


# Words


def bad_names(module):
    """What is wrong with the names of a module, its classes and its functions."""
    names = [module.rpartition(".")[2]]
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    names += [node.name for node in ast.walk(tree(module)) if isinstance(node, kinds)]
    if names[0] in NAMELESS:
        yield f"{module}: {names[0]} says nothing"
    for name in names:
        stem = name.rstrip("0123456789").lower()
        if stem != name.lower() and not stem.endswith(("stage", "bf", "fp")):
            yield f"{module}: {name} ends in a number"
        if re.search(r"_v\d+(_|$)", name):
            yield f"{module}: {name} has a version number"


def test_names_are_of_the_domain():
    """No nameless drawers and no version numbers; stages of the paper and floats have numbers."""
    violations = [one for module in MODULES for one in bad_names(module)]
    assert not violations, listed(violations)


def public(node, path=""):
    """Modules, classes, functions and methods that others may use, with their names."""
    for inner_node in node.body:
        kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(inner_node, kinds) and not inner_node.name.startswith("_"):
            yield f"{path}{inner_node.name}", inner_node
            if isinstance(inner_node, ast.ClassDef):
                yield from public(inner_node, f"{path}{inner_node.name}.")


def bad_docstrings(module):
    """What is wrong with the docstrings of a module and of what it has for others."""
    for name, node in [(module, tree(module)), *public(tree(module))]:
        text = ast.get_docstring(node)
        if not text:
            yield f"{module}: {name} has no docstring"
            continue
        first = text.splitlines()[0]
        if len(first) > LONGEST_FIRST_LINE:
            yield f"{module}: {name}: {len(first)} characters"
        if not first.endswith((".", "?")):
            yield f"{module}: {name}: the first line is no sentence"


def test_public_things_say_what_they_give():
    violations = [one for module in FILES for one in bad_docstrings(module)]
    assert not violations, listed(violations)


# Length


def test_modules_are_short():
    lengths = {m: len(path.read_text(encoding="utf-8").splitlines()) for m, path in FILES.items()}
    long = {module: length for module, length in lengths.items() if length > LONGEST_MODULE}
    assert not set(LONGER) - set(long), "take these off the list of exceptions"
    assert not {m: n for m, n in long.items() if m not in LONGER}, "look for the second idea"


def test_functions_are_short():
    """Lines of the body, without signature and docstring."""
    long = {}
    for module in FILES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                longest = LONGEST_IN_CLI if room(module) == "cli" else LONGEST_FUNCTION
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if length > longest:
                    long[f"{module}.{node.name}"] = length
    assert not long


# What importing costs

HEAVY = {
    "torch", "torchvision", "numpy", "cv2", "PIL", "timm", "lightly", "faiss", "sklearn", "rich",
    "pytorch_lightning", "matplotlib", "scipy", "pandas", "jinja2",
}  # fmt: skip


def loaded_after(code):
    """The modules that a fresh interpreter has loaded after some code, and what it printed."""
    code += "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    *printed, last = done.stdout.splitlines()
    return set(json.loads(last)), "\n".join(printed)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], "pretrain"),
        (["--version"], "sm3kit"),
        (["pretrain", "--help"], "--recipe"),
        (["plugins", "list"], "sep_shared"),
        (["plugins", "--help"], "show"),
        (["plugins", "show", "--help"], "FAMILY/NAME"),
        (["data", "--help"], "synth"),
        (["data", "synth", "--help"], "--layout"),
        (["data", "check", "--help"], "SPEC"),
    ],
)
def test_help_is_light(words, shown):
    code = f"from sm3kit.cli.main import cli\ncli.main({words!r}, standalone_mode=False)"
    modules, printed = loaded_after(code)
    assert shown in printed
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    assert not {name for name in modules if within(name, {f"sm3kit.{one}" for one in FAMILIES})}


def test_the_help_of_every_command_is_light():
    """Whatever commands there are, now and later."""
    code = """
import click
from sm3kit.cli.main import cli
def walk(command, words):
    cli.main([*words, "--help"], standalone_mode=False)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            walk(command.get_command(context, name), [*words, name])
walk(cli, [])
"""
    modules, _ = loaded_after(code)
    assert not {name.partition(".")[0] for name in modules} & HEAVY


IMPORT_ALL = """
import importlib, json, os, random, signal, sys, threading, warnings
for name in {libraries!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
import numpy, torch
sys.stdout.flush(), sys.stderr.flush()
print("-" * 9, flush=True), print("-" * 9, file=sys.stderr, flush=True)
def state():
    return {{
        "environment": dict(os.environ),
        "threads": threading.active_count(),
        "random": hash(random.getstate()),
        "numpy": str(numpy.random.get_state()[1].tolist()),
        "torch": torch.random.get_rng_state().sum().item(),
        "torch threads": torch.get_num_threads(),
        "type": str(torch.get_default_dtype()),
        "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)],
        "filters": len(warnings.filters),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "files": sorted(os.listdir()),
    }}
before = state()
for name in {modules!r}:
    importlib.import_module(name)
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, changed
"""


def test_importing_defines_names_and_does_nothing_else(tmp_path):
    used = sorted(
        {one for module in MODULES for one in imports(module) if not one.startswith("sm3")}
    )
    modules = [module for module in FILES if not module.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL.format(libraries=used, modules=modules)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"SM3KIT_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.partition("-" * 9 + "\n")[2] == ""
    assert done.stderr.partition("-" * 9 + "\n")[2] == ""
    assert list(tmp_path.iterdir()) == []
