"""Several data sets become one pool of studies, by modality name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import unknown
from sm3kit.core.options import bind, options_of
from sm3kit.core.registry import registry
from sm3kit.data.cases import Case, Source, paired_frames, pool_names
from sm3kit.data.specs import Options, open_dataset
from sm3kit.datasets.base import SPLITS, UNKNOWN, Dataset, LabelSpec, ModalitySpec, file_names

if TYPE_CHECKING:
    # Grids open data sets without torch.
    from sm3kit.modalities.base import Modality


@dataclass(frozen=True)
class Pool:
    """All studies of a run.

    Attributes:
        sources: the data sets.
        modalities: {modality: how it is normalised and viewed}, from the first data set with it.
        readers: {modality: how it is read} for each data set.
        labels: the labels of all data sets; with several, named `dataset/label`, or `dataset2/label`.
        cases: {split: cases}.
        frames: {modality: frame} for each data set, of those whose views share their geometry.
    """

    sources: Sequence[Source]
    modalities: Mapping[str, Modality]
    readers: Sequence[Mapping[str, Modality]]
    labels: Sequence[LabelSpec]
    cases: Mapping[str, Sequence[Case]]
    frames: Sequence[Mapping[str, str]]

    def of(self, splits: Sequence[str]) -> list[Case]:
        """The cases of some splits, in order."""
        return [case for split in SPLITS if split in splits for case in self.cases[split]]

    def listing_hash(self) -> str:
        """A hash of everything that the data sets list: ids, file names, labels, groups, splits."""
        rows = [
            [
                self.sources[case.source].spec.partition(":")[0],
                case.study.id,
                {name: file_names(paths) for name, paths in sorted(case.images.items())},
                list(case.labels),
                case.study.group,
                split,
            ]
            for split in SPLITS
            for case in self.cases[split]
        ]
        return hashlib.blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()


def source_prefix(sources: Sequence[Source], number: int) -> str:
    """What the names of a data set begin with in a pool of several: the second manifest is manifest2."""
    if len(sources) == 1:
        return ""
    names = [source.spec.partition(":")[0] for source in sources]
    before = names[:number].count(names[number])
    return f"{names[number]}{before + 1 if before else ''}/"


def case_id(pool: Pool, case: Case) -> str:
    """The id of a study, which names its data set where a pool has several."""
    return f"{source_prefix(pool.sources, case.source)}{case.study.id}"


def open_pool(
    specs: Sequence[str],
    *,
    image_size: Callable[[str], int],
    only: Sequence[str] = (),
    among: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    options: Options | None = None,
    paired_geometry: bool = False,
) -> Pool:
    """Pools data sets.

    Args:
        specs: data sets, each `name` or `name:argument`.
        image_size: gives S of the views of a modality, in pixels.
        only: modalities to use; empty takes all.
        among: modalities to use if the data have them; empty takes all.
        rename: {name in the pool: name in the data}; see `pool_names`.
        options: {plugin or modality: {option: value}}.
        paired_geometry: registered modalities of a study are cropped, flipped and turned alike.

    Raises:
        SM3Error: unknown names or options, no studies, or modalities that do not fit together.
    """
    options = options or {}
    datasets = [open_dataset(spec, options) for spec in specs]
    names = pool_names([list(dataset.modalities) for dataset in datasets], rename or {})
    known = list(dict.fromkeys(name for table in names for name in table.values()))
    for name in only:
        if name not in known:
            raise VariantError(unknown("modality", name, known))
    chosen = [n for n in known if (not only or n in only) and (not among or n in among)]
    if not chosen:
        raise DataError(
            f"{', '.join(specs)} has the modalities {', '.join(known)}, and none of "
            f"{', '.join(among)}. Rename one with --map."
        )
    _check_names(chosen)
    sources = [
        Source(
            spec,
            dataset,
            {old: new for old, new in table.items() if new in chosen},
            list(table.values()),
        )
        for spec, dataset, table in zip(specs, datasets, names, strict=True)
    ]
    readers = [_readers(source, image_size, options) for source in sources]
    modalities = {name: next(table[name] for table in readers if name in table) for name in chosen}
    _same_shape(modalities, sources, readers)
    labels, offsets = _labels(sources)
    cases = {split: _cases(sources, labels, offsets, split) for split in SPLITS}
    if not any(cases.values()):
        raise DataError(f"No study in {', '.join(specs)} has an image of {', '.join(chosen)}.")
    frames = paired_frames(sources, modalities) if paired_geometry else [{} for _ in sources]
    return Pool(sources, modalities, readers, labels, cases, frames)


def _check_names(modalities: Sequence[str]) -> None:
    """Refuses names of other plugins: `-o NAME.…` would mean both.

    Raises:
        VariantError: a modality is called as a plugin that is no modality.
    """
    for family, kind in KINDS.items():
        for name in modalities if family != "modalities" else ():
            if name in registry(family).names():
                raise VariantError(
                    f"The modality {name!r} has the name of the {kind.noun} {name!r}, and -o "
                    f"{name}.… would be ambiguous. Rename it: --map {name}-image={name}"
                )


def build_modality(name: str, spec: ModalitySpec, image_size: int, options: Options) -> Modality:
    """The modality object for a name: what the data set says, then the user's options.

    Options may be given for the plugin or, stronger, for the modality by its name.
    """
    component = registry("modalities").get(spec.plugin)
    owner = f"modality {spec.plugin!r}"
    settings = {**spec.options, **options.get(spec.plugin, {}), **options.get(name, {})}
    modality: Modality = component(image_size, **bind(component, owner, settings))
    return modality


def _readers(
    source: Source, image_size: Callable[[str], int], options: Options
) -> dict[str, Modality]:
    return {
        new: build_modality(new, source.dataset.modalities[old], image_size(new), options)
        for old, new in source.names.items()
    }


def _same_shape(
    modalities: Mapping[str, Modality],
    sources: Sequence[Source],
    readers: Sequence[Mapping[str, Modality]],
) -> None:
    for source, table in zip(sources, readers, strict=True):
        for name, reader in table.items():
            wanted = modalities[name].shape
            if reader.channels != wanted[0]:
                raise DataError(
                    f"Modality {name!r} has {reader.channels} channels in {source.spec} but "
                    f"{wanted[0]} elsewhere. Rename one with --map."
                )
            if reader.shape != wanted:
                raise DataError(
                    f"Modality {name!r} has views of {reader.shape} in {source.spec} but of "
                    f"{wanted} elsewhere. Rename one with --map."
                )


def _labels(sources: Sequence[Source]) -> tuple[list[LabelSpec], list[int]]:
    labels: list[LabelSpec] = []
    offsets: list[int] = []
    for number, source in enumerate(sources):
        offsets.append(len(labels))
        prefix = source_prefix(sources, number)
        labels += [
            LabelSpec(prefix + label.name, label.classes, label.reported)
            for label in source.dataset.labels
        ]
    return labels, offsets


def _cases(
    sources: Sequence[Source], labels: Sequence[LabelSpec], offsets: Sequence[int], split: str
) -> list[Case]:
    cases: list[Case] = []
    for index, source in enumerate(sources):
        for study in source.dataset.studies(split):
            images = source.images(study)
            if not images:
                continue
            values = [UNKNOWN] * len(labels)
            for position, label in enumerate(source.dataset.labels):
                values[offsets[index] + position] = study.labels.get(label.name, UNKNOWN)
            code = hashlib.blake2b(f"{index}/{study.group}".encode(), digest_size=7).digest()
            cases.append(Case(study, index, images, tuple(values), int.from_bytes(code, "big")))
    return cases


def whole_image_readers(dataset: Dataset, options: Options) -> dict[str, Modality]:
    """Readers {modality: modality} that do not scale images down, where the plugin can."""
    readers = {}
    for name, spec in dataset.modalities.items():
        component = registry("modalities").get(spec.plugin)
        whole = {"reduce": False} if "reduce" in options_of(component) else {}
        whole_spec = ModalitySpec(spec.plugin, {**spec.options, **whole})
        readers[name] = build_modality(name, whole_spec, 224, options)
    return readers
