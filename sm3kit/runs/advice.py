"""What to try after a stage 1, as sentences with the flags."""

from __future__ import annotations

from sm3kit.core.variant import Variant
from sm3kit.runs.epoch_rows import Rows, series

FEW_EPOCHS = 30
UNMOVED = 0.01  # Less than this share of the first loss is no learning.


def advise(
    epochs: Rows, variant: Variant, folder: str, state: str, best: int = 0
) -> tuple[str, ...]:
    """What to try next, the most promising first.

    Args:
        epochs: rows of stage 1.
        variant: of the run.
        folder: of the run.
        state: "diverged", "collapsed", a trend of what has gained, or a gain; see
            `sm3kit.runs.verdict`.
        best: the epoch after which it got worse; 0 if none.
    """
    settings, done = variant.stage1, int(epochs[-1]["epoch"])
    slower, faster = f"--lr {settings.lr / 10:g}", f"--lr {settings.lr * 10:g}"
    if state == "diverged":
        return (f"Try {slower}{'' if settings.precision == '32' else ', or --precision 32'}.",)
    if state == "collapsed":
        return (f"Try {slower}, or --batch-size {2 * settings.batch_size}.",)
    if state == "past its best":
        return (
            f"Try --epochs {best}, a lower rate ({slower}), or more studies: what is learned after "
            f"epoch {best} does not carry over to other studies.",
        )
    longer = _longer(variant, folder, max(2 * done, FEW_EPOCHS))
    if state == "improving":
        return (longer, f"Measure it: sm3kit evaluate {folder}")
    if state in ("same", "worse"):
        return _without_gain(epochs, variant, longer, slower, faster)
    if state == "flat":
        return (
            f"Measure it: sm3kit evaluate {folder}",
            "More epochs alone are unlikely to help. A larger --batch-size or --image-size, another "
            "--backbone or --objective, or more studies may.",
        )
    if settings.monitor_every == 0:
        return ("Look at the validation studies now and then: -o stage1.monitor_every=5",)
    if not series(epochs, "knn_auc") and not any(name.startswith("rank/") for name in epochs[-1]):
        return (
            "Give the data a validation split, with labels or with pairs, to see what is learned.",
        )
    if state == "unknown":
        return (f"Measure it: sm3kit evaluate {folder}", longer)
    return ()


def _longer(variant: Variant, folder: str, epochs: int) -> str:
    """How to train for longer; stage 2 builds on the networks as they are."""
    if variant.stage == "mmssl":
        return f"Train on: sm3kit pretrain --resume --out {folder} --epochs {epochs}"
    return f"Train for longer, in a new run: --epochs {epochs}"


def _without_gain(
    epochs: Rows, variant: Variant, longer: str, slower: str, faster: str
) -> tuple[str, ...]:
    """What to try where nothing was gained: the loss tells the most likely reason."""
    losses = series(epochs, "loss")
    first, last = losses[0][1], losses[-1][1]
    advice = []
    if last > first + UNMOVED * abs(first):
        advice.append(f"The loss has risen from {first:.3g} to {last:.3g}: try {slower}.")
    elif first - last < UNMOVED * abs(first):
        advice.append(f"The loss has hardly moved ({first:.3g} to {last:.3g}): try {faster}.")
    if len(epochs) < FEW_EPOCHS:
        advice.append(f"{len(epochs)} epochs are few. {longer}")
    if variant.weights == "none":
        advice.append("Start from known weights: --weights imagenet")
    return (
        *advice,
        f"Let each step compare more studies: --batch-size {2 * variant.stage1.batch_size}",
    )[:3]
