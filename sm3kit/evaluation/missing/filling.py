"""What stands in for the features of an absent modality."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from sm3kit.nn.host.values import to_device
from sm3kit.nn.named_modules import NamedModules

Features = dict[str, Tensor]
Join = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


class Filling(nn.Module):
    """Leaves absent modalities to the fusion, whose joint feature has zeros in their place.

    In training it may hide present ones, so that what learns behind it meets missing modalities.

    Source: Neverova et al. 2016, doi:10.1109/TPAMI.2015.2461544, ModDrop: whole modalities are
    dropped at random.
    Differs from the paper: a study that would lose all of its modalities keeps them.

    Args:
        widths: {modality: D}, in the order of the fusion.
        hidden: share of the images that are hidden in training.
    """

    def __init__(self, widths: Mapping[str, int], hidden: float = 0.0) -> None:
        super().__init__()
        self.widths, self.hidden = dict(widths), hidden

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[Features, Features]:
        """Features {modality: (B, D)}, and which of them {modality: (B,) bool} are to count.

        Args:
            features: {modality: (B, D)}; anything finite where absent.
            present: {modality: (B,) bool}.
        """
        device = next(iter(features.values())).device
        there = {name: to_device(present[name], device) for name in self.widths}
        if self.training and self.hidden:
            there = hide_some(there, self.hidden)
        return self.fill({name: features[name] for name in self.widths}, there)

    def fill(self, features: Features, present: Features) -> tuple[Features, Features]:
        """The same for modalities that are present or not, in training and evaluation alike."""
        return features, present

    def for_member(self) -> Filling:
        """The filling of a member of an ensemble: its own copy if it learns, else this one, shared."""
        learns = next(self.parameters(), None) is not None
        return copy.deepcopy(self) if learns else self


class TokenFilling(Filling):
    """Puts a vector in the place of each absent modality, which is learned with the labels.

    As the mask token of BERT (Devlin et al. 2019, arXiv:1810.04805, section 3.1), one for each
    modality. It starts as zeros, and stays as it starts where no study ever lacks its modality.
    """

    def __init__(self, widths: Mapping[str, int], hidden: float = 0.0) -> None:
        super().__init__(widths, hidden)
        self.tokens = NamedModules({name: Token(width) for name, width in widths.items()})

    def fill(self, features: Features, present: Features) -> tuple[Features, Features]:
        """Every modality counts, by its features or by its token."""
        instead = {}
        for name, rows in features.items():
            token = self.tokens[name]
            assert isinstance(token, Token)
            instead[name] = token.vector.expand_as(rows)
        return _put(instead, features, present)


class Token(nn.Module):
    """A vector (D,) that learns.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))


class LinearFilling(Filling):
    """Estimates absent modalities linearly from those that are present.

    There is an estimate for each set of present modalities that it knows; for all others the
    constant one, from none.

    Args:
        widths, hidden: see `Filling`.
        whole: whether it knows every set of present modalities, or the empty one alone.
    """

    def __init__(
        self, widths: Mapping[str, int], hidden: float = 0.0, *, whole: bool = True
    ) -> None:
        super().__init__(widths, hidden)
        self.estimates = NamedModules(
            {
                name: nn.ModuleList(
                    [
                        Estimate({source: widths[source] for source in sources}, width)
                        for sources in sources_of(name, list(widths), whole=whole)
                    ]
                )
                for name, width in widths.items()
            }
        )

    def of(self, modality: str) -> list[Estimate]:
        """The estimates of a modality; the first one is from none of the others."""
        estimates: list[Estimate] = list(self.estimates[modality])  # type: ignore[call-overload]
        return estimates

    def fill(self, features: Features, present: Features) -> tuple[Features, Features]:
        """Every modality counts, by its features or by their estimate."""
        instead = {}
        for name in self.widths:
            constant, *others = self.of(name)
            rows = constant(features).expand_as(features[name])
            for estimate in others:
                # No branch on what is present: an exported graph has none.
                exactly = torch.stack(
                    [
                        present[other] if other in estimate.widths else ~present[other]
                        for other in self.widths
                        if other != name
                    ]
                ).all(dim=0)
                rows = torch.where(exactly.unsqueeze(1), estimate(features), rows)
            instead[name] = rows
        return _put(instead, features, present)


class Estimate(nn.Module):
    """The features of a modality as a linear function of those of others; zeros until it is fitted.

    Args:
        widths: {modality: D} of the others.
        width: of the estimate.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        # Labels do not reach them, so they are no parameters.
        self.register_buffer("weight", torch.zeros(sum(widths.values()), width))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """(B, D), or (D,) from no other modality."""
        if not self.widths:
            return self.bias
        return torch.cat([features[name] for name in self.widths], dim=1) @ self.weight + self.bias


def sources_of(name: str, names: Sequence[str], *, whole: bool) -> list[tuple[str, ...]]:
    """What a modality may be estimated from: none of the others, then each set of them.

    Args:
        name: of the modality.
        names: of all.
        whole: whether all sets are wanted, or the empty one alone.
    """
    others = [other for other in names if other != name]
    sizes = range(len(others) + 1 if whole else 1)
    return [chosen for size in sizes for chosen in combinations(others, size)]


def hide_some(present: Features, share: float) -> Features:
    """Which modalities (B,) of each study are still seen when a share of them is hidden.

    Every image is hidden or not on its own; a study that would lose all of its images keeps them.
    """
    masks = torch.stack(list(present.values()))
    seen = masks & (torch.rand(masks.shape, device=masks.device) >= share)
    seen = torch.where(seen.any(dim=0), seen, masks)
    return dict(zip(present, seen.unbind(), strict=True))


def _put(instead: Features, features: Features, present: Features) -> tuple[Features, Features]:
    filled = {
        name: torch.where(present[name].unsqueeze(1), features[name], rows)
        for name, rows in instead.items()
    }
    return filled, {name: torch.ones_like(mask) for name, mask in present.items()}


def filled_joint(
    join: Join,
    filling: Filling | None,
    features: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
) -> Tensor:
    """The joint feature (B, J), in which something stands for absent modalities.

    Args:
        join: makes it from features and presence, as `Branches.joint` does.
        filling: what stands in; None leaves absent modalities to the fusion.
        features: {modality: (B, D)}.
        present: {modality: (B,) bool}.
    """
    return join(features, present) if filling is None else join(*filling(features, present))


def new_filling(rule: str, widths: Mapping[str, int], hidden: float = 0.0) -> Filling:
    """What a rule begins as, before anything is fitted or learned.

    Args:
        rule: "zeros", "mean", "token" or "complete".
        widths, hidden: see `Filling`.
    """
    if rule in ("mean", "complete"):
        return LinearFilling(widths, hidden, whole=rule == "complete")
    return {"zeros": Filling, "token": TokenFilling}[rule](widths, hidden)
