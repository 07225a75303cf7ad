"""The verdict on made-up histories of which one knows what they show."""

import dataclasses
import math

import pytest

from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.core.variant import Variant
from sm3kit.runs.verdict import judge

VARIANT = Variant(stage="mmssl", weights="none", stage1=Stage1Settings(lr=1e-3, epochs=50))
PAIRS = 100  # Chance is a mean rank of 50.5.
LOOKS = range(5, 51, 5)


def wave(epoch):
    """What looks without any trend do."""
    return (-1) ** (epoch // 5)


def history(
    rank=None, auc=None, std=0.9, loss=lambda e: 5 - 0.04 * e, start=True, looks=LOOKS, rankme=40
):
    """Rows of 50 epochs; `rank(epoch)` and `auc(epoch)` are looked at every fifth and before them."""
    rows = []
    for epoch in range(0 if start else 1, max(looks) + 1):
        row = {"stage": "mmssl", "epoch": epoch}
        if epoch:
            row |= {"loss": loss(epoch), "std/derm": std, "std/derm*": 1.0, "rankme/derm": rankme}
        if rank and (epoch in looks or epoch == 0):
            row |= {
                "rank/a->b*": rank(epoch),
                "rank/b->a*": rank(epoch),
                "pairs/a->b": PAIRS,
                "pairs/b->a": PAIRS,
            }
        if auc and (epoch in looks or epoch == 0):
            row |= {"knn_auc": auc(epoch), "knn_auc_error": 0.02, "knn_auc_of": PAIRS}
        rows.append({name: str(value) for name, value in row.items()})
    return rows


def says(rows, variant=VARIANT):
    verdict = judge(rows, variant, "runs/x")
    return (verdict.collapsed, verdict.better, verdict.improving), verdict


def falling(epoch):
    return 50 - 0.8 * epoch + 0.3 * wave(epoch)


def settled(epoch):
    return 50 - 2.2 * min(epoch, 20) + 0.2 * wave(epoch)


def turning(epoch):
    return 50 - 2.0 * epoch if epoch <= 20 else 10 + 1.0 * (epoch - 20)


CASES = {
    # name: (rows, (collapsed, better, improving), words of the sentences, words of the advice)
    "collapse": (history(lambda e: 50, std=0.02), (True, False, False), "Collapsed: ", "--lr 0.0001"),
    "not finite": (history(std=math.nan), (True, None, None), "Diverged: ", "--precision 32"),
    "no gain": (
        history(lambda e: 50 + wave(e), lambda e: 0.5 + 0.005 * wave(e)),
        (False, False, False),
        "No gain can be claimed: the mean rank of the true partner is",
        "--weights imagenet",
    ),
    "loss that does not move": (
        history(lambda e: 50 + wave(e), loss=lambda e: 5.0), (False, False, False), "No gain", "--lr 0.01",
    ),
    "loss that rises": (
        history(lambda e: 50 + wave(e), loss=lambda e: 5 + e), (False, False, False), "No gain", "--lr 0.0001",
    ),
    "gain and flat": (
        history(settled, lambda e: 0.5 + 0.01 * min(e, 20) + 0.002 * wave(e)),
        (False, True, False),
        "has hardly changed",
        "sm3kit evaluate runs/x",
    ),
    "gain and still improving": (
        history(falling), (False, True, True), "Still improving", "--resume --out runs/x --epochs 100",
    ),
    "too wild to tell": (
        history(lambda e: 50 if e == 0 else 20 - 0.1 * e + 2 * wave(e)), (False, True, None), "too few or too uneven", "--epochs 100",
    ),
    "overfitting": (history(turning), (False, True, False), "Past its best", "--epochs 20"),
    "worse than its start": (
        history(lambda e: 20 + 0.4 * e), (False, False, False), "Past its best", "--epochs 5",
    ),
    "one modality": (
        history(None, lambda e: 0.6 + 0.006 * e + 0.001 * wave(e)), (False, True, True), "kNN AUC is 90.1 %", "--epochs 100",
    ),
    "no labels": (history(settled), (False, True, False), "mean rank", "evaluate"),
    "no validation studies": (
        history(looks=[50]), (False, None, None), "Nothing was measured on validation studies", "a validation split",
    ),
    "few epochs": (
        history(lambda e: 50 - e, looks=[1, 2]), (False, False, None), "at least 4 looks", "2 epochs are few",
    ),
    "narrow": (
        [{**row, "rankme/derm": str(40 / int(row["epoch"]))} for row in history(settled) if row["epoch"] != "0"],
        (False, True, False), "RankMe fell from 40.0 to 0.8", "evaluate",
    ),
    "an older run without its start": (
        history(settled, start=False), (False, True, False), "50.5 by chance", "evaluate",
    ),
    "labels of an older run": (
        history(None, lambda e: 0.7, start=False), (False, None, False), "before the training is not known", "evaluate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_made_up_history_is_judged_as_it_was_made(name):
    rows, answers, words, advice = CASES[name]
    told, verdict = says(rows)
    assert told == answers, verdict
    assert words in " ".join(verdict.sentences)
    assert advice in " ".join(verdict.advice)


def test_a_difference_within_noise_is_told_as_such():
    """Ranks of 100 pairs near chance have an error of 2.9 each; 50 and 43 differ by less than 8.2."""
    (_, better, _), verdict = says(history(lambda e: 50 - 7 * (e > 0)))
    assert better is False
    assert "Differences of up to 8.2 may be chance." in verdict.sentences[1]
    assert says(history(lambda e: 50 - 9 * (e > 0)))[0][1] is True


def test_a_better_rank_beside_worse_labels_is_no_clear_gain():
    told, verdict = says(history(settled, lambda e: 0.8 if e == 0 else 0.6))
    assert told[1] is False
    assert "Worse than its start: the kNN AUC is 60.0 %" in " ".join(verdict.sentences)


def test_without_an_epoch_of_stage_1_there_is_nothing_to_say():
    assert judge([], VARIANT, "x").lines() == []
    assert judge([{"stage": "mlssl", "epoch": "1"}], VARIANT, "x").sentences == ()


def test_a_run_with_a_second_stage_cannot_be_trained_on():
    both = dataclasses.replace(VARIANT, stage="both")
    assert "in a new run: --epochs 100" in says(history(falling), both)[1].advice[0]


def test_off_monitors_are_told():
    off = dataclasses.replace(VARIANT, stage1=dataclasses.replace(VARIANT.stage1, monitor_every=0))
    assert says(history(looks=[50]), off)[1].advice == (
        "Look at the validation studies now and then: -o stage1.monitor_every=5",
    )


def test_numbers_and_text_are_judged_alike():
    rows = history(settled)
    numbers = [{n: v if n == "stage" else float(v) for n, v in row.items()} for row in rows]
    assert judge(rows, VARIANT, "x") == judge(numbers, VARIANT, "x")


def test_early_stopping_is_judged_by_the_networks_that_it_kept():
    """The best look was in epoch 20, and ranks are worse since: the run has those of epoch 20."""
    rows = [{**row, "best_epoch": min(int(row["epoch"]), 20) or ""} for row in history(turning)]
    settings = dataclasses.replace(VARIANT.stage1, stop_on="rank")
    told, verdict = says(rows, dataclasses.replace(VARIANT, stage1=settings))
    assert told == (False, True, False)
    text = " ".join(verdict.sentences)
    assert "Better than its start: the mean rank of the true partner is 10.0" in text
    assert "Early stopping kept the networks of epoch 20; no later look, up to epoch 50" in text
    assert "Past its best" not in text
