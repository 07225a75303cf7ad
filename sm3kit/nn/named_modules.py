"""Networks under the names of modalities, which users choose as they like."""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterator, KeysView

from torch import nn

MARK = "%"  # A key with this mark in front is escaped.
# torch takes no dot, and its exporters write names between quotation marks into code.
UNFIT = re.compile(r'[."\\\n\r]|^%|^$')
CODED = re.compile(r'[%."\\\n\r]')
REFUSING = nn.ModuleDict()  # Refuses the names of its own attributes.


class NamedModules(nn.ModuleDict):
    """A ModuleDict that takes any name: `type`, `train`, `a.b`, and even none at all.

    torch refuses names with a dot and names that its modules use themselves. Those are escaped
    inside, see `module_key`; whoever asks this table by name never sees it. All other names stand
    in the state_dict as they do with a ModuleDict.
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(module_key(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(module_key(key), module)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(module_key(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(module_key(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> KeysView[str]:
        """The names as they were given."""
        return dict.fromkeys(map(name_behind, super().keys())).keys()

    def items(self) -> ItemsView[str, nn.Module]:
        """Pairs of name and module."""
        return dict(zip(self.keys(), self.values(), strict=True)).items()


def module_key(name: str) -> str:
    """What stands for a name in the state_dict; nearly always the name itself.

    Only names that torch cannot use, or that look like an escaped one, are escaped: `type`
    becomes `%type` and `a.b` becomes `%a%2Eb`. Different names have different keys.
    """
    if not (UNFIT.search(name) or hasattr(REFUSING, name)):
        return name
    return MARK + CODED.sub(lambda letter: f"{MARK}{ord(letter[0]):02X}", name)


def name_behind(key: str) -> str:
    """The name that a key of the state_dict stands for."""
    if not key.startswith(MARK):
        return key
    return re.sub(f"{MARK}([0-9A-F]{{2}})", lambda code: chr(int(code[1], 16)), key[1:])
