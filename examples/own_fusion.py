"""Your own fusion, registered for this session and trained for an epoch."""

from torch import nn

import sm3kit
from sm3kit.api import Fusion, NamedModules, register


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
    options = {"clip.projection": 64}
    sm3kit.pretrain("synthetic:24", fusion="clip", options=options, epochs=1, mlssl_epochs=1)
