"""Which choices of an evaluation do not go together, whatever the run and the data are."""

from __future__ import annotations

from sm3kit.core.errors import VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.evaluation.command import setting_words
from sm3kit.evaluation.settings import (
    OF_NETWORKS,
    PLUGINS,
    PROTOCOLS,
    UNUSED,
    Settings,
    settings_of,
)

# Who asks for one of these expects another result; numbers that go unused do no harm.
OF_MISSING = ("missing", "modality_dropout")
DECISIVE = (
    *(*PLUGINS, "members", "subsets", *OF_NETWORKS, "threshold", "calibration"),
    *OF_MISSING,
)
USUAL = Settings()


def check_evaluation(variant: Variant) -> None:
    """Says so before a training if its recipe asks for an evaluation that does not exist.

    Raises:
        VariantError, OptionError: an unknown protocol or setting, or a value that does not fit.
    """
    for protocol in PROTOCOLS:
        settings_of(variant, protocol, {}, relation=True)  # type: ignore[arg-type]


def check_choices(settings: Settings) -> None:
    """Refuses choices that cannot work, or of which one has no effect.

    Raises:
        VariantError: a decisive setting that the protocol does not look at, a classifier that it
            cannot train, or a loss, a sampler or members for what is fitted at once.
    """
    if settings.protocol not in ("probe", "finetune"):
        without = f"--protocol {settings.protocol}"
        _check_effect(settings, UNUSED[settings.protocol], without, "--protocol probe or finetune")
        if settings.missing == "token":
            raise VariantError(
                f"--missing token is learned with the labels, and {without} trains nothing. Use "
                "--missing complete or mean, or --protocol probe."
            )
        return
    name = settings.classifier
    component = registry("classifiers").get(name)
    if settings.protocol == "probe" and (component.wants_maps or component.wants_views):
        raise VariantError(
            f"--classifier {name} needs feature maps or images, and a probe has features alone. "
            "Use --protocol finetune, or another --classifier."
        )
    if component.on != "joint":
        own = f"--classifier {name}, which has its own rule for a missing modality"
        _check_effect(settings, OF_MISSING, own, "--classifier linear or logistic")
    if learns_in_steps(settings):
        return
    if settings.missing == "token":
        raise VariantError(
            f"--missing token is learned in steps, and --classifier {name} is fitted at once. Use "
            "--missing complete or mean, or --classifier linear."
        )
    if settings.protocol == "finetune":
        raise VariantError(
            f"--classifier {name} is fitted to frozen features, which --protocol finetune has none "
            "of. Use --protocol probe, or --classifier linear."
        )
    if settings.members > 1 and settings.subsets == "seeds":
        raise VariantError(
            f"--members {settings.members}: --classifier {name} does not depend on a seed, so all "
            "members would be the same. Add -o evaluate.subsets=balanced."
        )
    without = f"--classifier {name}, which is fitted at once"
    unused = ("loss", "sampler", "modality_dropout")
    _check_effect(settings, unused, without, "another --classifier")


def learns_in_steps(settings: Settings) -> bool:
    """Whether an evaluation trains a classifier in steps, in which a token can learn, too."""
    if settings.protocol not in ("probe", "finetune"):
        return False
    learns: str = registry("classifiers").get(settings.classifier).learns
    return learns != "fit"


def _check_effect(settings: Settings, unused: tuple[str, ...], without: str, remedy: str) -> None:
    for name in DECISIVE:
        value = getattr(settings, name)
        if name in unused and value != getattr(USUAL, name):
            words = " ".join(setting_words(name, value))
            raise VariantError(
                f"{words} has no effect on {without}. Leave it out, or use {remedy}."
            )
