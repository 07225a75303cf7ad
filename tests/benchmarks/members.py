"""How long five members of heads on cached features take, beside one.

    python tests/benchmarks/members.py OUT [--data synthetic:400] [--members 5] [--rounds 3]

OUT is a folder for a run of the recipe `random`, whose features are encoded before anything is timed.
Prints the seconds of both in turn, and their ratio. Read on an idle machine.
"""

import argparse
import statistics
import time
from pathlib import Path

import sm3kit


def seconds(run: sm3kit.Run, members: int, number: int) -> float:
    """How long a probe takes whose features are in the cache."""
    start = time.perf_counter()
    words = {"protocol": "probe", "members": members, "quiet": True}
    sm3kit.evaluate(run, label=f"members{members}-{number}", **words)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="synthetic:400")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = given.out / "run"
    run = (
        sm3kit.open_run(folder)
        if folder.exists()
        else sm3kit.pretrain(given.data, recipe=["quick", "random"], out=folder)
    )
    for members in (1, given.members):  # The features, and what is imported once.
        seconds(run, members, 0)
    ratios = []
    for number in range(1, given.rounds + 1):
        alone = seconds(run, 1, number)
        together = seconds(run, given.members, number)
        ratios.append(together / alone)
        print(f"1 member {alone:.1f} s, {given.members} members {together:.1f} s", flush=True)
    print(f"ratio {statistics.median(ratios):.2f} (median of {given.rounds})")


if __name__ == "__main__":
    main()
