"""A variant becomes objects: the only place where plugins are looked up for a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.clusterers.base import Clusterer
from sm3kit.core.errors import VariantError
from sm3kit.core.names import PLUGIN_FILE, unknown
from sm3kit.core.options import bind, options_of
from sm3kit.core.registry import registry
from sm3kit.core.settings import refuse_unknown_owners
from sm3kit.core.variant import PARTS, Variant
from sm3kit.data.pool import Pool, open_pool
from sm3kit.fusions.base import Fusion
from sm3kit.modalities.base import Modality
from sm3kit.networks.backbone import tried_backbone
from sm3kit.networks.branches import Branches
from sm3kit.networks.plugins_in_use import implied_objectives, plugin_names, plugins_in_use
from sm3kit.networks.teacher import Teacher
from sm3kit.nn.named_modules import NamedModules
from sm3kit.objectives.base import Objective, Teaching
from sm3kit.relations.base import Relation
from sm3kit.samplers.base import Sampler

Teachers = Mapping[str, Mapping[str, Teacher]]  # {objective: {modality: its teacher}}


@dataclass(frozen=True)
class Stage1:
    """The parts of a multi-modality pre-training.

    Attributes:
        branches: the backbones and the fusion.
        objectives: {objective: {modality: objective}}, for those that work within a modality.
        crossings: {objective: objective}, for those that work on the fusion's streams.
        teachers: of those that want one; they are no part of what is trained and kept.
    """

    branches: Branches
    objectives: Mapping[str, Mapping[str, Objective]]
    crossings: Mapping[str, Objective]
    teachers: Teachers = field(default_factory=dict)

    def teaching(self, objective: str, modality: str) -> Teaching:
        """What an objective that has a teacher was built for."""
        backbone = self.branches.backbones[modality]
        assert isinstance(backbone, Backbone)
        return self.teachers[objective][modality].teaching(backbone)

    def shows_maps(self, modality: str) -> bool:
        """Whether a teacher compares its last maps with those of the branch of a modality."""
        return any(self.teaching(objective, modality).maps for objective in self.teachers)


def fill_in(variant: Variant) -> Variant:
    """The variant with every option of its networks and losses spelt out, typed.

    Options of data sets and modalities are typed, but only those that were set: their defaults
    depend on the data.

    Raises:
        SM3Error: unknown names or options, or values of another type.
    """
    options = {owner: dict(values) for owner, values in variant.options.items()}
    for family, name in plugins_in_use(variant):
        if family == "datasets":
            continue
        component = registry(family).get(name)
        owner = f"{registry(family).kind.noun} {name!r}"
        defaults = {o.name: o.default for o in options_of(component).values()}
        # These are settings of the variant itself.
        for setting in ("weights", "image_size", "local_size"):
            defaults.pop(setting, None)
        options[name] = {**defaults, **bind(component, owner, options.get(name, {}))}
    for family in ("datasets", "modalities"):
        for name in registry(family).names():
            if name in options:
                owner = f"{registry(family).kind.noun} {name!r}"
                options[name] = bind(registry(family).get(name), owner, options[name])
    return dataclasses.replace(variant, options={n: v for n, v in options.items() if v})


def build_pool(variant: Variant) -> Pool:
    """The pool of studies that a variant names.

    Raises:
        OptionError: an option of something that is neither a plugin nor a modality of the data.
    """
    pool = open_pool(
        variant.data,
        image_size=lambda name: int(variant.of(name, "image_size")),
        only=variant.modality,
        rename=variant.map,
        options=variant.options,
        paired_geometry=variant.paired_geometry,
    )
    check_owners(variant.options, pool, *PARTS)
    for name in variant.per_modality:
        if name not in pool.modalities:
            raise VariantError(
                f"Settings of one modality: {unknown('modality', name, pool.modalities)}"
            )
    return pool


def check_owners(options: Mapping[str, Any], pool: Pool, *more: str) -> None:
    """Says so if options are of something that does not exist.

    Options of plugins that are not used are no mistake: a recipe may set them.

    Args:
        options: {plugin or modality: {option: value}}.
        pool: for the names of its modalities.
        more: what else has options on this command line, for the message.

    Raises:
        OptionError: neither a plugin nor a modality of the data.
    """
    known = plugin_names() | {name for source in pool.sources for name in source.every_name}
    refuse_unknown_owners(options, "plugin", known, more, PLUGIN_FILE)


def build_stage1(
    variant: Variant,
    modalities: Mapping[str, Modality],
    teachers: Teachers = MappingProxyType({}),
) -> Stage1:
    """The networks and losses of stage 1.

    Where the fusion gives streams and no objective works on them, the fusion's own default does.

    Args:
        variant: names and options.
        modalities: by name.
        teachers: of the objectives that want one; those that have none here are left out.

    Raises:
        SM3Error: unknown names or options, or choices that do not go together.
    """
    backbones = {
        name: tried_backbone(variant, name, modality) for name, modality in modalities.items()
    }
    widths = {name: backbone.width for name, backbone in backbones.items()}
    fusion = build_fusion(variant, widths)
    components = {name: registry("objectives").get(name) for name in variant.objective}
    within = [name for name, component in components.items() if component.on == "modality"]
    across = [name for name, component in components.items() if component.on == "streams"]
    if across and not fusion.default_objective:
        raise VariantError(
            f"Objective {across[0]!r} works on the streams of a fusion, and --fusion "
            f"{variant.fusion} gives none. Use --fusion sep_sep, or another."
        )
    across += implied_objectives(variant)
    if not within and not across:
        raise VariantError("There is nothing to learn from: give an --objective or a --fusion.")
    return Stage1(
        Branches(backbones, fusion, modalities, variant.machine.channels_last),
        {
            name: {
                modality: _build_within(
                    variant, name, backbone, teachers.get(name, {}).get(modality)
                )
                for modality, backbone in backbones.items()
            }
            for name in within
            if name in teachers or not components[name].wants_teacher
        },
        {name: build_plugin("objectives", name, variant.options, 0) for name in across},
        teachers,
    )


def _build_within(
    variant: Variant, name: str, backbone: Backbone, teacher: Teacher | None
) -> Objective:
    """An objective on the features of one modality."""
    teaching = [teacher.teaching(backbone)] if teacher else []
    objective: Objective = build_plugin(
        "objectives", name, variant.options, backbone.width, *teaching
    )
    return objective


def build_plugin(
    family: str, name: str, options: Mapping[str, Mapping[str, Any]], *arguments: Any
) -> Any:
    """A plugin by name, with those of the options {plugin: {option: value}} that are its own.

    Raises:
        SM3Error: no such plugin, or an option that it does not take.
    """
    component = registry(family).get(name)
    owner = f"{registry(family).kind.noun} {name!r}"
    return component(*arguments, **bind(component, owner, options.get(name, {})))


def build_fusion(variant: Variant, widths: Mapping[str, int]) -> Fusion:
    """The fusion over features of the given width per modality."""
    fusion: Fusion = build_plugin("fusions", variant.fusion, variant.options, widths)
    return fusion


def build_relation(variant: Variant, width: int, labels: int) -> Relation:
    """The relation between K labels on joint features of a width."""
    relation: Relation = build_plugin("relations", variant.relation, variant.options, width, labels)
    return relation


def build_clusterer(variant: Variant) -> Clusterer:
    """What makes the pseudo-labels."""
    clusterer: Clusterer = build_plugin("clusterers", variant.clusterer, variant.options)
    return clusterer


def build_sampler(variant: Variant) -> Sampler:
    """What draws the batches of a pre-training.

    Raises:
        VariantError: it draws by labels, which a pre-training must not see.
    """
    sampler: Sampler = build_plugin("samplers", variant.sampler, variant.options)
    if sampler.on == "labels":
        raise VariantError(
            f"--sampler {variant.sampler} draws by labels, and pre-training uses none. Use it in "
            "sm3kit evaluate, and here a sampler that draws by clusters, or leave it out."
        )
    return sampler


def modules(parts: Stage1) -> nn.ModuleDict:
    """All networks of stage 1 under the names that checkpoints use."""
    return nn.ModuleDict(
        {
            "backbones": parts.branches.backbones,
            "objectives": NamedModules(
                {name: NamedModules(own) for name, own in parts.objectives.items()}
            ),
            "fusion": parts.branches.fusion,
            "crossings": NamedModules(parts.crossings),
        }
    )
