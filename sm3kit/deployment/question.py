"""What predictions are asked for: single images, a manifest, or a split of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.settings import refuse_unknown_owners
from sm3kit.core.variant import Variant
from sm3kit.data.cases import Case, Source, pool_names
from sm3kit.data.dropping import drops_of, without_images
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool, build_modality, source_prefix
from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import SPLITS, Dataset, Study, as_paths
from sm3kit.deployment.predictor import Predictor
from sm3kit.modalities.base import Modality
from sm3kit.runs.studies_seen import cases_trained_on, changed_cases


@dataclass(frozen=True)
class Question:
    """What a user asks for: `images`, a `manifest`, or `data`; one of the three.

    Attributes:
        images: {modality: file} of one study.
        manifest: a CSV file as the data set `manifest` reads it; its images are read as those
            that the classifier learned from.
        data: data sets, each `name` or `name:argument`, which say how their images are read.
        split: of the data; None takes all studies.
        rename: {modality of the run: what the data call it}.
        options: of data sets, laid over those of the run.
        drop: modalities whose images are left out; "0.5:clinic" of half of the studies.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    manifest: Path | None = None
    data: Sequence[str] = ()
    split: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drop: Sequence[str] = ()


@dataclass(frozen=True)
class StudyList:
    """The studies that one predictor is asked about.

    Attributes:
        cases: with images of modalities that it knows; ids are unique.
        blind: ids of studies without any such image.
        readers: {modality: how it is read} for each data set.
        ignored: modalities of the data that it does not know.
        sources: the data sets; none for single images.
    """

    cases: Sequence[Case]
    blind: Sequence[str]
    readers: Sequence[Mapping[str, Modality]]
    ignored: Sequence[str]
    sources: Sequence[Source] = ()


