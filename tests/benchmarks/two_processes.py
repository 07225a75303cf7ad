"""Two gloo processes against one on the joined batch: the difference of loss and gradients.

python tests/benchmarks/two_processes.py
"""

from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.testing import process_difference


def main() -> None:
    """Prints the largest difference for every objective that compares across processes."""
    objectives = registry("objectives")
    for name in objectives.names():
        if "gather" in options_of(objectives.get(name)):
            difference = process_difference(objectives.get(name))
            print(f"  {name:12} largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
