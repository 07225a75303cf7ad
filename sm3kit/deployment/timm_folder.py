"""One backbone of a run as a folder that timm loads without sm3kit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.data.cases import pool_names
from sm3kit.data.pool import build_modality
from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import ModalitySpec
from sm3kit.deployment.model_card import Card
from sm3kit.deployment.predictor import open_predictor
from sm3kit.evaluation.classifier_file import ClassifierFile
from sm3kit.modalities.base import Modality
from sm3kit.networks.backbone import provider_and_model
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.tensor_file import write_tensors

LOAD_TIMM = """
import timm
model = timm.create_model("local-dir:{folder}", pretrained=True, num_classes=0).eval()
data = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**data, is_training=False)
features = model(transform(image).unsqueeze(0))  # image: from PIL
"""


def export_timm(
    trained: TrainedModel,
    file: ClassifierFile | None,
    tuned: ClassifierFile | None,
    name: str,
    out: Path,
    folder: Path,
) -> Card:
    """Writes the backbone of a modality, and gives what the model card says of it.

    Args:
        file: the classifier that says how images are read; without it, the run's data do.
        tuned: the classifier whose fine-tuned weights are written, instead of the pre-trained.
        name: of the modality.
        out: where the folder will lie.
        folder: where it is written now.
    """
    provider, model = provider_and_model(trained.variant, name)
    seen = _modality_of(trained, file, name)
    networks = open_predictor(trained, tuned).branches if tuned else trained.branches({})
    backbone: Any = networks.backbones[name]
    write_timm(backbone, architecture_of(backbone, model), name, seen, folder)
    made = "fine-tuned with labels" if tuned else "pre-trained, the one that `sm3kit embed` uses"
    use = [
        f"The backbone for {name} images of {seen.channels} channels, {made}. `pretrained=True` "
        "is what makes timm read the weights. The transform scales the whole picture to the size "
        "of the views, without keeping its aspect ratio; a border that the run cut off on reading "
        f"({getattr(seen, 'border', 0)} pixels) is not cropped by it: crop it yourself."
    ]
    return f"{provider}/{model} for {name}", LOAD_TIMM.format(folder=out), use


def architecture_of(backbone: Backbone, model: str) -> str:
    """The name that timm gives to the network of a backbone, whatever its provider calls it."""
    published: Any = getattr(getattr(backbone, "model", None), "pretrained_cfg", None) or {}
    return str(published.get("architecture") or model.partition(".")[0])


def write_timm(
    backbone: Backbone, architecture: str, name: str, modality: Modality, folder: Path
) -> None:
    """Writes `config.json` and `model.safetensors` as timm reads them from `local-dir:`.

    Args:
        backbone: one that holds a network of timm as `model`.
        architecture: the name in timm, without a tag.
        name: of the modality.
        modality: for size, channels, mean and deviation of its views.

    Raises:
        VariantError: the backbone is none of timm's, or its images are not normalised by mean
            and deviation alone.
    """
    network: Any = getattr(backbone, "model", None)
    published: Any = getattr(network, "pretrained_cfg", None)
    if published is None:
        raise VariantError(
            f"--format timm needs a timm backbone, and that of {name} is not one. "
            "Use --format onnx or safetensors."
        )
    network = getattr(backbone.merged(), "model", network)
    mean, deviation = mean_and_deviation(name, modality)
    channels = modality.channels
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": backbone.width,
        "model_args": {
            "in_chans": channels,
            "num_classes": 0,
            **getattr(backbone, "model_args", {}),
        },
        "pretrained_cfg": {
            "tag": "sm3kit",
            "custom_load": False,
            "input_size": list(modality.shape),
            "fixed_input_size": bool(published.get("fixed_input_size", False)),
            "pool_size": None,
            # The whole image, its aspect ratio not kept, as in `Photo.eval_view`.
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "bilinear",
            "mean": mean,
            "std": deviation,
            "num_classes": 0,
            # Older timm drops weights of a first layer with neither one channel nor three.
            "first_conv": published.get("first_conv") if channels == 3 else None,
            "classifier": published.get("classifier"),
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    write_tensors(folder / "model.safetensors", network.state_dict())


def mean_and_deviation(name: str, modality: Modality) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel that do what `modality.normalise` does to values of 0 to 1.

    Raises:
        VariantError: it does more than that.
    """
    shape = modality.shape
    ends = modality.normalise(torch.stack([torch.zeros(shape), torch.ones(shape)]))
    low, high = ends[:, :, 0, 0].double()
    deviation = 1 / (high - low)
    mean = -low * deviation
    probe = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    wanted = (probe.double() - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
    if not torch.allclose(modality.normalise(probe).double(), wanted, atol=1e-4):
        raise VariantError(
            f"The views of {name} are not normalised by a mean and a deviation per channel, and "
            "timm supports nothing else. Use --format onnx, which normalises in the graph."
        )
    return [round(value, 9) for value in mean.tolist()], [
        round(value, 9) for value in deviation.tolist()
    ]


def _modality_of(trained: TrainedModel, file: ClassifierFile | None, name: str) -> Modality:
    """How the images of a modality are seen: as a classifier says, else as the run's data say."""
    v = trained.variant
    if file is not None and name in file.readings:
        reading = file.readings[name]
        return build_modality(name, reading.spec, reading.image_size, {})
    try:
        spec = _spec(trained, name)
    except SM3Error as error:
        raise SM3Error(
            f"{trained.folder} has no classifier that says how {name} images are normalised, and "
            f"its data cannot be opened: {error} Correct that, or run sm3kit evaluate first."
        ) from error
    return build_modality(name, spec, int(v.of(name, "image_size")), v.options)


def _spec(trained: TrainedModel, name: str) -> ModalitySpec:
    v = trained.variant
    datasets = [open_dataset(spec, v.options) for spec in v.data]
    tables = pool_names([list(dataset.modalities) for dataset in datasets], v.map)
    return next(
        dataset.modalities[own]
        for dataset, table in zip(datasets, tables, strict=True)
        for own, common in table.items()
        if common == name
    )
