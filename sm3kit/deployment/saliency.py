"""Where in an image a class is seen: Grad-CAM, as pictures."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.files import whole_file
from sm3kit.core.names import file_stem, unknown
from sm3kit.data.batches import Batch, Collate, Item
from sm3kit.data.image_cache import ImageCache
from sm3kit.deployment import STATEMENT
from sm3kit.deployment.predictor import Predictor
from sm3kit.deployment.question import Question, find_studies
from sm3kit.deployment.reading import views_of
from sm3kit.evaluation.labelling.ensemble import merged_streams
from sm3kit.evaluation.labelling.label_network import on_encoded
from sm3kit.modalities.base import Image

Heat = npt.NDArray[np.float32]


def check_saliency(predictors: Sequence[Predictor], label: str, class_name: str) -> None:
    """Says so before any prediction if no picture can be made.

    Raises:
        VariantError: several runs, or an unknown label or class.
        SM3Error: Grad-CAM is not installed.
    """
    if len(predictors) > 1:
        raise VariantError("--saliency works on one run, and several were given. Give one.")
    labels = {label.name: label.classes for label in predictors[0].file.labels}
    if label and label not in labels:
        raise VariantError(f"--label: {unknown('label', label, labels)}")
    classes = labels[label or next(iter(labels))]
    if class_name and class_name not in classes:
        raise VariantError(f"--class: {unknown('class', class_name, classes)}")
    _library()


def explain(
    predictor: Predictor,
    question: Question,
    images: ImageCache,
    record: Mapping[str, Any],
    folder: Path,
    label: str = "",
    class_name: str = "",
) -> list[str]:
    """Writes `<id>-<modality>.png` for every image of the studies of a record, and says where.

    Args:
        record: of `predict` for the same question.
        label: the first of all, if it is empty.
        class_name: the predicted class of each study, if it is empty.

    Raises:
        VariantError: a backbone without a map of features.
        SM3Error: Grad-CAM is not installed, or the folder cannot be written.
    """
    names = [spec.name for spec in predictor.file.labels]
    label = label or names[0]
    spec = predictor.file.labels[names.index(label)]
    studies = find_studies(predictor, question)
    cases = {case.study.id: case for case in studies.cases}
    written: list[str] = []
    for study in record["studies"]:
        case = cases[study["id"]]
        views = views_of(case, studies.readers[case.source], predictor.modalities, images)
        batch = Collate(predictor.streams)([Item(views, (), 0, 0)])
        chosen = class_name or study["decisions"][label]
        for name in views:
            taken = {Path(file).stem.lower() for file in written}
            stem = file_stem(f"{study['id']}-{name}", taken)
            path = folder / f"{stem}.png"
            heat = heat_of(predictor, batch, name, names.index(label), spec.classes.index(chosen))
            title = f"{name}: {label} {chosen}, {100 * study['probabilities'][label][chosen]:.0f} %"
            write_picture(views[name][0], heat, title, path)
            written.append(str(path))
    return written


def heat_of(predictor: Predictor, batch: Batch, modality: str, label: int, place: int) -> Heat:
    """How much each pixel of a view speaks for a class, (S, S), from 0 to 1.

    Source: Selvaraju et al. 2017, "Grad-CAM", https://arxiv.org/abs/1610.02391, as the library
    pytorch-grad-cam has it, on the last map of features of the backbone. The other images of
    the study stay as they are.

    Args:
        batch: one study.
        label: number of the label.
        place: number of its class.

    Raises:
        VariantError: the backbone has no map of features.
    """
    network = _OfOneModality(predictor, batch, modality, label)
    layer, spatial = _last_map(predictor, modality)
    raw = batch.views[modality][0]
    shown = predictor.modalities[modality].normalise(raw).contiguous().requires_grad_(True)
    target = _library("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget(place)
    with _library().GradCAM(network, [layer], reshape_transform=spatial) as cam:
        heat: Heat = cam(input_tensor=shown, targets=[target])[0]
    return heat


class _OfOneModality(nn.Module):
    """Logits of one label from the normalised view of one modality."""

    def __init__(self, predictor: Predictor, batch: Batch, modality: str, label: int) -> None:
        super().__init__()
        self.backbone = predictor.branches.backbones[modality]
        self.branches, self.predictor = predictor.branches, predictor
        self.modality, self.label, self.present = modality, label, batch.present
        with torch.no_grad():
            self.others = self.branches.features_and_maps(batch)

    def forward(self, view: Tensor) -> Tensor:
        """Logits (1, C)."""
        branches, network = self.branches, self.predictor.network
        rows, tables = self._encode(view)
        features = {**self.others[0], self.modality: rows}
        maps = {**self.others[1], self.modality: tables}
        views = {**self.others[2], self.modality: view}
        streams = [
            on_encoded(member, branches, features, self.present, maps, views)
            for _, member in self.predictor.members
        ]
        return network.weigh(merged_streams(network, streams))[self.label]

    def _encode(self, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features and maps of a normalised view, in float32."""
        if not any(member.classifier.wants_maps for _, member in self.predictor.members):
            return self.backbone(view).float(), []
        rows, maps = self.backbone.features_and_maps(view)  # type: ignore[operator]
        return rows.float(), [table.float() for table in maps]


