"""Printed numbers to be careful with."""

import torch
from differences_page import PRINTED, ROWS, row, sentence

from sm3kit.published.tables import load, published_row
from sm3kit.runs.folder import RunFolder


@row(PRINTED, "SimCLR-derm", "75.5")
@row(PRINTED, "SwAV", "78.0")
@row(PRINTED, "BYOL", "78.3")
@row(PRINTED, "F4M-FS", "80.05")
@sentence(PRINTED, "Four averages of Table 5 are not the mean of their own row")
def test_means_of_rows_that_are_not_what_is_printed():
    listed = {what: cells for (section, what), cells in ROWS.items() if section == PRINTED}
    table = load().tables["5"].rows
    off = {name: one for name, one in table.items() if one.cell("auc").rule == "row mean"}
    assert set(listed) == set(off)
    assert len(listed) == 4
    for name, cells in listed.items():
        assert float(cells["printed"]) == off[name].cell("auc").printed
        assert float(cells["mean of the row"]) == off[name].cell("auc").row_mean


@sentence(
    PRINTED,
    "BYOL is level with SimCLR (78.2), and F4M-FS is above sep_sep (79.5)",
    "every row is a single run",
    "differences below about one point are not meaningful",
)
def test_what_the_means_of_the_rows_say():
    mean = {name: published_row("5", name).cell("auc").value for name in load().tables["5"].rows}
    assert (mean["SimCLR"], mean["sep_sep"]) == (78.2, 79.5)
    assert abs(mean["BYOL"] - mean["SimCLR"]) < 0.15
    assert mean["F4M-FS"] > mean["sep_sep"]
    for name in mean:
        assert published_row("5", name).runs == 1


@sentence(PRINTED, "sm3kit's pre-training never uses the test split; both stages keep the last")
def test_both_stages_keep_the_last_epoch_and_never_look_at_the_test_split(trained):
    assert trained.hidden > 4  # The run ended although these cannot be read.
    run = RunFolder(trained.folder)
    for stage, file in (("mmssl", run.mmssl), ("mlssl", run.mlssl)):
        first, last = trained.ends[stage]
        kept = torch.load(file, weights_only=True)["model"]
        common = [name for name in last if name in kept and name.endswith("weight")]
        assert common
        assert all(torch.equal(kept[name], last[name].cpu()) for name in common)
        assert not all(torch.equal(first[name], last[name]) for name in common)
