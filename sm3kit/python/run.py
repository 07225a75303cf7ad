"""A run, as users hold it in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.variant import Variant
from sm3kit.deployment import export as exports
from sm3kit.deployment.embed import Embeddings, check_embedding_file, embed, write_embeddings
from sm3kit.evaluation.record_text import caveats_of_studies
from sm3kit.evaluation.settings import Selection
from sm3kit.python import evaluating, predicting
from sm3kit.python.calls import File, Words, check_keywords, nest_options, surroundings, words
from sm3kit.python.evaluating import Split
from sm3kit.python.measuring import open_studies
from sm3kit.python.request import verdict_of
from sm3kit.report import make
from sm3kit.report.make import ReportFiles
from sm3kit.report.spaces import Space
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.verdict import Verdict

SPLITS: tuple[Split, ...] = ("train", "val", "test")
EmbeddingSpace = Literal["backbone", "joint", "embedding", "projection"]


class Run:
    """A run folder, with all that can be done with its networks.

    Args:
        folder: the folder that `pretrain` wrote.
    """

    def __init__(self, folder: File) -> None:
        self._files = RunFolder(Path(folder))

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self._files.folder

    @property
    def variant(self) -> Variant:
        """Every choice of the run, resolved."""
        return self._files.record().variant

    @property
    def finished(self) -> bool:
        """Whether its training has ended; if not, `pretrain(out=..., resume=True)` continues it."""
        return self._files.finished

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """A row per epoch and stage, as in metrics.csv; None where nothing was measured."""
        return [{name: _value(text) for name, text in row.items()} for row in self._files.metrics()]

    @property
    def verdict(self) -> Verdict:
        """What the numbers of stage 1 say, in words: `sentences`, `advice`, and three answers."""
        return verdict_of(self._files)

    # With the run as its first argument, each of these functions is a method.
    evaluate = evaluating.evaluate
    predict = predicting.predict
    predict_studies = predicting.predict_studies

    def backbone(self, modality: str = "") -> nn.Module:
        """The trained backbone of a modality: views (B, C, H, W) -> features (B, width).

        It is on the CPU and in eval mode, and expects normalised views.

        Args:
            modality: may be left out where the run has a single one.

        Raises:
            SM3Error: no such modality, or no finished run.
        """
        trained = self._files.trained()
        known = list(trained.channels)
        if not modality and len(known) > 1:
            raise VariantError(f"The run has a backbone for each of {', '.join(known)}. Name one.")
        name = modality or known[0]
        if name not in known:
            raise VariantError(unknown("modality", name, known))
        return trained.network(name).eval()

    @check_keywords
    def embed(
        self,
        split: Split | Sequence[Split] | None = None,
        *,
        space: EmbeddingSpace | Sequence[EmbeddingSpace] = "joint",
        data: Words | None = None,
        map: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        out: File | None = None,
        cache: bool = True,
        quiet: bool = False,
    ) -> Embeddings:
        """Features of studies as arrays, as `sm3kit embed` writes them.

        Args:
            split: "train", "val" or "test", or several; all by default.
            space: "backbone" has an array per modality, "joint" one (the input of classifiers),
                "embedding" one per label (after stage 2), "projection" one per stream of the
                fusion; or several.
            data: other data than the run's.
            map: {modality of the run: what the data call it}.
            options: of data sets and modalities, such as {"manifest.modalities": "ct,mri"}.
            out: a file to write as well: NAME.npz, or NAME.parquet.
            cache: whether decoded images and features are kept for the next time.
            quiet: show warnings only.

        Returns:
            `arrays` {"joint": (N, D)}, `ids`, `splits`, `groups` and `labels` of the N studies.

        Raises:
            SM3Error: no studies, or a space that the run does not have.
        """
        if out is not None:
            check_embedding_file(Path(out))
        around = surroundings(quiet=quiet, cache=cache)
        subject = open_studies(self, around, words(data), map, nest_options(options))
        embeddings = embed(subject, words(split) or SPLITS, words(space))
        for caveat in caveats_of_studies(embeddings.about):
            around.reporter.warn(caveat)
        if out is not None:
            write_embeddings(embeddings, Path(out))
        return embeddings

    @check_keywords
    def report(
        self,
        out: File | None = None,
        *,
        split: Split = "test",
        space: Space = "backbone",
        data: Words | None = None,
        figures: bool = False,
        gallery: bool = True,
        cache: bool = True,
        quiet: bool = False,
    ) -> ReportFiles:
        """Writes one page of HTML on the run, as `sm3kit report` does.

        Unless `gallery` is False it shows thumbnails of some studies: look at it before you pass
        it on.

        Args:
            out: the page; report.html in the run folder by default.
            split: the studies of maps, attention and gallery.
            space: of the maps: "backbone" is the joint feature, "embedding" the label embeddings of
                stage 2, "logits" those of a probe.
            data: where the data are now, if they have moved since the training.
            figures: also write each figure as PNG and SVG.
            gallery: show thumbnails of studies.
            cache: whether decoded images and features are kept for the next time.
            quiet: show warnings only.

        Returns:
            `page`, `figures`, and `notes` on what is left out and why.

        Raises:
            SM3Error: there is no run, or the page cannot be written.
        """
        around = surroundings(quiet=quiet, cache=cache)
        page = None if out is None else Path(out)
        return make.report(
            self.folder, around.images, around.features, around.reporter, page, words(data), split,
            space, figures=figures, gallery=gallery,
        )  # fmt: skip

    @check_keywords
    def export(
        self,
        format: Literal["timm", "safetensors", "onnx"],
        out: File,
        *,
        modality: str = "",
        protocol: Literal["probe", "finetune"] | None = None,
        select: Selection | None = None,
        classifier: str = "",
    ) -> Path:
        """Writes the networks for other programs, as `sm3kit export` does.

        Args:
            format: "timm" writes one backbone as timm.create_model loads it, "safetensors" all
                weights of the run, "onnx" the whole classifier, from raw images to probabilities.
            out: a new folder.
            modality: of the backbone of "timm".
            protocol, select, classifier: which classifier, as in `predict`.

        Returns:
            The folder.

        Raises:
            SM3Error: no such modality or classifier, or a library that is not installed.
        """
        exports.export(
            self._files.trained(), format, Path(out), modality=modality, protocol=protocol,
            select=select, classifier=classifier,
        )  # fmt: skip
        return Path(out)

    def __repr__(self) -> str:
        """The call that opens it again."""
        return f"sm3kit.open_run({str(self.folder)!r})"


def open_run(folder: File) -> Run:
    """Opens the run in a folder.

    Raises:
        CheckpointError: there is no run in it, or its record is damaged.
    """
    run = Run(folder)
    run._files.record()
    return run


def _value(text: str) -> int | float | str | None:
    """A cell of a table: a number where it is one, None where it is empty."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
