"""60 epochs of sep_sep on MILK10k: how well pairs find each other, seen and held out.

    python tests/benchmarks/milk10k_matching.py FOLDER [EPOCHS]

ResNet-18 from scratch, 64 px, batch 96, seed 0; the ranks are printed by the run itself.
"""

import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Runs the command and shows its output."""
    folder = sys.argv[1]
    epochs = sys.argv[2] if len(sys.argv) > 2 else "60"
    script = Path(sys.executable).with_name("sm3kit")
    command = [str(script), "pretrain", "--data", f"milk10k:{folder}", "--recipe", "quick"]
    command += ["--objective", "simclr", "--fusion", "sep_sep", "--backbone", "resnet18"]
    command += ["--weights", "none", "--image-size", "64", "--batch-size", "96", "--seed", "0"]
    command += ["--stage", "mmssl", "--lr", "0.0005", "--epochs", epochs]
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([*command, "--out", f"{out}/run"], check=True)


if __name__ == "__main__":
    main()
