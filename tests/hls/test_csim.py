"""C simulation: builds and sanitizers, batches, memory patterns, tampering, and every error it can give."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from qfx.engines.comparison import compare_engines
from qfx.errors import InputError, ProjectError, ToolMissingError
from qfx.ops import Conv2d, MaxPool2d, ReLU
from qfx.ops.sampling import constant
from qfx.sim import Simulator
from qfx.sim.csim import AT_ONCE, CHUNK_WORDS, FRAMES, CSimulator
from qfx.testing.projects import frames, write_project
from tests.hls.build import S6, assert_equal, chain, image, small_network

GRAPH = small_network()
TINY = chain(
    "tiny",
    image(S6, 4, 4, 4),
    (ReLU(), []),
    (MaxPool2d((2, 2), (2, 2), (1, 0)), []),
    (Conv2d(), [constant("weight", S6, (3, 4, 2, 1), 1)]),
)
ALL_ZERO, ALL_ONES = "-ftrivial-auto-var-init=zero", "-ftrivial-auto-var-init=pattern"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(GRAPH, tmp_path_factory.mktemp("csim") / "small")


@pytest.fixture(scope="module")
def engine(project: Path) -> CSimulator:
    return CSimulator(project)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A project that a test may spoil: x, step0 (relu), step1 (max_pool2d), step2 (conv2d)."""
    return write_project(TINY, tmp_path / "copy")


def spoil(project: Path, file: str, old: str, new: str) -> None:
    path = project / "hls" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("optimize", "sanitize"), [("-O0", ()), ("-O2", ()), ("-O1", ("address",)), ("-O1", ("undefined",))], ids=str
)
def test_builds_agree(project: Path, optimize: str, sanitize: tuple[str, ...]) -> None:
    inputs = frames(GRAPH, 6)
    assert_equal(GRAPH, CSimulator(project, optimize=optimize, sanitize=sanitize).run(inputs), inputs)


@pytest.mark.parametrize("pattern", [(ALL_ZERO, "0"), (ALL_ONES, "165")], ids=["zeros", "ones"])
def test_memory_filled_before(project: Path, pattern: tuple[str, str]) -> None:
    """Stack and heap hold other bits than last time: nothing reads what nobody wrote."""
    inputs = frames(GRAPH, 3)
    engine = CSimulator(project, optimize="-O0", flags=[pattern[0]], environment={"MALLOC_PERTURB_": pattern[1]})
    assert_equal(GRAPH, engine.run(inputs), inputs)


def test_the_memory_pattern_reaches_ap_types(copy: Path) -> None:
    """The test above would see an uninitialised local: this one plants it."""
    spoil(copy, "kernels/relu.hpp", "typename L::out::code result = 0;", "typename L::out::code result;")
    inputs = frames(TINY, 3)
    zeros, ones = (CSimulator(copy, optimize="-O0", flags=[flag]).run(inputs)["step0"] for flag in (ALL_ZERO, ALL_ONES))
    assert not np.array_equal(zeros, ones)


def test_two_frames_in_a_row_equal_two_runs(engine: CSimulator) -> None:
    inputs = frames(GRAPH, 2)
    together = engine.run(inputs)
    for frame in range(2):
        alone = engine.run({name: codes[frame : frame + 1] for name, codes in inputs.items()})
        for name, codes in alone.items():
            np.testing.assert_array_equal(codes[0], together[name][frame], err_msg=name)


