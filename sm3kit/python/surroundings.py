"""What every piece of work is given beside its settings: who is told, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.networks.feature_cache import FeatureCache


@dataclass(frozen=True)
class Surroundings:
    """Where progress is shown, and where images and features are kept.

    Attributes:
        reporter: where progress is shown.
        images: decoded images.
        features: features of views.
    """

    reporter: Reporter
    images: ImageCache
    features: FeatureCache

    @classmethod
    def of_user(cls, reporter: Reporter, *, cache: bool = True) -> Surroundings:
        """The caches of the user.

        Args:
            reporter: where progress is shown.
            cache: False keeps nothing.
        """
        return cls(reporter, ImageCache.of_user(keep=cache), FeatureCache.of_user(keep=cache))