def _last_map(predictor: Predictor, modality: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The layer that Grad-CAM looks at, and what makes its output (B, C, H, W)."""
    network: Any = getattr(predictor.branches.backbones[modality], "model", None)
    try:
        last = list(network.feature_info)[-1]
        layer, width = network.get_submodule(last["module"]), int(last["num_chs"])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise VariantError(
            f"The backbone of {modality} provides no feature maps, which Grad-CAM needs. "
            "Leave --saliency out, or train with a timm model that has feature_info."
        ) from error
    prefix = int(getattr(network, "num_prefix_tokens", 0))
    if hasattr(layer, "norm1") and hasattr(layer, "attn"):
        # Behind the last attention only the class token reaches the classifier.
        layer = layer.norm1

    def spatial(maps: Tensor) -> Tensor:
        if maps.ndim == 4:
            channels_last = maps.shape[1] != width and maps.shape[3] == width
            return maps.permute(0, 3, 1, 2) if channels_last else maps
        patches = maps[:, prefix:]
        side = math.isqrt(patches.shape[1])
        return patches.transpose(1, 2).reshape(len(maps), -1, side, patches.shape[1] // side)

    return layer, spatial


def _library(name: str = "pytorch_grad_cam") -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SM3Error(
            "--saliency needs pytorch-grad-cam, which is not installed: "
            "pip install 'sm3kit[saliency]'"
        ) from error


# Even in lightness, and told apart with any kind of colour vision.
MAP = "viridis"


def write_picture(view: Image, heat: npt.NDArray[Any], title: str, path: Path) -> None:
    """Writes a PNG: the view, the view under its heat, and a bar that says what the colours mean.

    Args:
        view: (C, H, W), uint8 or float.
        heat: (H, W), from 0 to 1.

    Raises:
        SM3Error: the file cannot be written.
    """
    figure = Figure(figsize=(8, 4.2), dpi=120, layout="constrained")
    plain, over = figure.subplots(1, 2)
    shown = _visible(view)
    for axes, words in (
        (plain, "the image as the network sees it"),
        (over, "evidence for the class"),
    ):
        axes.imshow(shown, interpolation="nearest")
        axes.set_title(words, fontsize=9)
        axes.set_axis_off()
    layer = over.imshow(heat, cmap=MAP, vmin=0, vmax=1, alpha=0.55, interpolation="bilinear")
    bar = figure.colorbar(layer, ax=over, fraction=0.046, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["least", "", "most"], fontsize=8)
    bar.set_label("Grad-CAM, relative to this image", fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(STATEMENT, fontsize=6)
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def _visible(view: Image) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, 3): colour as it is, any other number of channels as the grey of their mean."""
    pixels = np.moveaxis(view, 0, -1)
    if pixels.shape[2] != 3:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    if view.dtype == np.uint8:
        return pixels.astype(np.uint8)
    low, high = float(pixels.min()), float(pixels.max())
    scaled = 255 * (pixels - low) / max(high - low, 1e-12)
    return np.asarray(scaled.round(), np.uint8)