def calls_of(engine: CSimulator, count: int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The frames of each call of each process."""
    found: list[list[int]] = []
    right = engine._execute  # pyright: ignore[reportPrivateUsage]

    def execute(command: list[str]) -> None:
        found.append([int(frames) for frames in command[2].split(",")])
        right(command)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_jobs", jobs)
        patch.setattr(engine, "_execute", execute)
        inputs = frames(GRAPH, count)
        assert_equal(GRAPH, engine.run(inputs), inputs)
    return sorted(found)


def test_every_process_runs_several_frames_whatever_the_jobs(engine: CSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for jobs in (1, 2, 128):
        assert calls_of(engine, 100, jobs, monkeypatch) == [[7, 7]] * 5 + [[8, 7]] * 2
        assert calls_of(engine, 17, jobs, monkeypatch) == [[4, 4], [5, 4]]
        assert calls_of(engine, 4, jobs, monkeypatch) == [[2, 2]]
        assert calls_of(engine, 1, jobs, monkeypatch) == [[1]]
    assert engine.layout.frame_words * FRAMES * AT_ONCE < CHUNK_WORDS


def test_little_memory_means_fewer_frames_and_fewer_processes(engine: CSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, sizes in ((4 * AT_ONCE, [[2, 1], [2, 2], [2, 2]]), (1, [[2, 1], [2, 2], [2, 2]]), (7 * AT_ONCE, [[3, 2], [3, 3]])):
        with monkeypatch.context() as patch:
            patch.setattr("qfx.sim.csim.CHUNK_WORDS", memory * engine.layout.frame_words)
            assert calls_of(engine, 11, 64, monkeypatch) == sizes


@pytest.mark.parametrize("samples", [1, 2, 40])
def test_state_kept_between_frames_is_found_whatever_the_jobs(copy: Path, samples: int) -> None:
    """The first frame is right: the pool's window stage starts the next one at another line of its ring."""
    spoil(copy, "kernels/sliding_window.hpp", "top_line += L::FRAME_STEP;", "top_line += 1;")
    reports = [
        compare_engines(
            TINY, [Simulator(TINY), CSimulator(copy, optimize="-O0", jobs=jobs, cache=copy / "cache")], frames(TINY, samples)
        )
        for jobs in (1, 2, 100, 128)
    ]
    first = reports[0].first
    assert first is not None and (first.layer, first.engines) == ("step1", ("csim",))
    assert 0 < reports[0].mismatches <= 2 * samples * sum(TINY.values[name].size for name in ("step1", "step2"))
    assert all(report == reports[0] for report in reports)


def test_state_kept_between_calls_is_found(copy: Path) -> None:
    spoil(
        copy, "kernels/relu.hpp", "    for (unsigned frame", "    static unsigned calls = 0;\n    ++calls;\n    for (unsigned frame"
    )
    spoil(copy, "kernels/relu.hpp", "y.write(y_word);", "y_word = calls == 1 ? y_word : ~y_word;\n            y.write(y_word);")
    report = compare_engines(TINY, [Simulator(TINY), CSimulator(copy, optimize="-O0")], frames(TINY, 1))
    assert report.first is not None and report.first.layer == "step0"


def test_only_the_values_wanted(engine: CSimulator) -> None:
    inputs = frames(GRAPH, 4)
    wanted = Simulator(GRAPH).run(inputs)
    for names in ({"head"}, {"image", "stem.conv"}, set[str]()):
        found = engine.run(inputs, frozenset(names))
        assert set(found) == names
        assert all(np.array_equal(codes, wanted[name]) for name, codes in found.items())


def test_headers_as_they_were_shipped(project: Path, engine: CSimulator) -> None:
    """Masking without `volatile` computes what the headers compute as they are."""
    inputs = frames(GRAPH, 20, seed=3)
    shipped = CSimulator(project, quick=False).run(inputs)
    for name, codes in engine.run(inputs).items():
        np.testing.assert_array_equal(codes, shipped[name], err_msg=name)


def test_no_frames(engine: CSimulator) -> None:
    assert {name: codes.shape for name, codes in engine.run(frames(GRAPH, 0)).items()} == {
        name: (0, *GRAPH.values[name].shape) for name in GRAPH.activations()
    }


def test_headers_are_reported(engine: CSimulator) -> None:
    engine.compile()
    assert engine.headers is not None
    assert engine.headers.origin in engine.headers.description


def test_khot_network(tmp_path: Path) -> None:
    graph = small_network(digits=2)
    inputs = frames(graph, 4)
    assert_equal(graph, CSimulator(write_project(graph, tmp_path)).run(inputs), inputs)


def test_a_weight_word_changed_by_one_bit(copy: Path) -> None:
    path = copy / "hls/weights.hpp"
    lines = path.read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if "step2_weight_table" in line) + 1
    digit = lines[row].index("0x") + 2
    lines[row] = lines[row][:digit] + f"{int(lines[row][digit], 16) ^ 1:x}" + lines[row][digit + 1 :]
    path.write_text("\n".join(lines))
    inputs = frames(TINY, 3)
    changed, right = CSimulator(copy, optimize="-O0").run(inputs), Simulator(TINY).run(inputs)
    different = [name for name in TINY.activations() if not np.array_equal(changed[name], right[name])]
    assert different[0] == "step2"


