"""Results of an evaluation as tables for a terminal; all columns fit into 80."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sm3kit.cli.columns import DIFFERENCE, show_columns
from sm3kit.cli.settings import say
from sm3kit.evaluation.record_text import (
    left_out_text,
    mean_text,
    pairs_were_seen,
    reported_name,
    studies_text,
    support_text,
)

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = ("auc", "sens", "spec", "prec", "auprc", "sens_at_90_spec")
HEADS = ("AUC", "95 % interval", "sens", "spec", "prec", "AUPRC", "s@90", "n+")
LEAST = ("s@90", "AUPRC", "prec", "n+")  # What a narrow terminal does without, in this order.


def show(record: dict[str, Any], out: Console, quiet: bool = False) -> None:
    """A result: how it was made, the numbers, and what they rest on; quiet, only where it is."""
    if not quiet:
        for note in record["notes"]:
            say(out, f"note     {note}")
        (_show_ranks if record["protocol"] == "match" else _show_labels)(record, out)
    _warn(record, out)
    say(out, f"written  {record['file']}")


def show_comparison(record: dict[str, Any], out: Console, quiet: bool = False) -> None:
    """What the second run has more than the first; quiet, only warnings and the mean."""
    if not quiet:
        _show_differences(record, out)
    for name, (first, second) in _differences(record["differs"]).items():
        say(out, f"warning  {name} differs: {first} and {second}", style="yellow")
    _warn(record, out)
    if quiet:
        mean = record["mean"]
        ends = _interval(mean["ci95"], signed=True)
        say(out, f"mean     {_signed(mean['auc'])} points of AUC, 95 % interval {ends}")


def _warn(record: dict[str, Any], out: Console) -> None:
    from sm3kit.evaluation.caveats import caveats

    for told in caveats(record):
        say(out, f"warning  {told}", style="yellow")


def _show_differences(record: dict[str, Any], out: Console) -> None:
    for note in record["notes"]:
        say(out, f"note     {note}")
    one, other = record["means"]
    say(out, f"first    {record['runs'][0]}, mean AUC {_percent(one)}")
    say(out, f"second   {record['runs'][1]}, mean AUC {_percent(other)}")
    rows = []
    for name, row in {**record["labels"], "mean": record["mean"]}.items():
        above = row["above_zero"]["auc"]
        share = "-" if above is None else f"{100 * above:.0f} %"
        rows.append([name, _signed(row["auc"]), _interval(row["ci95"], signed=True), share])
    show_columns(out, ("label", "AUC", "95 % interval", "above 0"), rows)
    say(out, DIFFERENCE)
    say(out, f"mean     of {mean_text(record)}")
    _say_basis(out, record)


def _show_labels(record: dict[str, Any], out: Console) -> None:
    say(out, f"{record['protocol']:8} {_learned(record)}")
    say(out, f"select   {_selection(record)}")
    rows = []
    for name, row in record["labels"].items():
        rows.append([f"{name} {reported_name(row)}", *_cells(row), support_text(row)])
    mean = record["mean"]
    rows.append(["mean", *_cells(mean), mean_text(record)])
    spread = [_percent(mean["stds"][metric]) for metric in SHOWN]
    rows.append(["STD of labels", spread[0], "", *spread[1:], ""])
    show_columns(out, ("label", *HEADS), rows, least=LEAST, bold=[len(rows) - 2])
    say(out, "in %; s@90: sensitivity at 90 % specificity; n+: positive of known studies")
    _say_basis(out, record)
    _show_published(record, out)


def _show_ranks(record: dict[str, Any], out: Console) -> None:
    rows = []
    parts = {"": record, "no duplicates": record.get("without_duplicates", {"space": {}})}
    for mark, part in parts.items():
        for space, directions in part["space"].items():
            for direction, row in directions.items():
                numbers = [f"{row[name]:.1f}" for name in ("mean_rank", "chance", "median_rank")]
                shares = [_percent(row[name]) for name in ("acc@1", "acc@5")]
                name = f"{space} {mark}".strip()
                rows.append([name, direction, *numbers, *shares, str(row["n"])])
    heads = ("space", "direction", "mean rank", "chance", "median", "acc@1", "acc@5", "pairs")
    show_columns(out, heads, rows, left=2, least=("median", "acc@5"))
    if "without_duplicates" in record:
        say(out, f"no duplicates: {left_out_text(record)}")
    _show_published(record, out)
    seen = ", seen in pre-training" if pairs_were_seen(record) else ""
    say(out, f"split {record['split']}{seen}, 1 seed, acc in %")


def _show_published(record: dict[str, Any], out: Console) -> None:
    row = record.get("published")
    if row:
        metric = "mean AUC" if "auc" in row else "mean rank"
        say(
            out,
            f"paper    {metric} {row['mark']} (table {row['table']}, row {row['row']}; {row['how']})",
        )


def _learned(record: dict[str, Any]) -> str:
    count = record["trainable_parameters"]
    if not count:
        return f"votes of {record['trained_on']} labelled studies; nothing was trained"
    size = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"
    names = {"relation": "heads and relation", "layers": "layers, relation and heads"}
    scope = names.get(record["scope"], record["scope"])
    return f"{scope}: {size} weights saw the labels of {record['trained_on']} studies"


def _selection(record: dict[str, Any]) -> str:
    chosen = ", ".join(f"{name} {value}" for name, value in record["chosen"].items())
    if record["select"] == "last":
        return f"last: {chosen}, not selected"
    where = "val" if record["select"] == "val_best" else record["split"]
    return f"{record['select']}: {chosen}, mean AUC {_percent(record['selection_auc'])} on {where}"


def _differences(differs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{setting: both values}; of a table such as `views` only the entries that differ."""
    found = {}
    for name, (one, other) in differs.items():
        if not isinstance(one, dict):
            found[name] = one, other
            continue
        for key in {**one, **other}:
            values = one.get(key, "unset"), other.get(key, "unset")
            if values[0] != values[1]:
                found[f"{name}.{key}"] = values
    return found


def _say_basis(out: Console, record: dict[str, Any]) -> None:
    """What every table says of itself: selection rule, split, seeds, support, resamples."""
    count = len(set(record["seeds"]))
    number = f"{count} seed{'s' if count > 1 else ''}"
    studies = studies_text(record)
    intervals = f"intervals of {record['resamples']:,} resamples of the groups"
    lines = [f"{number}, {studies}", intervals]
    if "runs" in record:  # Two runs, of one seed each.
        seeds = ", ".join(map(str, record["seeds"]))
        lines = [f"1 seed each ({seeds})", f"{studies}, {intervals}"]
    say(out, f"basis    select {record['select']}, split {record['split']}, {lines[0]}")
    say(out, f"         {lines[1]}")


def _cells(row: dict[str, Any]) -> list[str]:
    values = [_percent(row[metric]) for metric in SHOWN]
    return [values[0], _interval(row["ci95"]), *values[1:]]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _interval(ends: list[float | None], *, signed: bool = False) -> str:
    if None in ends:
        return "-"
    shown = [_signed(end) if signed else _percent(end) for end in ends]
    return f"{shown[0]} to {shown[1]}"
