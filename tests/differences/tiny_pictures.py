"""Views of pictures of one colour, by the options of a recipe."""

import numpy as np
from row_settings import recipe

from sm3kit.data.pool import build_modality
from sm3kit.datasets.base import ModalitySpec


def photo(*names, **changes):
    """The modality of a recipe for Derm7pt, with changes for one modality; views of 16 pixels."""
    options = {**recipe(*names).options, "derm": changes}
    return build_modality("derm", ModalitySpec("photo", {"border": 25}), 16, options)


def plain_picture(colour):
    """(3, 20, 20) of one colour: a crop, a flip or a blur changes nothing."""
    return np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 20, 20)).copy()


def views_of(modality, count):
    """Random views of a picture of one colour."""
    rng = np.random.default_rng(0)
    picture = plain_picture((180, 120, 60))
    return [view for _ in range(count) for view in modality.views(picture, rng)]


def grey_share(views):
    return np.mean([(view[0] == view[1]).all() and (view[1] == view[2]).all() for view in views])
