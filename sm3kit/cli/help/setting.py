"""Options that set a part of a variant or of an evaluation, with the defaults of these."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import click

from sm3kit.cli import completion
from sm3kit.cli.help.option import Option, option, written
from sm3kit.cli.option_types import Number
from sm3kit.core import options as core_options
from sm3kit.core.options import fields_of
from sm3kit.core.stage_settings import MachineSettings
from sm3kit.core.variant import PARTS, Variant
from sm3kit.evaluation.settings import DEFAULTS, Settings

F = TypeVar("F", bound=Callable[..., Any])


class VariantOption(Option):
    """An option that sets a part of the variant; its default comes from the recipe."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        from sm3kit.runs.recipes import FLAGS

        names, *_ = args
        name = max(names, key=len).lstrip("-").replace("-", "_")
        self.setting = FLAGS.get(name, name)
        own = "type" in attributes or attributes.get("is_flag")
        if not own and (kind := type_of(_field(self.setting))):
            attributes["type"] = kind
        super().__init__(*args, **attributes)

    def note(self) -> str:
        """What each of the recipes says that are taken where none is named."""
        if self.default_text:
            return super().note()
        values = {name: written(variant.at(self.setting)) for name, variant in bases().items()}
        if len(set(values.values())) == 1:
            return f"default: {next(iter(values.values()))}"
        pairs = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"from the recipe: {pairs}"


class EvaluationOption(Option):
    """An option that sets a part of an evaluation; its default may depend on the protocol."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        names, *_ = args
        self.setting = max(names, key=len).lstrip("-").replace("-", "_")
        if kind := type_of(fields_of(Settings)[self.setting]):
            attributes.setdefault("type", kind)
        super().__init__(*args, **attributes)

    def note(self) -> str:
        """The default, and those of protocols and recipes that have another."""
        if self.default_text:
            return super().note()
        default = written(fields_of(Settings)[self.setting].default)
        others = self._of_protocols(DEFAULTS)
        recipes = [
            f"recipe {name}: {values}"
            for name, variant in bases().items()
            if (values := self._of_protocols(variant.evaluate))
        ]
        return "; ".join([f"default: {default}", *([others] if others else []), *recipes])

    def _of_protocols(self, changes: Mapping[str, Mapping[str, Any]]) -> str:
        """The values of the protocols that have their own."""
        return ", ".join(
            f"{protocol} {written(settings[self.setting])}"
            for protocol, settings in changes.items()
            if self.setting in settings
        )


def variant_option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that sets a part of the variant, named as the flag says."""
    return option(*names, cls=VariantOption, **attributes)


def plugin_name_option(*names: str, family: str, **attributes: Any) -> Callable[[F], F]:
    """An option of a variant that takes the name of a plugin of one family."""
    complete = completion.plugin_names(family)
    return variant_option(*names, metavar="NAME", shell_complete=complete, **attributes)


def weak_option(command: F) -> F:
    """--weak, which takes a table, or a word for what the data set offers."""
    return variant_option(
        "--weak",
        metavar="TABLE.csv|data",
        shell_complete=completion.weak_labels,
        default_text="none",
        help="Weak labels that guide the clusters of stage 2: a table with columns id and "
        "LABEL:CLASS, or data for scores of the data set.",
    )(command)


def evaluation_option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that sets a part of the evaluation, named as the flag says."""
    return option(*names, cls=EvaluationOption, **attributes)


def evaluation_plugin_option(*names: str, family: str, **attributes: Any) -> Callable[[F], F]:
    """An option of an evaluation that takes the name of a plugin of one family."""
    complete = completion.plugin_names(family)
    return evaluation_option(*names, metavar="NAME", shell_complete=complete, **attributes)


def machine_option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that sets what computes, where no variant does."""
    field = fields_of(MachineSettings)[max(names, key=len).lstrip("-").replace("-", "_")]
    return option(*names, type=type_of(field), default=field.default, **attributes)


@functools.cache
def bases() -> dict[str, Variant]:
    """{recipe: its variant} of the recipes that are taken where none is named."""
    from sm3kit.runs.recipes import DEFAULT_BASES, Layer, resolve

    return {name: resolve(Layer({"recipe": name}))[0] for name in DEFAULT_BASES}


def type_of(field: core_options.Option) -> click.ParamType[Any] | None:
    """The type of values of a setting; None if it is a text."""
    if typing.get_origin(field.type) is Literal:
        return click.Choice(typing.get_args(field.type))
    return None if field.type is str or _is_list(field.type) else Number(field.type)


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) in (tuple, dict)


def _field(address: str) -> core_options.Option:
    """The field of a variant, or of one of its parts."""
    part, _, name = address.rpartition(".")
    record: Any = fields_of(Variant)[part].type if part in PARTS else Variant
    return fields_of(record)[name]
