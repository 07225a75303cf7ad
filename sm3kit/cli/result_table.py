"""Results of an evaluation as tables for a terminal; all columns fit into 80."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sm3kit.cli.settings import say
from sm3kit.cli.tables import show_notes, show_section
from sm3kit.evaluation.record_text import (
    classifier_name,
    left_out_text,
    mean_text,
    pairs_were_seen,
    studies_text,
    warnings_of,
)
from sm3kit.evaluation.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

# What a narrow terminal does without, in this order.
LEAST, LEAST_OF_RANKS = ("s@90", "AUPRC", "prec", "n+"), ("median", "acc@5")
LEAST_OF_CLUSTERS = ("k", "labelled")
MISSING = "-"


def show(record: dict[str, Any], out: Console, quiet: bool = False) -> None:
    """A result: how it was made, the numbers, and what they rest on; quiet, only where it is."""
    if not quiet:
        for note in record["notes"]:
            say(out, f"note     {note}")
        shows = {"match": _show_ranks, "clusters": _show_clusters}
        shows.get(record["protocol"], _show_labels)(record, out)
    _warn(record, out)
    say(out, f"written  {record['file']}")


def show_comparison(record: dict[str, Any], out: Console, quiet: bool = False) -> None:
    """How much the second run improves on the first; quiet, only warnings and the mean."""
    if not quiet:
        _show_differences(record, out)
    for name, (first, second) in _differences(record["differs"]).items():
        say(out, f"warning  {name} differs: {first} and {second}", style="yellow")
    _warn(record, out)
    if quiet:
        mean = record["mean"]
        low, high = map(_with_sign, mean["ci95"])
        ends = "no interval" if low == MISSING else f"95 % interval {low} to {high}"
        say(out, f"mean     {_with_sign(mean['auc'])} points of AUC, {ends}")


def _warn(record: dict[str, Any], out: Console) -> None:
    for sentence in warnings_of(record):
        say(out, f"warning  {sentence}", style="yellow")


def _show_differences(record: dict[str, Any], out: Console) -> None:
    from sm3kit.results.differences import comparison_section
    from sm3kit.results.evaluation_table import intervals_text

    for note in record["notes"]:
        say(out, f"note     {note}")
    first, second = record["means"]
    say(out, f"first    {record['runs'][0]}, mean AUC {_percent(first)}")
    say(out, f"second   {record['runs'][1]}, mean AUC {_percent(second)}")
    section = comparison_section(record)
    show_section(section, out)
    show_notes(section, out)
    seeds = ", ".join(map(str, record["seeds"]))  # Two runs, of one seed each.
    rule = f"select {record['select']}, split {record['split']}, 1 seed each ({seeds})"
    say(out, f"basis    {rule}; {studies_text(record)}; mean of {mean_text(record)}")
    if record["resamples"]:
        say(out, f"note     {intervals_text(record['resamples'])}")


def _show_labels(record: dict[str, Any], out: Console) -> None:
    from sm3kit.results.evaluation_table import AUPRC, STD, evaluation_section, intervals_text

    say(out, f"{record['protocol']:8} {_learning(record)}")
    say(out, f"select   {_selection(record)}")
    section = evaluation_section(record)
    show_section(section, out, least=LEAST)
    how = f"In %. {AUPRC} {STD} {intervals_text(record['resamples'])}".rstrip()
    show_notes(replace(section, notes=(how,)), out)
    _show_published(record, out)


def _show_ranks(record: dict[str, Any], out: Console) -> None:
    from sm3kit.results.evaluation_table import RANKS_TEXT, evaluation_section

    section = evaluation_section(record)
    show_section(section, out, least=LEAST_OF_RANKS)
    notes = [RANKS_TEXT]
    notes += ["The pairs were seen in pre-training."] * pairs_were_seen(record)
    if "without_duplicates" in record:
        notes.append(f"No duplicates: {left_out_text(record)}.")
    show_notes(replace(section, notes=tuple(notes)), out)
    _show_published(record, out)


def _show_clusters(record: dict[str, Any], out: Console) -> None:
    from sm3kit.results.clustering.of_run import DIAGNOSIS, HOW, without_interval
    from sm3kit.results.evaluation_table import evaluation_section, intervals_text

    section = evaluation_section(record)
    show_section(section, out, least=LEAST_OF_CLUSTERS)
    how = f"{HOW} {intervals_text(record['resamples'])}".rstrip()
    show_notes(replace(section, notes=(how, DIAGNOSIS, *without_interval(record))), out)


def _show_published(record: dict[str, Any], out: Console) -> None:
    row = record.get("published")
    if row:
        metric = "mean AUC" if "auc" in row else "mean rank"
        say(
            out,
            f"paper    {metric} {row['mark']} (table {row['table']}, row {row['row']}; {row['how']})",
        )


def _learning(record: dict[str, Any]) -> str:
    count = record["trainable_parameters"]
    if not count:
        return f"votes of {record['trained_on']} labelled studies; nothing was trained"
    size = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"
    names = {"relation": "heads and relation", "layers": "layers, relation and heads"}
    scope = names.get(record["scope"], record["scope"])
    classifier = classifier_name(record)
    scope += "" if classifier == Settings.classifier else f", {classifier}"
    return f"{scope}: {size} weights trained on labels of {record['trained_on']} studies"


def _selection(record: dict[str, Any]) -> str:
    chosen = ", ".join(f"{name} {value}" for name, value in record["chosen"].items())
    if record["select"] == "last":
        return f"last: {chosen}, not selected"
    where = "val" if record["select"] == "val_best" else record["split"]
    return f"{record['select']}: {chosen}, mean AUC {_percent(record['selection_auc'])} on {where}"


def _differences(differs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{setting: both values}; of a table such as `views` only the entries that differ."""
    pairs = {}
    for name, (first, second) in differs.items():
        if not isinstance(first, dict):
            pairs[name] = first, second
            continue
        for key in {**first, **second}:
            values = first.get(key, "unset"), second.get(key, "unset")
            if values[0] != values[1]:
                pairs[f"{name}.{key}"] = values
    return pairs


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _with_sign(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"