def test_reading_an_empty_stream(copy: Path) -> None:
    spoil(copy, "kernels/relu.hpp", "x.read();", "x.read();\n            x.read();")
    with pytest.raises(
        ProjectError,
        match=r"'x' is read while it is empty, after 16 words, in a call of 1 frame: relu<layer::step0> reads more than the 16 of",
    ):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_words_left_over(copy: Path) -> None:
    spoil(copy, "kernels/max_pool2d.hpp", "y.write(y_word);", "y.write(y_word);\n                    y.write(y_word);")
    with pytest.raises(
        ProjectError,
        match=r"stream 'step1' has 6 words left at the end, of 12, in a .*: max_pool2d<layer::step1> writes more than the 6 of",
    ):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_words_that_are_missing(copy: Path) -> None:
    """The stage that finds its stream empty has read what it should."""
    spoil(copy, "kernels/relu.hpp", "y.write(y_word);", "if (position != 0) {\n                y.write(y_word);\n            }")
    message = (
        r"'step0' is read while it is empty, after 15 words, in a call of 1 frame: relu<layer::step0> writes fewer than the 16 of"
    )
    with pytest.raises(ProjectError, match=message):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


@pytest.mark.parametrize(
    ("setting", "layer", "message"),
    [
        ("READS", "step1", "READS words are STRIDE_ROWS rows"),
        ("BEATS", "step1", "a turn has cycles for all steps and reads"),
        ("WEIGHT_WORDS", "step2", "there is a word of weights per group of outputs"),
        ("BIAS_WIDTH", "step2", "a code is as wide as the bits that it takes"),
    ],
)
def test_settings_that_do_not_fit_together(copy: Path, setting: str, layer: str, message: str) -> None:
    """With a larger one, the values would be the same."""
    path = copy / "hls/layers.hpp"
    start, struct, rest = path.read_text().partition(f"struct {layer} ")
    changed, count = re.subn(rf"\b{setting} = (\d+);", lambda found: f"{setting} = {int(found[1]) + 1};", rest, count=1)
    assert count == 1
    path.write_text(start + struct + changed)
    with pytest.raises(ProjectError, match=rf"(?s)does not compile:.*L = layer::{layer};.*static assertion failed: {message}"):
        CSimulator(copy, optimize="-O0").compile()


