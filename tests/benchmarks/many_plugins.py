"""How long `sm3kit --help` and `sm3kit plugins list` take beside fifty other distributions.

One of them is broken, and one takes seconds to import. python tests/benchmarks/many_plugins.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS, COUNT = 9, 50
CLASS = "class Own:\n    def __init__(self, widths, *, rate: float = 0.5): ...\n"
SOURCES = {0: "import not_to_be_found\n" + CLASS, 1: "import time\ntime.sleep(60)\n" + CLASS}


def install(site: Path, count: int = COUNT) -> None:
    """Writes distributions of one fusion each; the first is broken, the second is slow."""
    for number in range(count):
        module = f"dummy_{number:02}"
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n"
        info.joinpath("METADATA").write_text(text, encoding="utf-8")
        lines = f"[sm3kit.api]\n1 = {module}\n[sm3kit.fusions]\n{module} = {module}:Own\n"
        info.joinpath("entry_points.txt").write_text(lines, encoding="utf-8")
        source = SOURCES.get(number, f"import torch\n{CLASS}")
        site.joinpath(f"{module}.py").write_text(source, encoding="utf-8")


def run(site: Path, *words: str) -> str:
    """What a command prints in a process that sees these distributions."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-m", "sm3kit", *words],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout


def main() -> None:
    """Prints median and worst time of each command, without and with the distributions."""
    with tempfile.TemporaryDirectory() as folder:
        site, empty = Path(folder) / "site", Path(folder) / "empty"
        install(site)
        empty.mkdir()
        for words in (("--help",), ("plugins", "list")):
            for name, place in (("without", empty), (f"with {COUNT}", site)):
                found = []
                for _ in range(ROUNDS):
                    start = time.perf_counter()
                    run(place, *words)
                    found.append(time.perf_counter() - start)
                middle, worst = statistics.median(found), max(found)
                label = f"sm3kit {' '.join(words)}"
                print(f"  {label:20} {name:8} median {middle:.3f} s, worst {worst:.3f} s")


if __name__ == "__main__":
    main()
