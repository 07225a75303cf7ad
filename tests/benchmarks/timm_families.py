"""What the smallest model of every module of timm makes of views of 48 pixels, and how long it takes.

About five minutes on one core: python tests/benchmarks/timm_families.py [MODULE...]
"""

import sys
import time
from pathlib import Path

import timm

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from test_timm_families import SMALLEST, check_small_size


def tried(module: str) -> str:
    """What became of the model of a module."""
    try:
        sizes = check_small_size(SMALLEST[module])
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {' '.join(str(error).split())}"
    return f"asks for {sizes}" if sizes else "works"


def main(modules: list[str]) -> int:
    """Prints a line for each module; gives how many failed."""
    failed = 0
    for module in modules or [name for name in SMALLEST if name in timm.list_modules()]:
        start = time.perf_counter()
        outcome = tried(module)
        failed += outcome.startswith("FAILED")
        seconds = time.perf_counter() - start
        print(f"{module:26} {SMALLEST[module]:36} {seconds:6.1f} s  {outcome}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
