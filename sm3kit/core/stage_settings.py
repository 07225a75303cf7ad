"""The parts of a variant that say how: stage 1, stage 2, and the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from sm3kit.core import ranges
from sm3kit.core.errors import OptionError
from sm3kit.core.options import check_fields
from sm3kit.core.text import seconds_of

STAGE_TITLES = {"mmssl": "stage 1", "mlssl": "stage 2"}
Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]
# One view per study, with less colour change and neither greyscale nor blur: the release.
STAGE_2_VIEWS = {"views": 1, "jitter": 0.5, "grayscale": 0.0, "blur": 0.0}


@dataclass(frozen=True)
class Stage1Settings:
    """How stage 1 learns within and across modalities.

    Attributes:
        epochs: passes over the studies; 0 keeps the initial weights, as a baseline.
        batch_size: studies per step and device.
        micro_batch: studies that the networks see at a time, so that large batches fit into little
            memory: losses are those of the whole batch, batch norms have the statistics of these
            studies, and a step takes 1.4 to 1.5 times as long. 0 is the whole batch.
        last_batch: "keep" takes the shorter last batch, "drop" leaves it out, "pad" repeats
            studies until it divides by `pad_to`.
        pad_to: see `last_batch`.
        join_views: encode the views of an image as one batch, whose batch norm then sees twice as
            many rows; the release encodes view by view.
        optimiser: "adamw", the paper's, "sgd" with a momentum of 0.9, or "lars", which is for
            batches of a thousand studies and more.
        lr: learning rate of the optimiser.
        head_lr: learning rate of what no weights are known for, that is all but the backbones;
            0 takes `lr`, as the release does.
        layer_decay: share of the learning rate of a layer of a backbone that the layer before it
            takes; 1 is the same rate for all.
        schedule: "constant", the paper's, or "cosine", which brings the rate to zero at the end.
        warmup_epochs: epochs over which the rate grows linearly from zero, before the schedule.
        weight_decay: of the optimiser.
        decay_norms: whether the weight decay holds for norms and biases, too, as in the paper.
        clip: largest norm of the gradient of all weights together, which is shortened to it; 0
            leaves it as it is.
        betas: of AdamW; of stage 2, too.
        eps: of AdamW.
        ema: share that an average of the weights keeps in each step, such as 0.999; the average is
            the model that is kept, and that monitors look at. 0 takes the weights as they are.
        stop_on: "rank" of the validation pairs, or "loss" on the validation studies, ends stage 1
            when it has not become better for a while, and keeps the networks of the best look;
            "none" trains all epochs.
        patience: looks without a better one, see `monitor_every`, after which it stops.
        precision: "auto", or what Lightning takes: "32", "bf16-mixed", "16-mixed".
        monitor_every: epochs between two looks at the validation pairs; 0 is never.
        cluster_every: epochs between two clusterings of the studies, for a sampler that asks for
            clusters.
    """

    epochs: ranges.CountOrZero = 400
    batch_size: Annotated[int, ranges.Range(2, 1_000_000)] = 96
    micro_batch: Annotated[int, ranges.Range(2, 1_000_000, also=(0,))] = 0
    last_batch: Literal["keep", "drop", "pad"] = "keep"
    pad_to: Annotated[int, ranges.Range(1, 65_536)] = 2
    join_views: bool = False
    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: ranges.Rate = 1e-6
    head_lr: Annotated[float, ranges.Range(0, 100)] = 0.0
    layer_decay: Annotated[float, ranges.Range(above=0, most=1)] = 1.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: ranges.CountOrZero = 0
    weight_decay: ranges.Amount = 0.05
    decay_norms: bool = True
    clip: ranges.Amount = 0.0
    betas: Annotated[tuple[float, float], ranges.Range(least=0, below=1)] = (0.9, 0.999)
    eps: ranges.Epsilon = 1e-5
    ema: ranges.ShareBelowOne = 0.0
    stop_on: Literal["none", "rank", "loss"] = "none"
    patience: ranges.Count = 10
    precision: Precision = "auto"
    monitor_every: ranges.CountOrZero = 5
    cluster_every: ranges.Count = 1

    def __post_init__(self) -> None:
        check_fields(self, "settings of stage 1")


@dataclass(frozen=True)
class Stage2Settings:
    """How stage 2 learns from pseudo-labels on frozen networks.

    Attributes:
        pseudo_labels: K of stage 2; 0 takes the labels of the data.
        clusters: of each pseudo-label; 0 takes as many as the label has classes.
        epochs: passes over the studies.
        batch_size: studies per step.
        lr: learning rate of AdamW.
        weight_decay: of AdamW.
        eps: of AdamW.
        precision: like that of stage 1, of the frozen networks; what stage 2 trains is always
            computed in float32.
        views: options of the modalities that differ in stage 2.
        feature_views: views of each study that are encoded once and drawn from in every epoch; 0
            encodes new views in every epoch, as the paper does.
        bank: "memory" clusters what the steps of the epoch before left, as the release does;
            "fresh" embeds all studies anew before they are clustered.
        features: what is clustered: the label embeddings ("own"), frozen features of a teacher
            ("teacher"), or these beside each other ("both").
        teacher: whose features: "stage1", the run's own networks, another run, the file of a
            fine-tuned classifier, `timm/NAME`, or a weight file.
        teacher_backbone: the model of a weight file; empty takes the backbones of the run.
        label_loss: "mean" of the labels' losses, as in the release, or their "sum", equation 6.
        temperature: T, by which the logits are divided.
        freeze_prototypes: prototypes stay the centroids during an epoch, as in DeepCluster-v2.
        diversity: weight of a penalty on two labels that share their clusters; 0 is none.
        diversity_target: dependence of two labels that costs nothing: 0 is independence, 0.5 are
            equal halves, and a batch of B studies has up to 0.5 / sqrt(B) by chance.
        bn_leak: the first pass still moves the frozen networks' batch statistics, as in the
            release.
        weak: weak labels, which are mixed into the pseudo-labels: a CSV file with a column id and
            columns LABEL:CLASS with scores, or "data" for what the data set offers.
        weak_share: how much weak labels count beside the clusters.
        weak_shares: {label: its own weak_share}.
        weak_temperature: by which their scores are divided before the softmax.
        weak_seeds: studies of each class with the highest scores, from whose mean its cluster
            starts; 0 lets the clusterer choose its starts.
    """

    pseudo_labels: Annotated[int, ranges.Range(0, 10_000)] = 0
    clusters: ranges.CountOrZero = 0
    epochs: ranges.CountOrZero = 150
    batch_size: Annotated[int, ranges.Range(2, 1_000_000)] = 256
    lr: ranges.Rate = 1e-4
    weight_decay: ranges.Amount = 0.05
    eps: ranges.Epsilon = 1e-8
    precision: Precision = "32"
    views: dict[str, Any] = field(default_factory=lambda: dict(STAGE_2_VIEWS))
    feature_views: Annotated[int, ranges.Range(0, 1000)] = 8
    bank: Literal["memory", "fresh"] = "memory"
    features: Literal["own", "teacher", "both"] = "own"
    teacher: str = ""
    teacher_backbone: str = ""
    label_loss: Literal["mean", "sum"] = "mean"
    temperature: ranges.Temperature = 1.0
    freeze_prototypes: bool = False
    diversity: ranges.Amount = 0.0
    diversity_target: Annotated[float, ranges.Range(0, 0.5)] = 0.1
    bn_leak: bool = False
    weak: str = ""
    weak_share: ranges.Share = 0.3
    weak_shares: dict[str, Any] = field(default_factory=dict)
    weak_temperature: ranges.Temperature = 1.0
    weak_seeds: ranges.CountOrZero = 0

    def __post_init__(self) -> None:
        check_fields(self, "settings of stage 2")


@dataclass(frozen=True)
class MachineSettings:
    """What computes, and how it is shared.

    Attributes:
        channels_last: memory order of images and weights; faster on nearly every machine.
        devices: GPUs, or processes on a CPU, per machine.
        num_nodes: machines.
        workers: processes that prepare views; -1 chooses.
        max_time: how long a training may take, such as 12:00:00 (HH:MM:SS), 1:12:00:00 or 90m; it
            stops after the last epoch that fits, and can be resumed. "none" is no limit.
        compile: stage 1 runs its backbones through torch.compile, on a GPU: steps get faster, and
            the first ones take minutes.
        too_little_memory: "refuse" begins no training that is foreseen to need more memory than
            is free, "warn" tries it all the same.
        views_on: "cpu" makes random views of stage 1 in these processes; "gpu" makes them in
            batches on the device that trains, the same ones up to rounding.
    """

    channels_last: bool = True
    devices: Annotated[int, ranges.Range(1, 1024)] = 1
    num_nodes: Annotated[int, ranges.Range(1, 65_536)] = 1
    workers: Annotated[int, ranges.Range(0, 1024, also=(-1,))] = -1
    max_time: str = "none"
    compile: bool = False
    too_little_memory: Literal["refuse", "warn"] = "refuse"
    views_on: Literal["cpu", "gpu"] = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, "settings of the machine")
        try:
            _ = self.seconds
        except ValueError as error:
            raise OptionError(
                f"'max_time' must be a time such as 12:00:00 (HH:MM:SS), 1:12:00:00 (a day more), "
                f"90m or none, not {self.max_time!r}."
            ) from error

    @property
    def seconds(self) -> float | None:
        """How long a training may take."""
        return None if self.max_time == "none" else seconds_of(self.max_time)
