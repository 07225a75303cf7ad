"""What a pre-training begins with: its studies, what they suggest, and losses that go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.text import in_units
from sm3kit.core.variant import FUSION_OF_ONE, Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.cases import Case, shares
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.data.raw_images import in_batches
from sm3kit.data.viewing import change_views, spec_of
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import fill_in
from sm3kit.networks.backbone import provider_and_model
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.networks.plugins_in_use import rotating_objective, takers_of_local_views
from sm3kit.nn.clustering.weak_targets import WeakTargets
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import ModelFacts
from sm3kit.training.fitting import Training
from sm3kit.training.observing.loggers import Logs
from sm3kit.training.processes.world import World, alone


@dataclass(frozen=True)
class Setup:
    """What all stages of one pre-training share.

    Attributes:
        run: the run folder.
        variant: what to train, resolved.
        pool: all studies.
        cases: the studies to train on.
        images: where decoded images are kept.
        features: where features are kept.
        reporter: where progress is shown.
        data_hash: of the data listing.
        workers: processes that prepare views.
        deadline: when it has to stop, on the clock `time.monotonic`; None is never.
        logs: for other programs; None without any, and in all processes but the first.
        weak: {label: what scores say of it}; see `open_weak_labels`.
        world: the processes that train together.
    """

    run: RunFolder
    variant: Variant
    pool: Pool
    cases: list[Case]
    images: ImageCache
    features: FeatureCache
    reporter: Reporter
    data_hash: str
    workers: int
    deadline: float | None = None
    logs: Logs | None = None
    weak: Mapping[str, WeakTargets] = field(default_factory=dict)
    world: World = field(default_factory=alone)

    @property
    def views(self) -> StudyViews:
        """The studies to train on, as views."""
        return self._views()

    @property
    def views_of_stage1(self) -> StudyViews:
        """The studies to train on, as images where their views are made where it trains."""
        return self._views(raw=in_batches(self.pool, self.variant))

    def _views(self, raw: Sequence[str] = ()) -> StudyViews:
        rotated, seed = bool(rotating_objective(self.variant)), self.variant.seed
        kinds = {"rotated": rotated, "local": not rotated}
        return StudyViews(self.pool, self.cases, self.images, seed, raw=raw, **kinds)

    def training(self, precision: str = "32-true") -> Training:
        """The training of a stage; see `Training`."""
        command = self.run.resume_command
        return Training(
            self.run,
            self.reporter,
            self.data_hash,
            command,
            self.world,
            precision,
            self.deadline,
            self.logs,
        )

    def facts(self, stage: str, epochs: int, labels: Mapping[str, int] | None = None) -> ModelFacts:
        """What the model of a stage says of itself after its last epoch; see `ModelFacts`."""
        channels = {name: plugin.channels for name, plugin in self.pool.modalities.items()}
        return ModelFacts(stage, epochs, self.variant, self.data_hash, channels, labels or {})

    def read_images(self) -> None:
        """Decodes all images that the training will read, so that bad ones are found now."""
        items = [
            (path, self.pool.readers[case.source][name])
            for case in self.pool.of(list(dict.fromkeys([*self.variant.splits, "val"])))
            for name, paths in case.images.items()
            for path in paths
        ]
        with self.reporter:
            task = self.reporter.task("reading images", len(items))
            filled = self.images.fill(items, progress=partial(self.reporter.reach, task))
        limit = self.images.limit
        if self.images.root is not None and filled.bytes > limit:
            self.reporter.warn(
                f"The decoded images take {in_units(filled.bytes)}, more than the cache "
                f"keeps ({in_units(limit)}): they will be decoded in every epoch. Set "
                "SM3KIT_CACHE_LIMIT to more GiB."
            )


def apply_suggestions(variant: Variant, pool: Pool) -> tuple[Variant, Pool, list[str]]:
    """The variant with all that is suggested in its settings and options, and its pool.

    Modalities suggest a backbone and the options that were fitted to their data; weights suggest
    how pixels are normalised.

    Returns:
        Variant, pool, and a sentence on each change that a user should know of.
    """
    variant = _suggest_by_modalities(variant, pool.modalities)
    options = _suggest_by_weights(variant, pool)
    if not options:
        return variant, pool, []
    variant = variant.changed({"options": options}, "weights")
    note = f"Pixels of {', '.join(options)} are normalised as in the training of their weights."
    return variant, change_views(pool, variant, {}), [note]


def _suggest_by_modalities(variant: Variant, modalities: Mapping[str, Modality]) -> Variant:
    """The variant with what its data said: backbones of modalities, options fitted to them."""
    own = {
        name: {"backbone": modality.backbone, **variant.per_modality.get(name, {})}
        for name, modality in modalities.items()
        if modality.backbone
    }
    fitted = {
        name: dict(modality.fitted) for name, modality in modalities.items() if modality.fitted
    }
    changes = {"per_modality": own, "options": fitted}
    return fill_in(variant.changed(changes, "modalities")) if own or fitted else variant


def _suggest_by_weights(variant: Variant, pool: Pool) -> dict[str, dict[str, Any]]:
    """`mean` and `std` of each modality that nobody normalises, as its weights want them."""
    own: dict[str, dict[str, Any]] = {}
    for name, modality in pool.modalities.items():
        spec = spec_of(pool, name)
        known = options_of(registry("modalities").get(spec.plugin))
        said = {**spec.options, **variant.options.get(spec.plugin, {})}
        said |= variant.options.get(name, {})
        if not {"mean", "std"} <= known.keys() or {"mean", "std"} & said.keys():
            continue
        provider, model = provider_and_model(variant, name)
        component = registry("backbones").get(provider)
        chosen = {"weights": variant.of(name, "weights"), **variant.options.get(provider, {})}
        wanted = component.normalisation(model, str(chosen["weights"]))
        if wanted is not None:
            mean, std = (_for_channels(values, modality.channels) for values in wanted)
            own[name] = {"mean": list(mean), "std": list(std)}  # As the record keeps them.
    return own


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value per channel; their mean, where there are more or fewer channels than values."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def training_cases(pool: Pool, variant: Variant) -> list[Case]:
    """The cases to train on, if they and the variant can be trained at all.

    Raises:
        DataError, VariantError: there are too few studies, too few modalities for the fusion, or
            images that an objective cannot turn, or local views that none takes.
    """
    cases = pool.of(variant.splits)
    names = list(pool.modalities)
    _check_rotations(pool, variant)
    _check_local_views(pool, variant)
    if len(cases) < 2 * variant.machine.devices * variant.machine.num_nodes:
        raise DataError(
            f"The split {'+'.join(variant.splits)} of {', '.join(variant.data)} has {len(cases)} "
            "studies to train on; at least two per process are needed."
        )
    fused = registry("fusions").get(variant.fusion).default_objective
    if fused and len(names) > 1 and not any(len(case.images) > 1 for case in cases):
        have = ", ".join(f"{count} with {name}" for name, count in shares(cases, names).items())
        raise DataError(
            f"No study has images of two modalities ({have}), and --fusion {variant.fusion} works "
            f"on pairs. Check the ids of your data, or use --fusion {FUSION_OF_ONE}."
        )
    if fused and len(names) == 1:
        raise VariantError(
            f"--fusion {variant.fusion} needs two modalities, and there is only {names[0]}. "
            f"Use --fusion {FUSION_OF_ONE}."
        )
    return cases


def _check_rotations(pool: Pool, variant: Variant) -> None:
    objective = rotating_objective(variant)
    fixed = [name for name, modality in pool.modalities.items() if not modality.rotatable]
    if objective and fixed and variant.stage != "mlssl":
        plugins = ", ".join(f"{name} ({spec_of(pool, name).plugin})" for name in fixed)
        raise VariantError(
            f"The objective {objective!r} rotates images by 90 degrees, which those of {plugins} do "
            "not allow. Leave them out with --modality, or use another objective."
        )


def _check_local_views(pool: Pool, variant: Variant) -> None:
    local = [name for name, modality in pool.modalities.items() if modality.local_views]
    if not local or variant.stage == "mlssl":
        return
    rotating = rotating_objective(variant)
    if rotating:
        raise VariantError(
            f"The objective {rotating!r} rotates images by 90 degrees, and {local[0]} has local "
            "views, which are not rotated. Leave local_views out, or use another objective."
        )
    if not takers_of_local_views(variant.objective):
        raise VariantError(
            f"{local[0]} has local views, and no objective of this run takes any; these do: "
            f"{', '.join(takers_of_local_views())}. Leave local_views out, or use one of these with "
            "--objective."
        )


def view_counts(setup: Setup) -> dict[str, int]:
    """{modality: number V of its views}, as the first study with each has them."""
    counts: dict[str, int] = {}
    for index, case in enumerate(setup.cases):
        if not case.images.keys() <= counts.keys():
            shown = setup.views[0, index].views
            counts |= {name: len(views) for name, views in shown.items()}
        if counts.keys() == setup.pool.modalities.keys():
            break
    return counts
