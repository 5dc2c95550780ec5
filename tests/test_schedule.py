"""The cyclo-static model on small networks whose numbers are counted by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.hls.design import design
from qfx.export.schedule import Frame, Network, Schedule, bounded_times, deadlock, schedule
from qfx.export.schedule.timing import as_soon_as_possible, end_of
from qfx.fixed import IntArray
from qfx.testing.branches import branching
from qfx.testing.choices import Seeded
from qfx.testing.differential import network
from qfx.testing.projects import random_folding


def at(*iterations: int) -> IntArray:
    return np.array(iterations, np.int64)


@dataclass(frozen=True)
class Process:
    """A stage without a kernel."""

    name: str
    latency: int
    frame: Frame
    passes: bool = False


def process(name: str, iterations: int, reads: dict[str, IntArray], writes: dict[str, IntArray], latency: int = 1) -> Process:
    return Process(name, latency, Frame(iterations, reads, writes))


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


def gain(network: Network, depths: dict[str, int], frames: int = 12) -> float:
    """Cycles per frame in the long run with streams of these depths: what 8 frames more than so many take."""
    ends = [end_of(network, frames, bounded_times(network, depths, frames)) for frames in (frames, frames + 8)]
    return (ends[1] - ends[0]) / 8


def assert_carries_the_interval(network: Network, found: Schedule) -> None:
    for depths in ({n: d.emitted for n, d in found.depths.items()}, {n: d.full_rate for n, d in found.depths.items()}):
        assert gain(network, depths, found.frames + 6) == found.interval
    assert end_of(network, 1, as_soon_as_possible(network, 1)) <= found.latency


@pytest.mark.parametrize("latency", [1, 9, 200])
def test_full_rate_with_bounded_streams(latency: int) -> None:
    """The declared latency of the long path is time for which words wait on the short one, those of many frames if need be."""
    network = fork_join(latency)
    found = schedule(network)
    assert_carries_the_interval(network, found)
    assert found.depths["short"].emitted == max(found.depths["short"].full_rate, 3 + latency) + 2
    assert found.depths["x"].emitted == found.depths["x"].full_rate + 2


def test_delays_that_grow_from_frame_to_frame() -> None:
    """Each stage passes its second word when a late one is there, and until then the first word of the next frame waits."""
    processes: list[Process] = []
    for n in range(8):
        processes.append(process(f"stall{n}", 2, {f"a{n}": at(0), f"late{n}": at(1)}, {f"b{n}": at(0), f"c{n}": at(1)}))
        processes.append(process(f"delay{n}", 2, {f"b{n}": at(0)}, {f"late{n + 1}": at(1)}, 30))
        processes.append(each(f"pass{n}", f"c{n}", f"a{n + 1}", 1))
    network = Network([*processes, process("end", 2, {"late8": at(0), "a8": at(1)}, {"out": at(1)})])
    found = schedule(network)
    assert found.interval == 2 and found.frames > 100
    assert_carries_the_interval(network, found)


def test_one_place_less_is_slower() -> None:
    """A stage that takes 4 words at once and then works for 12 cycles holds up the one in front, which sends one every 4 cycles."""
    network = Network(
        [
            process("slow", 16, {"port": at(0, 4, 8, 12)}, {"x": at(3, 7, 11, 15)}),
            process("burst", 16, {"x": at(0, 1, 2, 3)}, {"y": at(15)}),
        ]
    )
    found = schedule(network)
    assert found.interval == 16 and gain(network, {"x": found.depths["x"].full_rate}) == 16
    assert gain(network, {"x": 1}) > 16


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


def ahead(name: str, reads: str, writes: str, count: int) -> Process:
    """A word in and a word out in every iteration, so many words of 4 in before the first word out."""
    words = at(*range(4))
    return Process(name, 2, Frame(4, {reads: words}, {writes: words}, count))


def test_reading_ahead() -> None:
    """Before its first frame a stage takes words, and its last frame as many fewer: the count of a frame does not change."""
    network = Network([each("source", "port", "x", 4), ahead("ahead", "x", "y", 3), each("sink", "y", "out", 4)])
    pattern = network.patterns(2)["ahead"]
    assert pattern.events[pattern.reads["x"]].tolist() == list(range(8))
    assert pattern.events[pattern.writes["y"]].tolist() == list(range(3, 11))
    found = schedule(network)
    assert (found.interval, found.cycles["ahead"]) == (4, 4)
    assert found.latency == 10  # word 0 is in x at 1; 7 iterations from 1 to 7; then 2 and 1 cycles on the way
    assert_carries_the_interval(network, found)


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_a_short_path_holds_what_is_read_ahead(stages: int) -> None:
    """Each stage on the long path wants 3 words more before the join gets one: the least depth is more than a frame, then."""
    chain = [ahead(f"ahead{n}", f"long{n}", f"long{n + 1}", 3) for n in range(stages)]
    network = Network(
        [each("fork", "port", "short long0", 4), *chain, each("join", f"long{stages} short", "out", 4)],
    )
    found = schedule(network)
    assert network.frames_ahead == stages * 3 / 4
    # word k leaves a stage when word k + 3 is in; the join takes word 0 when word 3 * stages is in both paths
    assert found.depths["short"].live == 1 + 3 * stages
    assert_live(network, found)
    assert_carries_the_interval(network, found)


def assert_live(network: Network, found: Schedule, frames: int = 12) -> None:
    """Least depths run to the end, and are the least."""
    live = {name: depths.live for name, depths in found.depths.items()}
    for count in (1, 2, frames):
        assert deadlock(network, live, count) == []
    for name in (name for name, depth in live.items() if depth > 1):
        assert deadlock(network, {**live, name: live[name] - 1}, frames) != [], name


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
    assert "a frame every 12 cycles, decided by three; one alone takes 16" in text
    assert "three                                                         12            100%" in text


def assert_random_accelerators(seeds: range) -> None:
    for seed in seeds:
        for graph in (network(seed)[0], branching(seed)):
            for folding in (None, random_folding(graph, Seeded(seed))):
                plan = design(graph, folding)
                assert_live(plan.network, plan.schedule)
                assert_carries_the_interval(plan.network, plan.schedule)


def test_random_accelerators() -> None:
    """Deadlock-free depths run to the end and are the least; stall-free ones, and the emitted ones, carry the interval."""
    assert_random_accelerators(range(3))


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, 40, 4))
def test_more_random_accelerators(first: int) -> None:
    assert_random_accelerators(range(first, first + 4))
