"""Predictions from Python: train, measure, and ask for one new case with its images."""

from pathlib import Path

import sm3kit
from sm3kit.api import visible_paths
from sm3kit.synthesis.layouts import write

if __name__ == "__main__":
    run = sm3kit.pretrain("synthetic:60", stage="mmssl", epochs=1)

    # The evaluation leaves a classifier in the run. It is what predicts.
    result = run.evaluate("probe", epochs=2)
    Path("table.tex").write_text(result.table().to_latex(), encoding="utf-8")

    # Put a new case of yours here. A modality may be missing.
    if not Path("new").exists():
        write("manifest", Path("new"), pairs=1, size=64)
    clinic, derm = visible_paths(Path("new"), "**/*.jpg")[:2]
    print(run.predict(derm=derm, clinic=clinic))
    alone = run.predict(derm=derm)
    print(f"from derm alone: {alone.decisions['DIAG']}, {alone.probabilities['DIAG']}")
