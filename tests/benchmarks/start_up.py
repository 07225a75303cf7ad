"""How long `sm3kit --help` and `sm3kit plugins list` take, and that they do without torch.

python tests/benchmarks/start_up.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15


def main() -> None:
    """Prints median and worst time of each command, beside that of a bare interpreter."""
    script = Path(sys.executable).with_name("sm3kit")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "sm3kit --help": [str(script), "--help"],
        "sm3kit plugins list": [str(script), "plugins", "list"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    for name, found in times.items():
        print(f"  {name:20} median {statistics.median(found):.3f} s, worst {max(found):.3f} s")
    for arguments in (["--help"], ["plugins", "list"]):
        program = (
            "import sys; from sm3kit.cli.main import cli; "
            f"cli.main({arguments!r}, standalone_mode=False); "
            "print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        print(f"  sm3kit {' '.join(arguments):13} imports torch: {done.stdout.split()[-1]}")


if __name__ == "__main__":
    main()
