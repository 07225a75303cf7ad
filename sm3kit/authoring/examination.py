"""A verdict on an installed plugin, law by law."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm3kit.core.installed import Declaration
from sm3kit.core.options import bind
from sm3kit.core.registry import registry
from sm3kit.testing import (
    backbones,
    classifier_trial,
    classifiers,
    clusterers,
    datasets,
    fusions,
    losses,
    modalities,
    objectives,
    relations,
    samplers,
)
from sm3kit.testing.every_plugin import DOCUMENTATION, INSTALLATION, InstalledTrial
from sm3kit.testing.law import Laws, Verdict


@dataclass(frozen=True)
class TrialInput:
    """What the user gives to try a plugin on.

    Attributes:
        model: of a backbone.
        image: for a modality.
        argument: of a data set.
        options: of the plugin, text or typed.
    """

    model: str = ""
    image: str = ""
    argument: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Examination:
    """What came out for one declaration of a plugin."""

    family: str
    declaration: Declaration
    verdicts: list[Verdict]

    @property
    def fine(self) -> bool:
        """Whether no law failed."""
        return all(verdict.outcome != "FAILED" for verdict in self.verdicts)


class NoExample(Exception):
    """There is nothing to try a plugin on; says what to give."""


def examine(
    family: str, declaration: Declaration, material: TrialInput, folder: Path
) -> Examination:
    """Tries all laws on a plugin.

    Args:
        family: its family.
        declaration: the plugin.
        material: what to try it on; without it, what its own `example()` writes.
        folder: an empty folder for that.

    Raises:
        OptionError: it has no such option.
    """
    trial = InstalledTrial(family, declaration)
    verdicts = INSTALLATION.judge(trial)
    if any(
        verdict.law in ("name", "import") and verdict.outcome == "FAILED" for verdict in verdicts
    ):
        return Examination(family, declaration, verdicts)
    component = registry(family).load(declaration.name)
    verdicts += DOCUMENTATION.judge(component)
    options = bind(
        component, f"{registry(family).kind.noun} {declaration.name!r}", material.options
    )
    laws, trial_of = FAMILIES[family]
    try:
        whole = trial_of(declaration.name, component, material, options, folder)
    except NoExample as reason:
        verdicts += [Verdict(law.name, "not tried", str(reason)) for law in laws.all]
    except Exception as error:
        sentence = f"Its example() raises {type(error).__name__}: {error}"
        verdicts.append(Verdict("example", "FAILED", sentence))
    else:
        verdicts += laws.judge(whole)
    return Examination(family, declaration, verdicts)


TrialOf = Callable[[str, Any, TrialInput, dict[str, Any], Path], Any]


def _backbone(name: str, component: Any, material: TrialInput, options: Any, folder: Path) -> Any:
    model = material.model or _example(component, "name a small model of it with --model MODEL")
    return backbones.BackboneTrial(component, model, options=options)


def _modality(name: str, component: Any, material: TrialInput, options: Any, folder: Path) -> Any:
    image = material.image or _example(component, "give an image with --image FILE", folder)
    return modalities.ModalityTrial(component, image, options)


def _dataset(name: str, component: Any, material: TrialInput, options: Any, folder: Path) -> Any:
    remedy = "give the text after the colon with --argument TEXT"
    return datasets.DatasetTrial(
        component, material.argument or _example(component, remedy, folder), options
    )


def _example(component: Any, remedy: str, *folder: Path) -> str:
    """What the class itself gives, or writes into a folder, to be tried on."""
    try:
        return str(component.example(*folder))
    except (NotImplementedError, AttributeError) as error:
        if isinstance(error, AttributeError) and hasattr(component, "example"):
            raise
        raise NoExample(f"it has no example(); {remedy}") from error


def _bare(trial: Callable[[Any, Mapping[str, Any]], Any]) -> TrialOf:
    """The trial of a family that needs nothing but the class and its options."""
    return lambda name, component, material, options, folder: trial(component, options)


FAMILIES: dict[str, tuple[Laws[Any], TrialOf]] = {
    "backbones": (backbones.LAWS, _backbone),
    "objectives": (objectives.LAWS, _bare(objectives.ObjectiveTrial)),
    "fusions": (fusions.LAWS, _bare(fusions.FusionTrial)),
    "clusterers": (clusterers.LAWS, _bare(clusterers.ClustererTrial)),
    "relations": (relations.LAWS, _bare(relations.RelationTrial)),
    "classifiers": (classifiers.LAWS, _bare(classifier_trial.ClassifierTrial)),
    "losses": (losses.LAWS, _bare(losses.LossTrial)),
    "samplers": (samplers.LAWS, _bare(samplers.SamplerTrial)),
    "modalities": (modalities.LAWS, _modality),
    "datasets": (datasets.LAWS, _dataset),
}


def find_plugins(name: str, family: str = "") -> list[tuple[str, Declaration]]:
    """The declarations of a name in a family, or in all that have it.

    Raises:
        BrokenPlugin: a single file with plugins cannot be imported.
    """
    return [
        (member, declaration)
        for member in FAMILIES
        if family in ("", member)
        for declaration in registry(member).declarations(name or None)
    ]
