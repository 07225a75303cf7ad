"""A pre-training from the words of a user: settings are resolved, checked, and carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sm3kit.core.errors import VariantError
from sm3kit.core.variant import PER_MODALITY, Variant, table_of
from sm3kit.evaluation.settings import check_evaluation
from sm3kit.python.calls import (
    File,
    RunLike,
    Words,
    addressed,
    check_keywords,
    folder_of,
    surroundings,
    words,
)
from sm3kit.python.surroundings import Surroundings
from sm3kit.results.pretraining_table import TITLE, rank_lines
from sm3kit.runs import recipes
from sm3kit.runs.folder import RunFolder, free_folder
from sm3kit.runs.recipes import Layer
from sm3kit.runs.resumption import variant_to_resume
from sm3kit.training import pretrain as training
from sm3kit.training.hardware import base_for_own_data
from sm3kit.training.outline import Outline
from sm3kit.training.pretrain import Outcome
from sm3kit.training.world import join_world

if TYPE_CHECKING:
    from sm3kit.python.run import Run


@dataclass(frozen=True)
class Request:
    """A pre-training that was asked for, with all of its settings.

    Attributes:
        variant: what to train.
        folder: the run folder.
        why: where the settings come from, in a clause.
        resume: whether the run in the folder is continued.
        speaks: whether this process, of several, reports to the user.
    """

    variant: Variant
    folder: Path
    why: str
    resume: bool
    speaks: bool


def layer(
    words: Mapping[str, Any], options: Iterable[tuple[str, Any]] = (), source: str = "command line"
) -> Layer:
    """The settings that a user asks for.

    Args:
        words: {option of `sm3kit pretrain`: value}, with underscores; None and () ask for nothing.
            One that may differ between modalities takes {modality: value} as well; "" is all.
        options: (address, value) of other settings.
        source: where they come from, for messages.
    """
    settings: list[tuple[str, Any]] = []
    table: dict[str, dict[str, Any]] = {}
    for name, value in words.items():
        if value is None or value == ():
            continue  # 0 is a value.
        if name in PER_MODALITY and isinstance(value, Mapping):
            settings += [(name, value[""])] if "" in value else []
            for modality in filter(None, value):
                table.setdefault(modality, {})[name] = value[modality]
        else:
            settings.append((recipes.FLAGS.get(name, name), value))
    settings += [("per_modality", table)] if table else []
    return Layer(table_of([*settings, *options]), source)


def request(asked: Layer, out: Path | None = None, *, resume: bool = False) -> Request:
    """What a user asks for, checked as far as it can be without looking at the data.

    Args:
        asked: the settings.
        out: the run folder; None takes a new one under runs/.
        resume: continue the run in it.

    Raises:
        SM3Error: unknown or contradictory settings, or no run to resume.
    """
    variant, why = recipes.resolve(asked, own_data=base_for_own_data())
    if resume:
        out = _run_to_resume(out)
        variant = variant_to_resume(RunFolder(out), asked, variant)
        why = f"the run in {out}"
    world = join_world(variant.machine.devices, variant.machine.num_nodes)
    folder = out or world.folder or free_folder(variant)
    check_evaluation(variant)
    return Request(variant, folder, why, resume, world.is_first)


def carry_out(request: Request, surroundings: Surroundings) -> Outcome:
    """Trains what was asked for, and says how it goes.

    Raises:
        SM3Error: choices or data that do not work, before anything is trained or overwritten.
        Interrupted: the user stopped it; the run can be resumed.
    """
    images, features, reporter = surroundings.images, surroundings.features, surroundings.reporter
    outcome = training.pretrain(
        request.variant, request.folder, reporter, images, request.resume, features, request.why
    )
    for number, line in enumerate(rank_lines(outcome.ranks)):
        if number == 0:
            reporter.say(f"matched  {TITLE}")
        reporter.say(line)
    return outcome


def outline_of(request: Request, surroundings: Surroundings) -> Outline:
    """What `carry_out` would do; nothing is written, and no weights are fetched.

    Raises:
        SM3Error: choices or data that do not work.
    """
    images, features, reporter = surroundings.images, surroundings.features, surroundings.reporter
    return training.outline(
        request.variant, request.folder, reporter, images, request.resume, features, request.why
    )


def match_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """A row for each split, space and direction in which images were matched."""
    return [
        {"split": split, "space": space, "direction": direction, "mean_rank": rank, "of": pairs}
        for split, spaces in outcome.ranks.items()
        for space, ranks in spaces.items()
        for direction, (rank, pairs) in ranks.items()
    ]


def _run_to_resume(out: Path | None) -> Path:
    if out is None:
        raise VariantError("--resume needs to know which run: add --out RUN.")
    if not (out / "variant.yaml").is_file():
        raise VariantError(
            f"--out {out} holds no run to resume: there is no variant.yaml in it. "
            "Check the folder, or leave --resume out to start over."
        )
    return out


@check_keywords
def pretrain(
    data: Words | None = None,
    *,
    recipe: Words | None = None,
    objective: Words | None = None,
    fusion: str | None = None,
    backbone: str | Mapping[str, str] | None = None,
    weights: str | Mapping[str, str] | None = None,
    modality: Words | None = None,
    map: Mapping[str, str] | None = None,
    image_size: int | Mapping[str, int] | None = None,
    stage: Literal["both", "mmssl", "mlssl"] | None = None,
    init: RunLike | None = None,
    relation: str | None = None,
    clusterer: str | None = None,
    epochs: int | None = None,
    mlssl_epochs: int | None = None,
    feature_views: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] | None = None,
    devices: int | None = None,
    num_nodes: int | None = None,
    workers: int | None = None,
    options: Mapping[str, Any] | None = None,
    out: File | None = None,
    resume: bool = False,
    cache: bool = True,
    quiet: bool = False,
) -> Run:
    """Pre-trains on images without labels, as `sm3kit pretrain` does.

    What is left out comes from the recipe. A script needs `if __name__ == "__main__":` around
    this call, because processes that prepare views may read the script again.

    Args:
        data: "synthetic" (the default), "manifest:FILE.csv", "derm7pt:DIR", "milk10k:DIR", or a
            plugin's "name:argument"; several are pooled.
        recipe: settings of a row of the paper, or your own YAML file; later ones win.
        objective: what is learned within each modality: "simclr", "byol", "swav", or a plugin.
        fusion: how modalities are combined: "concat", "sep_shared", "sep_sep", "sum", "none", or a
            plugin.
        backbone: any timm model, such as "resnet50"; {modality: name} where they differ.
        weights: "imagenet", "none" or a file; {modality: weights} where they differ.
        modality: use only these modalities.
        map: {modality: what the data call it}.
        image_size: height and width of the views in pixels; {modality: size} where they differ.
        stage: "mmssl" is stage 1, multi-modality SSL; "mlssl" is stage 2, multi-label SSL, alone.
        init: start from the networks of an earlier run.
        relation: how the labels of stage 2 are modelled jointly: "none", "proj", "msa", "tel",
            "te", or a plugin.
        clusterer: what makes pseudo-labels: "faiss", "sklearn", "torch", "release", "sinkhorn", or
            a plugin.
        epochs: of stage 1; 0 keeps the initial weights.
        mlssl_epochs: of stage 2.
        feature_views: views of each study that stage 2 encodes once; 0 encodes new ones each epoch.
        batch_size: studies per step and device.
        lr: learning rate of stage 1.
        seed: of weights, order and views.
        precision: "auto" takes bf16 where the machine computes in it.
        devices: GPUs, or processes on a CPU.
        num_nodes: machines.
        workers: processes that prepare views; automatic by default.
        options: {"simclr.temperature": 0.2}: options of plugins and modalities, and all other
            settings as a recipe names them, such as "stage1.weight_decay".
        out: the run folder; a new one under runs/ by default. A run is never overwritten.
        resume: continue the run in `out`.
        cache: whether decoded images and features are kept for the next time.
        quiet: show warnings only.

    Returns:
        The run.

    Raises:
        SM3Error: settings or data that do not work; nothing is written.
        Interrupted: the user stopped it; the run can be resumed.
    """
    from sm3kit.python.run import Run

    asked: dict[str, Any] = {
        "data": words(data), "recipe": words(recipe), "objective": words(objective),
        "fusion": fusion, "backbone": backbone, "weights": weights, "modality": words(modality),
        "map": dict(map) if map else None, "image_size": image_size, "stage": stage,
        "init": None if init is None else str(folder_of(init)), "relation": relation,
        "clusterer": clusterer, "epochs": epochs, "mlssl_epochs": mlssl_epochs, "lr": lr,
        "feature_views": feature_views, "batch_size": batch_size, "seed": seed,
        "precision": precision, "devices": devices, "num_nodes": num_nodes, "workers": workers,
    }  # fmt: skip
    settings = layer(asked, addressed(options), "call of pretrain")
    asked_for = request(settings, None if out is None else Path(out), resume=resume)
    around = surroundings(quiet=quiet or not asked_for.speaks, cache=cache)
    return Run(carry_out(asked_for, around).run.folder)
