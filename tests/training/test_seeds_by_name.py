"""The seeds of a training by name: the numbers are those of every run before."""

import pytest

from sm3kit.training.seeds import seed_for, seed_of_clustering, seed_of_epoch


@pytest.mark.parametrize(
    ("purpose", "number"), [("networks", 7), ("statistics", 7), ("relation", 8), ("bank", 9)]
)
def test_what_is_drawn_once(purpose, number):
    assert seed_for(purpose, 7) == number


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("mmssl", 7_000_024),
        ("mlssl", 257_000_025),
        ("probe", 757_000_025),
        ("finetune", 757_000_025),
    ],
)
def test_an_epoch(stage, number):
    assert seed_of_epoch(stage, 7, 3) == number
    assert seed_of_epoch(stage, 7, 3, rank=1) == number + 500_000_003


def test_no_two_epochs_of_a_run_share_their_numbers():
    # Stage 1 alone has several processes.
    ranks = {"mmssl": 3, "mlssl": 1, "probe": 1}
    seeds = [
        seed_of_epoch(stage, seed, epoch, rank)
        for stage, processes in ranks.items()
        for seed in range(5)
        for epoch in range(200)
        for rank in range(processes)
    ]
    assert len(set(seeds)) == len(seeds)


def test_every_label_is_clustered_with_a_seed_of_its_own():
    places = [(seed, epoch, label) for seed in range(2) for epoch in range(3) for label in range(8)]
    assert len({seed_of_clustering(*place) for place in places}) == len(places)
    assert seed_of_clustering(3, 1, 2) == 810_105_224
