"""Prints how many synthetic pairs a second one core draws and writes: python synthetic_speed.py."""

import sys
import tempfile
import time
from pathlib import Path

import cv2

from sm3kit.synthesis.layouts import write


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        write("manifest", Path(folder) / "warm", pairs=5)
        for size in (64, 128, 224):
            start = time.process_time()
            write("manifest", Path(folder) / str(size), pairs=pairs, size=size, seed=1)
            spent = time.process_time() - start
            print(f"{size} px: {pairs / spent:.0f} pairs/s, {1000 * spent / pairs:.1f} ms a pair")


if __name__ == "__main__":
    main()
