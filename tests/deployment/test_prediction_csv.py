"""The table of predictions: no cell is a formula, and all of it comes back as it was."""

from sm3kit.deployment.predict import write_csv
from sm3kit.tables.csv_table import read_table

LABELS = {"=DIAG": {"classes": ["-a", "@b"], "reported": "-a"}}
STUDY = {
    "id": "=HYPERLINK(1)",
    "split": "test",
    "missing": [],
    "decisions": {"=DIAG": "-a"},
    "probabilities": {"=DIAG": {"-a": 0.75, "@b": 0.25}},
}
UNREADABLE = {"id": "+1 a", "error": "-nothing is there"}


def test_ids_classes_and_labels_are_no_formulas(tmp_path):
    file = tmp_path / "predictions.csv"
    write_csv({"labels": LABELS, "studies": [STUDY], "unreadable": [UNREADABLE]}, file)
    lines = file.read_text("utf-8").splitlines()
    cells = [cell for line in lines for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert "0.75" in cells
    table = read_table(file, "predictions")
    assert table.columns == ("id", "split", "missing", "=DIAG", "=DIAG:-a", "=DIAG:@b", "error")
    first, second = table.rows
    assert (first["id"], first["=DIAG"], first["=DIAG:@b"]) == ("=HYPERLINK(1)", "-a", "0.25")
    assert (second["id"], second["error"]) == ("+1 a", "-nothing is there")
