"""An own fusion, registered for this session and trained for an epoch."""

from rich.console import Console
from torch import nn

from sm3kit.api import Fusion, NamedModules, register
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.runs import recipes
from sm3kit.runs.run import free_folder
from sm3kit.training.pretrain import pretrain


@register("fusions", "clip")
class Clip(Fusion):
    """One linear layer per modality, as in CLIP (Radford et al. 2021, arXiv:2103.00020)."""

    def __init__(self, widths, *, projection: int = 128):
        super().__init__(widths)
        self.layers = NamedModules({m: nn.Linear(d, projection) for m, d in widths.items()})

    def forward(self, features, present):
        """One stream per modality."""
        return {m: [self.layers[m](view) for view in views] for m, views in features.items()}


if __name__ == "__main__":
    small = {"backbone": "timm/test_resnet", "image_size": 32}
    small |= {"stage1": {"epochs": 1}, "machine": {"workers": 0}}
    settings = {"fusion": "clip", "options": {"clip": {"projection": 64}}, **small}
    variant, why = recipes.resolve(recipes.Layer({"data": ["synthetic:24"], **settings}))
    pretrain(variant, free_folder(variant), Reporter(Console()), ImageCache(None))
