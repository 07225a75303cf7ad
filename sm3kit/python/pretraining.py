"""Pre-training, as users call it in Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sm3kit.python.calls import (
    File,
    RunLike,
    Words,
    as_text,
    check_keywords,
    flatten_options,
    folder_of,
    surroundings,
    words,
)
from sm3kit.python.request import carry_out, layer, request

if TYPE_CHECKING:
    from sm3kit.python.run import Run


@check_keywords
def pretrain(
    data: Words | None = None,
    *,
    recipe: Words | None = None,
    objective: Words | None = None,
    fusion: str | None = None,
    backbone: str | Mapping[str, str] | None = None,
    weights: File | Mapping[str, File] | None = None,
    modality: Words | None = None,
    map: Mapping[str, str] | None = None,
    image_size: int | Mapping[str, int] | None = None,
    stage: Literal["both", "mmssl", "mlssl"] | None = None,
    init: RunLike | None = None,
    relation: str | None = None,
    clusterer: str | None = None,
    sampler: str | None = None,
    weak: File | None = None,
    epochs: int | None = None,
    mlssl_epochs: int | None = None,
    feature_views: int | None = None,
    batch_size: int | None = None,
    micro_batch: int | None = None,
    lr: float | None = None,
    schedule: Literal["constant", "cosine"] | None = None,
    warmup_epochs: int | None = None,
    seed: int | None = None,
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] | None = None,
    compile: bool | None = None,
    devices: int | None = None,
    num_nodes: int | None = None,
    workers: int | None = None,
    max_time: str | None = None,
    views_on: Literal["cpu", "gpu"] | None = None,
    logger: Words | None = None,
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
        data: "synthetic" (the default), "manifest:FILE.csv", "derm7pt:DIR", "milk10k:DIR",
            "midas:DIR", "isic:DIR", "shards:PATTERN", or a plugin's "name:argument"; several are
            pooled.
        recipe: settings of a row of the paper, or your own YAML file; later ones win.
        objective: what is learned within each modality: "simclr", "byol", "swav", "barlow", "dcl",
            "dino", "vicreg", "distill", "ssd_kd", or a plugin.
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
        clusterer: what makes pseudo-labels: "faiss", "torch", "sklearn", "release", "sinkhorn",
            "p2ot", "confident", "consensus", "hdbscan", "auto", or a plugin.
        sampler: how the batches of both stages are drawn: "shuffle", "cluster_balanced", which draws
            studies of small clusters more often, or a plugin.
        weak: weak labels that guide the clusters of stage 2: a CSV file with columns id and LABEL:CLASS
            with scores, or "data" for the scores that the data set offers.
        epochs: of stage 1; 0 keeps the initial weights.
        mlssl_epochs: of stage 2.
        feature_views: views of each study that stage 2 encodes once; 0 encodes new ones each epoch.
        batch_size: studies per step and device.
        micro_batch: studies that the networks see at a time, for large batches in little memory;
            the losses are those of the whole batch. 0 is the whole batch.
        lr: learning rate of stage 1.
        schedule: "constant" keeps the learning rate of stage 1, "cosine" brings it to zero.
        warmup_epochs: epochs of stage 1 over which the learning rate grows from zero.
        seed: of weights, order and views.
        precision: "auto" takes bf16 where the machine computes in it.
        compile: compile the backbones of stage 1 on a GPU (torch.compile).
        devices: GPUs, or processes on a CPU.
        num_nodes: machines.
        workers: processes that prepare views; automatic by default.
        max_time: how long it may take, such as "12:00:00" or "90m"; it stops with `Interrupted` after
            the last epoch that fits, and `resume` goes on.
        views_on: "cpu" makes random views in these processes, "gpu" in batches where it trains.
        logger: also log to "tensorboard", "wandb", "mlflow" or "csv", in the folder `logs` of the run.
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
        "fusion": fusion, "backbone": backbone, "weights": as_text(weights), "modality": words(modality),
        "map": dict(map) if map else None, "image_size": image_size, "stage": stage,
        "init": None if init is None else str(folder_of(init)), "relation": relation,
        "clusterer": clusterer, "sampler": sampler, "weak": as_text(weak), "epochs": epochs, "mlssl_epochs": mlssl_epochs, "lr": lr,
        "schedule": schedule, "warmup_epochs": warmup_epochs,
        "feature_views": feature_views, "batch_size": batch_size, "micro_batch": micro_batch,
        "seed": seed, "precision": precision, "compile": compile, "devices": devices,
        "num_nodes": num_nodes, "workers": workers, "max_time": max_time, "views_on": views_on,
        "logger": words(logger),
    }  # fmt: skip
    settings = layer(asked, flatten_options(options), "call of pretrain")
    asked_for = request(settings, None if out is None else Path(out), resume=resume)
    if asked_for.elsewhere:  # A training before the one that this process was started for.
        return Run(asked_for.folder)
    around = surroundings(quiet=quiet or not asked_for.speaks, cache=cache)
    run = Run(carry_out(asked_for, around).run.folder)
    if not asked_for.speaks:
        raise SystemExit  # What the script does with the run is for the first process alone.
    return run
