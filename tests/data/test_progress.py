"""How long something will take is known from the first steps, on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from sm3kit.core.text import duration
from sm3kit.data import progress
from sm3kit.data.progress import LONGEST_SILENCE, SHORTEST_SILENCE, Reporter, Wait


@pytest.fixture
def clock(monkeypatch):
    """clock(seconds): time goes on by so much."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def go_on(seconds):
        now[0] += seconds

    return go_on


@pytest.fixture
def log():
    """A reporter that writes where no terminal is."""
    return Reporter(Console(file=io.StringIO(), width=80))


def lines(reporter):
    return reporter.console.file.getvalue().splitlines()


def work(reporter, clock, steps, seconds, total=1000):
    """Steps of something long, each so many seconds."""
    task = reporter.task("stage 1", total)
    for _ in range(steps):
        clock(seconds)
        reporter.advance(task, description="stage 1, epoch 1/9", status="")
    return task


def test_the_first_step_counts_until_there_is_a_second():
    wait = Wait("x", 11, 0.0)
    assert wait.left(5.0) == 0
    wait.advance(30.0)
    assert wait.left(30.0) == 300
    wait.advance(32.0)  # The first step took longer than those to come.
    assert wait.left(32.0) == 18


def test_a_log_says_after_the_first_steps_how_long_it_will_take(log, clock):
    work(log, clock, 3, 6)
    assert lines(log) == ["time     about 1 h 40 min left: stage 1, epoch 1/9"]


@pytest.mark.parametrize("seconds", [25, 300])
def test_a_slow_first_step_is_enough(log, clock, seconds):
    work(log, clock, 1, seconds)
    assert lines(log) == [f"time     about {duration(999 * seconds)} left: stage 1, epoch 1/9"]


def test_what_is_soon_done_needs_no_line(log, clock):
    task = work(log, clock, 50, 0.5, total=60)
    assert lines(log) == []
    assert log.left(task) == ""


def test_no_silence_is_long_and_lines_become_fewer(log, clock):
    work(log, clock, 800, 10)
    said = len(lines(log))
    assert 800 * 10 / LONGEST_SILENCE < said < 800 * 10 / SHORTEST_SILENCE / 5


def test_other_lines_break_the_silence(log, clock):
    task = log.task("stage 1", 1000)
    for _ in range(100):
        clock(30)
        log.say("epoch")
        log.advance(task)
    assert [line for line in lines(log) if line != "epoch"] == [
        "time     about 8 h 20 min left: stage 1"
    ]


def test_a_bar_shows_it_from_the_first_step(clock):
    out = io.StringIO()
    reporter = Reporter(Console(file=out, width=80, force_terminal=True))
    with reporter:
        work(reporter, clock, 1, 120, total=11)
        assert reporter.bar.tasks[0].fields["left"] == "about 20 min left"
    assert "left     " not in out.getvalue()


def test_nothing_is_said_where_quiet_is_asked_for(clock):
    reporter = Reporter(Console(file=io.StringIO()), quiet=True)
    with reporter:
        work(reporter, clock, 10, 60)
    assert lines(reporter) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (12_000, "3 h 20 min"), (400_000, "5 days")],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text
