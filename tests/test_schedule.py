"""The cyclo-static model on small networks whose numbers are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.hls.emit import design
from qfx.export.hls.patterns import design_network
from qfx.export.schedule import Network, Pattern, Process, bounded_times, deadlock, repeated, schedule
from qfx.export.schedule.timing import output_cycles
from qfx.fixed import IntArray
from tests.differential import network
from tests.random_branches import branching


def at(*iterations: int) -> IntArray:
    return np.array(iterations, np.int64)


def process(name: str, iterations: int, reads: dict[str, IntArray], writes: dict[str, IntArray], latency: int = 1) -> Process:
    return Process(name, latency, repeated(Pattern(iterations, reads, writes)))


def each(name: str, reads: str, writes: str, words: int, latency: int = 1) -> Process:
    """A word in and a word out in every iteration; several streams with blanks between them."""
    all_words = np.arange(words, dtype=np.int64)
    return process(name, words, dict.fromkeys(reads.split(), all_words), dict.fromkeys(writes.split(), all_words), latency)


def fork_join(latency: int = 1) -> Network:
    """`x` goes to a join directly, and through a stage that takes 3 words in before it gives 3 out."""
    return Network(
        [
            each("source", "port", "x", 6),
            each("fork", "x", "short long", 6),
            process("three", 12, {"long": at(0, 1, 2, 6, 7, 8)}, {"late": at(3, 4, 5, 9, 10, 11)}, latency),
            each("join", "late short", "y", 6),
            each("sink", "y", "out", 6),
        ]
    )


def test_interval_and_latency() -> None:
    """Word 0 is in `x` at 1 and in `long` at 2: `three` runs from 2 to 13. Its last word leaves it at 14 and the sink at 16."""
    found = schedule(fork_join())
    assert (found.interval, found.critical) == (12, "three")
    assert found.cycles == {"source": 6, "fork": 6, "three": 12, "join": 6, "sink": 6}
    assert found.latency == 16


def test_live_depth_of_a_short_path() -> None:
    """The fork has to write 3 words to both sides before the join gets its first pair."""
    found = schedule(fork_join())
    assert {name: depths.live for name, depths in found.depths.items()} == {"x": 1, "short": 3, "long": 1, "late": 1, "y": 1}


def test_deadlock_names_the_cycle() -> None:
    network = fork_join()
    enough = {"x": 1, "short": 3, "long": 1, "late": 1, "y": 1}
    assert deadlock(network, enough, 4) == []
    cycle = deadlock(network, {**enough, "short": 2}, 4)
    assert {(waiting.process, waiting.stream, waiting.why, waiting.words) for waiting in cycle} == {
        ("fork", "short", "full", 2),
        ("join", "late", "empty", 0),
        ("three", "long", "empty", 0),
    }
    assert str(next(w for w in cycle if w.process == "fork")) == "fork writes short, which is full (2 words)"


@pytest.mark.parametrize("latency", [1, 9])
def test_full_rate_with_bounded_streams(latency: int) -> None:
    """The declared latency of the long path is time for which words wait on the short one."""
    network = fork_join(latency)
    found = schedule(network)
    for depths in ({n: d.emitted for n, d in found.depths.items()}, {n: d.full_rate for n, d in found.depths.items()}):
        cycles = output_cycles(network, 8, bounded_times(network, depths, 8))["out"]
        assert np.diff(cycles).tolist()[-3:] == [12, 12, 12]
    assert found.depths["short"].emitted == max(found.depths["short"].full_rate, 3 + latency) + 2
    assert found.depths["x"].emitted == found.depths["x"].full_rate + 2


def test_one_place_less_is_slower() -> None:
    """A stage that takes 4 words at once and then works for 12 cycles holds up the one in front, which sends one every 4 cycles."""
    network = Network(
        [
            process("slow", 16, {"port": at(0, 4, 8, 12)}, {"x": at(3, 7, 11, 15)}),
            process("burst", 16, {"x": at(0, 1, 2, 3)}, {"y": at(15)}),
        ]
    )
    found = schedule(network)
    depth = found.depths["x"].full_rate
    rates = {
        places: np.diff(output_cycles(network, 8, bounded_times(network, {"x": places}, 8))["y"]).tolist()[-1]
        for places in range(1, depth + 1)
    }
    assert found.interval == 16 and rates[depth] == 16
    assert rates[1] > 16


def test_timed_execution_finds_shallow_streams() -> None:
    with pytest.raises(ExportError, match="never goes on: the streams are too shallow"):
        bounded_times(fork_join(), dict.fromkeys(fork_join().streams, 1), 4)


def test_nested_paths_wait_far_up() -> None:
    """Two copies wait for a third: their words wait once, before the fork that makes them."""
    network = Network(
        [
            each("fork0", "port", "main rest", 8),
            each("fork1", "rest", "a b", 8),
            process("all", 16, {"main": at(*range(8))}, {"last": at(*range(8, 16))}),
            each("join0", "last a", "c", 8),
            each("join1", "c b", "out", 8),
        ]
    )
    live = {name: depths.live for name, depths in schedule(network).depths.items()}
    # of the 8 words the last one is still in the hands of fork0, one is in those of fork1, and one is in `a`
    assert live == {"main": 1, "rest": 5, "a": 1, "b": 1, "last": 1, "c": 1}
    assert deadlock(network, live, 4) == []
    assert deadlock(network, {**live, "rest": 4}, 4) != []


def test_reading_ahead() -> None:
    """Before its first frame a stage takes 2 words of 4, and ends as many earlier: the count of a frame is that of one more."""

    def ahead(frames: int) -> Pattern:
        words = np.arange(4 * frames, dtype=np.int64)
        return Pattern(2 + 4 * frames, {"x": words}, {"y": words + 2})

    network = Network([each("source", "port", "x", 4), Process("ahead", 2, ahead), each("sink", "y", "out", 4)])
    found = schedule(network)
    assert (found.interval, found.cycles["ahead"]) == (4, 4)


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        ([each("a", "p", "x", 2), each("b", "q", "x", 2)], "stream 'x' is written by 'a' and by 'b'"),
        ([each("a", "p", "x", 2), each("b", "x", "y", 2), each("c", "x", "z", 2)], "stream 'x' is read by 'b' and by 'c'"),
        ([each("a", "x", "y", 2), each("b", "p", "x", 2)], "stream 'x' is read by 'a' before 'b' writes it"),
        ([each("a", "p", "x", 2), each("b", "x", "y", 3)], "'a' writes 2 words a frame, 'b' reads 3"),
        ([each("a", "p", "x", 2), each("a", "x", "y", 2)], "two processes are named alike"),
    ],
)
def test_networks_that_are_none(processes: list[Process], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Network(processes)


def test_the_table() -> None:
    text = schedule(fork_join()).text()
    assert "a frame every 12 cycles, decided by three; the first takes 16" in text
    assert "three                                                         12            100%" in text


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_random_accelerators(first: int) -> None:
    """Least depths run to the end and are the least; those at full rate, and the emitted ones, carry the interval."""
    seeds = range(first, first + 10)
    for graph in (*(network(seed)[0] for seed in seeds), *(branching(seed) for seed in seeds)):
        model = design_network(design(graph))
        found = schedule(model)
        live = {name: depths.live for name, depths in found.depths.items()}
        assert deadlock(model, live, 4) == []
        for name in (name for name, depth in live.items() if depth > 1):
            assert deadlock(model, {**live, name: live[name] - 1}, 4) != [], name
        for kind in ("full_rate", "emitted"):
            times = bounded_times(model, {name: getattr(depths, kind) for name, depths in found.depths.items()}, 8)
            for cycles in output_cycles(model, 8, times).values():
                assert np.diff(cycles).tolist()[-2:] == [found.interval] * 2, kind