def test_two_streams_of_a_name(copy: Path) -> None:
    spoil(copy, "tiny.cpp", 'step1("step1")', 'step1("step0")')
    with pytest.raises(ProjectError, match="two streams are named 'step0'"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_a_renamed_stream(copy: Path) -> None:
    spoil(copy, "tiny.cpp", 'step1("step1")', 'step1("other")')
    with pytest.raises(ProjectError, match="there is no stream 'step1'"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_wrong_tlast(copy: Path) -> None:
    spoil(copy, "kernels/axi.hpp", "beat.last = 1;", "beat.last = 0;")
    with pytest.raises(ProjectError, match="TLAST is wrong at beat 6 of stream 'm_out'"):
        CSimulator(copy, optimize="-O0", jobs=1).run(frames(TINY, 2))


def test_wrong_tkeep(tmp_path: Path) -> None:
    """A frame of 24 codes has 8 in its second beat of 16."""
    copy = write_project(TINY, tmp_path, axi_bits=128)
    spoil(copy, "kernels/axi.hpp", "beat.keep = valid;", "beat.keep = -1;")
    with pytest.raises(ProjectError, match="TKEEP or TSTRB is wrong at beat 2 of stream 'm_out'"):
        CSimulator(copy, optimize="-O0", jobs=1).run(frames(TINY, 2))


def test_a_missing_frame(copy: Path) -> None:
    spoil(copy, "tiny.cpp", "ap_uint<32> frames) {", "ap_uint<32> all) {\n    const ap_uint<32> frames = all - 1;")
    with pytest.raises(ProjectError, match=r"stream 'x' of value 'x' carried 16 words, wanted 32 for 2 frames|left at the end"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 2))


def test_a_crash(copy: Path) -> None:
    spoil(
        copy,
        "kernels/relu.hpp",
        "typename L::out::word y_word = 0;",
        "typename L::out::word y_word = 0;\n            __builtin_trap();",
    )
    with pytest.raises(ProjectError, match=r"hls crashed \(SIG(ILL|TRAP)\): after stream '(x|image)' was used"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_an_assertion_of_the_headers_names_the_stage(copy: Path) -> None:
    spoil(copy, "kernels/lanes.hpp", "word.range(low + WIDTH - 1, low) =", "word.range(low + WIDTH * 64, low) =")
    with pytest.raises(ProjectError, match=r"(?s)hls crashed \(SIGABRT\): .*out of bound.*after stream '\w+' was used"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_an_endless_loop(copy: Path) -> None:
    spoil(copy, "kernels/relu.hpp", "position < L::in::WORDS; ++position", "position < L::in::WORDS; position += 0")
    spoil(copy, "kernels/relu.hpp", "x.read()", "0")
    spoil(copy, "kernels/relu.hpp", "y.write(y_word);", "")
    with pytest.raises(ProjectError, match=r"hls ran longer than 0.5 s; the C\+\+ may loop forever"):
        CSimulator(copy, optimize="-O0", seconds=0.5).run(frames(TINY, 1))


def test_an_interrupt_ends_the_programs(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes are not waited for."""
    spoil(copy, "kernels/relu.hpp", "position < L::in::WORDS; ++position", "position < L::in::WORDS; position += 0")
    spoil(copy, "kernels/relu.hpp", "x.read()", "0")
    spoil(copy, "kernels/relu.hpp", "y.write(y_word);", "")
    engine = CSimulator(copy, optimize="-O0", jobs=2)
    engine.compile()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            engine.run(frames(TINY, 2))
    finally:
        signal.signal(signal.SIGINT, before)


def test_sanitizer_findings_are_errors(copy: Path) -> None:
    spoil(copy, "kernels/sliding_window.hpp", "lines[fill_line][fill_at] =", "lines[fill_line + L::LINES][fill_at] =")
    with pytest.raises(ProjectError, match=r"(?s)crashed \(status 1\):.*(runtime error: index|out of bounds)"):
        CSimulator(copy, optimize="-O1", sanitize=("undefined",)).run(frames(TINY, 1))


def test_cpp_that_does_not_compile(copy: Path) -> None:
    spoil(copy, "layers.hpp", "struct step0", "struct step9")
    with pytest.raises(ProjectError, match=r"(?s)the C\+\+ in .*hls does not compile:.*step0"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_no_compiler(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolMissingError, match="'no-such-compiler' is not on PATH; install g\\+\\+ or set CXX"):
        CSimulator(copy).compile()


def test_headers_of_the_machine_do_not_take_the_place_of_others(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("ap_fixed.h", "hls_stream.h"):
        (folder / name).write_text("#error this one\n")
    for variable in ("CPATH", "CPLUS_INCLUDE_PATH"):
        monkeypatch.setenv(variable, str(folder))
    CSimulator(copy, optimize="-O0").compile()


def test_no_headers(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match=r"option names .*, but ap_int.h or ap_fixed.h is not there; pip install"):
        CSimulator(copy, ap_types=tmp_path).compile()


def test_codes_outside_the_format(engine: CSimulator) -> None:
    with pytest.raises(InputError, match="input 'image' has codes from"):
        engine.run({"image": np.full((1, 2, 7, 6), 99)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "layout.json is missing; the project is incomplete, export it again"),
        ("{", "layout.json cannot be read as JSON"),
        ('{"format": 2}', "layout.json: field 'top' is missing or of the wrong kind"),
        ('{"format": 9}', "has format 9; this QFX reads format 2. Export the project again"),
    ],
)
def test_damaged_layout(copy: Path, text: str | None, message: str) -> None:
    path = copy / "hls/layout.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ProjectError, match=message):
        CSimulator(copy)


def test_layout_without_a_value(copy: Path) -> None:
    spoil(copy, "layout.json", '"step1"', '"other"')
    with pytest.raises(ProjectError, match=r"layout.json names no stream for value 'step1'; export"):
        CSimulator(copy)


def test_layout_with_other_lanes(copy: Path) -> None:
    spoil(copy, "layout.json", '"lanes": 4', '"lanes": 2')
    with pytest.raises(ProjectError, match=r"stream 'x' of value 'x' carried 16 words, wanted 32 for 1 frames"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_words_of_another_width(copy: Path) -> None:
    spoil(copy, "layout.json", '"stream": "step0"', '"stream": "x"')
    with pytest.raises(ProjectError, match=r"stream 'x' of value 'step0' has words of 24 bits, wanted 4 codes of ap_u"):
        CSimulator(copy, optimize="-O0").run(frames(TINY, 1))


def test_temporary_files_are_removed(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    engine = CSimulator(copy, optimize="-O0")
    engine.run(frames(TINY, 1))
    del engine
    assert list(folder.iterdir()) == []