def find_studies(predictor: Predictor, question: Question) -> StudyList:
    """The studies of a question as a predictor sees them.

    Raises:
        SM3Error: data that cannot be opened, or that have no modality of the predictor.
    """
    if question.images:
        return _one_study(predictor, question.images)
    specs = [f"manifest:{question.manifest}"] if question.manifest else list(question.data)
    variant = predictor.variant
    specs = specs or list(variant.data)
    options = {} if question.manifest else {n: dict(v) for n, v in variant.options.items()}
    for owner, settings in question.options.items():
        options[owner] = {**options.get(owner, {}), **settings}
    datasets = [open_dataset(spec, options) for spec in specs]
    refuse_unknown_owners(
        question.options, "data set here", {spec.partition(":")[0] for spec in specs}
    )
    rename = dict(question.rename)
    if not (rename or question.manifest or question.data):
        rename = dict(variant.map)
    names = pool_names([list(dataset.modalities) for dataset in datasets], rename)
    sources = [
        Source(
            spec,
            dataset,
            {old: new for old, new in table.items() if new in predictor.modalities},
            list(table.values()),
        )
        for spec, dataset, table in zip(specs, datasets, names, strict=True)
    ]
    known = {name for source in sources for name in source.names.values()}
    every = list(dict.fromkeys(name for source in sources for name in source.every_name))
    if not known:
        raise DataError(
            f"{', '.join(specs)} has the modalities {', '.join(every)}, and the classifier needs "
            f"{', '.join(predictor.modalities)}. Rename one with --map."
        )
    cases, blind = _cases(sources, question, every)
    if not cases and not blind:
        where = f"The split {question.split} of {', '.join(specs)}" if question.split else specs[0]
        raise DataError(f"{where} has no study. Give another.")
    return StudyList(
        cases,
        blind,
        [_readers(predictor, source, bool(question.manifest), variant) for source in sources],
        [name for name in every if name not in predictor.modalities],
        sources,
    )


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Says so if an image is of a modality that nobody knows.

    Raises:
        VariantError: the name is unknown.
    """
    for name in names:
        if name not in known:
            raise VariantError(f"--image {name}=…: {unknown('modality', name, known)}")


def check_same_labels(first: Predictor, other: Predictor) -> None:
    """Says so if two classifiers have other labels, or other classes of them.

    Raises:
        VariantError: they do.
    """
    mine, theirs = ({label.name: label for label in p.file.labels} for p in (first, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if name not in mine or name not in theirs:
            lacking, having = (first, other) if name not in mine else (other, first)
            raise VariantError(
                f"Runs are averaged by label, and {having.run.folder} has {name}, which "
                f"{lacking.run.folder} does not. Give runs with the same labels."
            )
        if set(mine[name].classes) != set(theirs[name].classes):
            raise VariantError(
                f"Label {name} has the classes {', '.join(mine[name].classes)} in "
                f"{first.run.folder} and {', '.join(theirs[name].classes)} in "
                f"{other.run.folder}. Give runs with the same labels."
            )


def studies_seen_before(
    predictor: Predictor, studies: StudyList, question: Question, images: ImageCache
) -> dict[str, list[str]]:
    """Ids of the studies asked about that pre-training saw, and of those with other images.

    Returns:
        "seen", where a split is asked for that was not to be trained on, and "replaced".
    """
    record = predictor.run.studies()
    cases = {name: [case for case in studies.cases if case.study.split == name] for name in SPLITS}
    pool = Pool(studies.sources, predictor.modalities, studies.readers, (), cases, ())
    own = () if question.data else predictor.variant.splits
    held_out = [] if question.split in (None, "train", *own) else cases[str(question.split)]
    marked = {
        "seen": cases_trained_on(record, pool, held_out, images),
        "replaced": changed_cases(record, pool, pool.of(SPLITS), images),
    }
    return {name: [case.study.id for case in listed] for name, listed in marked.items()}


def _one_study(predictor: Predictor, images: Mapping[str, str]) -> StudyList:
    mine = {name: (path,) for name, path in images.items() if name in predictor.modalities}
    name = Path(next(iter(images.values()))).stem
    case = Case(Study(name, dict(images), {}, name, ""), 0, mine, (), 0)
    readers = [predictor.modalities]
    return StudyList([case], [], readers, []) if mine else StudyList([], [name], readers, [])


def _cases(
    sources: Sequence[Source], question: Question, known: Sequence[str]
) -> tuple[list[Case], list[str]]:
    """All studies with an image that the predictor knows, and the ids of those without.

    Args:
        known: the modalities of the data.

    Raises:
        VariantError: an unknown modality is to be dropped.
    """
    drops = drops_of(question.drop, known)
    cases: list[Case] = []
    blind: list[str] = []
    prefixes = [source_prefix(sources, number) for number in range(len(sources))]

    def name_of(case: Case) -> str:
        return f"{prefixes[case.source]}{case.study.id}"

    for number, source in enumerate(sources):
        for study in source.dataset.studies(question.split):
            images = source.images(study)
            paths = {n: as_paths(p) for n, p in study.images.items()}
            bare = Study(study.id, paths, {}, study.group, study.split)
            case = Case(bare, number, images, (), 0)
            if images:
                cases.append(case)
            else:
                blind.append(name_of(case))
    left = without_images(cases, drops, name_of)
    named = [replace(case, study=replace(case.study, id=name_of(case))) for case in left.cases]
    return named, [*blind, *left.empty]


def _readers(
    predictor: Predictor, source: Source, as_learned: bool, variant: Variant
) -> dict[str, Modality]:
    """How the images of a data set are read: as those of the classifier, or as the data set says."""
    if as_learned:
        return {name: predictor.modalities[name] for name in source.names.values()}
    dataset: Dataset = source.dataset
    readers = {}
    for own, name in source.names.items():
        size = predictor.file.readings[name].image_size
        reader = build_modality(name, dataset.modalities[own], size, variant.options)
        if reader.channels != predictor.modalities[name].channels:
            raise DataError(
                f"Modality {name!r} has {reader.channels} channels in {source.spec}, and the "
                f"classifier takes {predictor.modalities[name].channels}."
            )
        readers[name] = reader
    return readers
