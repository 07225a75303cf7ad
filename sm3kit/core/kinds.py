"""The plugin families, a line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One plugin family: its entry-point group, the noun for one member, what a member does."""

    family: str
    noun: str
    does: str

    @property
    def group(self) -> str:
        """The entry-point group that distributions declare members under."""
        return f"sm3kit.{self.family}"


KINDS: dict[str, Kind] = {
    kind.family: kind
    for kind in (
        Kind("backbones", "backbone", "image view -> feature vector"),
        Kind("objectives", "objective", "features of the views -> named loss terms"),
        Kind("fusions", "fusion", "features of all modalities -> shared streams"),
        Kind("clusterers", "clusterer", "embeddings -> assignments and centroids"),
        Kind("relations", "relation", "feature -> one embedding per label"),
        Kind("classifiers", "classifier", "features of all modalities -> classes of every label"),
        Kind("losses", "loss", "logits of a label and its classes -> label loss"),
        Kind("samplers", "sampler", "classes or clusters of studies -> batches of an epoch"),
        Kind("modalities", "modality", "how a kind of image is read, normalised and augmented"),
        Kind("datasets", "dataset", "folder or table -> studies"),
    )
}
