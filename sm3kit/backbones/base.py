"""The contract of backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from sm3kit.nn.map_shape import MapShape


class Backbone(nn.Module):
    """Turns an image view into a pooled feature vector.

    A provider is built as `Provider(model, channels, **options)`: the word on the command line
    is `provider/model`. Shells offer its models where its file has the constant MODEL_NAMES: a
    library, a pattern of its files, and what stands before the name of a model in them.

    Attributes:
        width: length D of the feature vector.
        imagenet_weights: where its ImageNet weights come from, as a phrase for users, if it has
            some and they may have to be fetched.
        weights_page: the address where the licences of these weights stand.
        map_shapes: of its feature maps, the finest first; none for a backbone without maps.
        student_options: its options that say how it learns, and what it hands to losses; a frozen
            teacher of its provider is built without them.
    """

    width: int
    map_shapes: Sequence[MapShape] = ()
    imagenet_weights: ClassVar[str] = ""
    weights_page: ClassVar[str] = ""
    student_options: ClassVar[Sequence[str]] = ()

    @classmethod
    def example(cls) -> str:
        """The name of a small model of this provider; the laws are tried on it."""
        raise NotImplementedError

    @classmethod
    def own_size(cls, model: str) -> int:
        """Height and width of the views that a model was made for; 0 where it does not matter.

        A provider with the option `image_size` is built for views of that size, and one with the
        option `local_size` for local views of that size, too, if it is not 0.
        """
        return 0

    @classmethod
    def normalisation(
        cls, model: str, weights: str
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation, per channel of values 0 to 1, that weights were trained with.

        Modalities take them where the user and the data set name none; None leaves their own.

        Args:
            model: as for building it.
            weights: its option of that name, such as "imagenet".
        """
        return None

    def forward(self, view: Tensor) -> Tensor:
        """Features (B, D) of views (B, C, H, W), normalised float."""
        raise NotImplementedError

    def maps(self, view: Tensor) -> list[Tensor]:
        """Feature maps [(B, C, H, W)] * L of views (B, C, H, W), as `map_shapes` says."""
        raise NotImplementedError

    def features_and_maps(self, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features and maps of the same views; in one pass, where a backbone can do that."""
        return self(view), self.maps(view) if self.map_shapes else []

    def stem(self) -> list[nn.Parameter]:
        """The weights before the first block; fine-tuning of the layers leaves them as they are."""
        return []

    def frozen(self) -> list[nn.Parameter]:
        """The weights that stay as they are in any training, that of fine-tuning included."""
        return []

    def merged(self) -> Backbone:
        """A backbone that does the same, with what was added for training put into the weights."""
        return self

    def weights_by_layer(self) -> list[list[nn.Parameter]]:
        """All weights by layer, the first layer first; none where layers have no such order."""
        return []
