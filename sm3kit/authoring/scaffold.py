"""A distribution with one small plugin that works, to start from."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sm3kit.core.errors import NameClash, OptionError, UnknownName
from sm3kit.core.files import whole_folder
from sm3kit.core.installed import API_VERSION, installed_plugins
from sm3kit.core.kinds import KINDS, Kind
from sm3kit.core.names import unknown
from sm3kit.core.registry import registry

LONGEST = 30  # Lines of the templates stay within 100 characters with such a name.
# {file of the distribution: template}; those of a family stand in its own folder.
FILES = {
    "setup.cfg": "setup.cfg",
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    ".gitignore": "gitignore",
    ".github/workflows/test.yml": "test.yml",
    "${module}.py": "${family}/module.py",
    "tests/test_${name}.py": "${family}/test.py",
}


@dataclass(frozen=True)
class Scaffold:
    """What will be written.

    Attributes:
        kind: the family.
        name: the plugin, as on the command line.
        class_name: its class.
        folder: of the distribution.
    """

    kind: Kind
    name: str
    class_name: str
    folder: Path

    @property
    def noun(self) -> str:
        """What a member of the family is called."""
        return self.kind.noun

    @property
    def distribution(self) -> str:
        """The project's name."""
        return distribution_of(self.name)

    @property
    def module(self) -> str:
        """The module's name."""
        return f"sm3kit_{self.name}"

    @property
    def commands(self) -> list[str]:
        """What to type next."""
        where = str(self.folder)
        return [
            f"pip install -e {where}",
            f"pytest {where}",
            f"sm3kit plugins check {self.name}",
            *self._fill(f"{self.kind.family}/train").splitlines(),
        ]

    def content(self, template: str) -> str:
        """A template with all names put in."""
        train = "\n".join(self.commands[3:])
        return self._fill(template, train=train)

    def _fill(self, template: str, **more: str) -> str:
        place = Template(template).substitute(family=self.kind.family)
        words = {
            "name": self.name,
            "class_name": self.class_name,
            "module": self.module,
            "distribution": self.distribution,
            "family": self.kind.family,
            "noun": self.kind.noun,
            "does": self.kind.does,
            "api_version": str(API_VERSION),
        }
        return Template(_template(place).read_text("utf-8")).substitute(words | more)


def distribution_of(name: str) -> str:
    """The project's name for a plugin."""
    return f"sm3kit-{name.replace('_', '-')}"


def plan(name: str, family: str, out: Path | None = None) -> Scaffold:
    """Decides on all names; nothing is written.

    Args:
        name: of the plugin.
        family: singular or plural, "modality" or "modalities".
        out: the folder; by default one with the project's name, here.

    Raises:
        SM3Error: a name that cannot be used, or that is taken.
    """
    kind = family_of(family)
    _check_name(name, kind)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    source = _template(f"{kind.family}/module.py").read_text("utf-8")
    if re.search(rf"\b{class_name}\b", source):
        class_name += kind.noun.capitalize()  # The contract itself is called so, or a library.
    return Scaffold(kind, name, class_name, out or Path(distribution_of(name)))


def family_of(word: str) -> Kind:
    """The family of a singular or plural word.

    Raises:
        UnknownName: there is none.
    """
    nouns = {kind.noun: kind for kind in KINDS.values()}
    if word in KINDS:
        return KINDS[word]
    if word not in nouns:
        raise UnknownName(unknown("plugin family", word, nouns))
    return nouns[word]


def _check_name(name: str, kind: Kind) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
        example = f"{better!r}" if better else "'my_modality'"
        raise OptionError(
            "The name of a plugin consists of lower-case letters, digits and single underscores, "
            f"such as {example}, not {name!r}."
        )
    if keyword.iskeyword(name):
        raise OptionError(f"{name!r} is a Python keyword. Choose another name.")
    if len(name) > LONGEST:
        raise OptionError(
            f"The name {name!r} has {len(name)} characters; use at most {LONGEST}, since it is "
            "typed often."
        )
    registry(kind.family).refuse_taken(name)
    project = distribution_of(name)
    for declarations in installed_plugins().values():
        if any(declaration.distribution == project for declaration in declarations):
            raise NameClash(
                f"A distribution {project} with other plugins is already installed. "
                "Choose another name."
            )


def write(scaffold: Scaffold) -> list[str]:
    """Writes the distribution; the folder must not exist, or be empty.

    Returns:
        The files, as paths within the folder.

    Raises:
        SM3Error: the folder holds something, or cannot be written; nothing is left behind.
    """
    words = {"module": scaffold.module, "name": scaffold.name}
    written = {Template(target).substitute(words): template for target, template in FILES.items()}
    with whole_folder(scaffold.folder) as folder:
        for file, template in written.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(scaffold.content(template), "utf-8")
    return list(written)


def _template(name: str) -> Path:
    return Path(__file__).parent / "templates" / f"{name}.template"
