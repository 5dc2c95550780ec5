"""The testbench, and the scripts for the vendor's tools run against stand-ins that record what they are told."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qfx.ops import ReLU, Requantize
from qfx.sim.headers import find_ap_types
from qfx.testing.projects import write_project
from tests.hls.build import S6, U4, chain, image

pytestmark = pytest.mark.compiler

GRAPH = chain("net", image(S6, 2, 3, 2), (ReLU(), []), (Requantize(U4), []))

COMMANDS = {
    # command -> the options that it takes; a trailing = marks one with a value (UG1399)
    "open_project": "-reset",
    "set_top": "",
    "add_files": "-tb -cflags=",
    "open_solution": "-reset -flow_target=",
    "set_part": "",
    "create_clock": "-period= -name=",
    "set_clock_uncertainty": "",
    "config_compile": "-name_max_length=",
    "csim_design": "",
    "csynth_design": "",
    "cosim_design": "-trace_level=",
    "export_design": "-format= -version=",
    "close_project": "",
}
STUB = """
proc called {name known arguments} {
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {![string match -* $word]} continue
        if {"$word=" in $known} { incr i } elseif {$word ni $known} { error "$name has no option $word" }
    }
    puts [string trim "$name $arguments"]
}
rename exit real_exit
proc exit {args} { puts "exit"; real_exit 0 }
"""
CONFIG_KEYS = {
    *("flow_target", "clock", "clock_uncertainty", "syn.top", "syn.file", "syn.cflags", "syn.compile.name_max_length"),
    *("tb.file", "tb.cflags", "package.output.format", "package.ip.version"),
}
"""Keys of the unified flow's [hls] section that are documented (UG1399, UG1702)."""


@pytest.fixture(scope="module")
def hls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(GRAPH, tmp_path_factory.mktemp("scripts")) / "hls"


def run_tcl(script: Path, folder: Path, steps: str | None = None) -> subprocess.CompletedProcess[str]:
    """The script under plain Tcl, with the vendor's commands replaced."""
    if shutil.which("tclsh") is None:
        pytest.skip("the scripts' tests need tclsh; install the package tcl")
    procs = "".join(f"proc {name} {{args}} {{ called {name} {{{known}}} $args }}\n" for name, known in COMMANDS.items())
    (folder / "stub.tcl").write_text(f"{STUB}{procs}source {{{script}}}\n")
    environment = {**os.environ, **({"QFX_STEPS": steps} if steps is not None else {})}
    return subprocess.run(["tclsh", "stub.tcl"], cwd=folder, capture_output=True, text=True, env=environment)


def test_tcl(hls: Path, tmp_path: Path) -> None:
    result = run_tcl(hls / "hls.tcl", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    flags = f"-cflags {{-std=c++14 -I{hls}}}"
    assert result.stdout.splitlines() == [
        "open_project -reset net_prj",
        "set_top net",
        f"add_files {hls}/net.cpp {flags}",
        f"add_files -tb {hls}/testbench.cpp {flags}",
        f"add_files -tb {hls}/data",
        "open_solution -reset solution1 -flow_target vivado",
        "set_part xczu3eg-sbva484-1-i",
        "create_clock -period 5.333 -name default",
        "set_clock_uncertainty 27% default",
        "config_compile -name_max_length 80",
        "csim_design",
        "csynth_design",
        "close_project",
        "exit",
    ]


def test_tcl_steps(hls: Path, tmp_path: Path) -> None:
    lines = run_tcl(hls / "hls.tcl", tmp_path, "csynth cosim export").stdout.splitlines()
    assert [line for line in lines if "_design" in line] == [
        "csynth_design",
        "cosim_design -trace_level none",
        "export_design -format ip_catalog -version 1.0",
    ]
    result = run_tcl(hls / "hls.tcl", tmp_path, "csynht")
    assert 'unknown step "csynht" in QFX_STEPS; known: selfcheck csim csynth cosim export' in result.stderr


def test_tcl_selfcheck(hls: Path, tmp_path: Path) -> None:
    """A project of its own, before the network's."""
    lines = run_tcl(hls / "hls.tcl", tmp_path, "selfcheck").stdout.splitlines()
    flags = f"-cflags {{-std=c++14 -I{hls}}}"
    assert lines[:4] == [
        "open_project -reset net_selfcheck_prj",
        "set_top selfcheck_cast",
        f"add_files {hls}/selfcheck/casts.cpp {flags}",
        f"add_files -tb {hls}/selfcheck/testbench.cpp {flags}",
    ]
    assert lines[-5:] == ["csim_design", "csynth_design", "cosim_design -trace_level none", "close_project", "exit"]
    both = run_tcl(hls / "hls.tcl", tmp_path, "selfcheck csim").stdout.splitlines()
    assert [line for line in both if "open_project" in line or "csim" in line] == [
        *("open_project -reset net_selfcheck_prj", "csim_design", "open_project -reset net_prj", "csim_design"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("csynth_design", "csynth_desig", 'invalid command name "csynth_desig"'), ("-reset net", "-resset net", "no option -resset")],
)
def test_the_stand_in_rejects_what_the_tools_would(hls: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    script = tmp_path / "hls.tcl"
    script.write_text((hls / "hls.tcl").read_text().replace(old, new))
    assert message in run_tcl(script, tmp_path).stderr


def read_config(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Lines before the section, and the section's key-value pairs (keys may repeat)."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    section = lines.index("[hls]")
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string("\n".join(lines[section:]))
    return lines[:section], [(key, value) for key, _, value in (line.partition("=") for line in lines[section + 1 :])]


def test_config_of_the_selfcheck(hls: Path) -> None:
    general, pairs = read_config((hls / "selfcheck.cfg").read_text())
    assert general == ["part=xczu3eg-sbva484-1-i"]
    assert {key for key, _ in pairs} < CONFIG_KEYS
    assert dict(pairs)["syn.top"] == "selfcheck_cast"
    assert all((hls / value).exists() for key, value in pairs if key in {"syn.file", "tb.file"})


def test_config(hls: Path) -> None:
    general, pairs = read_config((hls / "hls_config.cfg").read_text())
    assert general == ["part=xczu3eg-sbva484-1-i"]
    assert {key for key, _ in pairs} == CONFIG_KEYS
    values = dict(pairs)
    assert (values["clock"], values["syn.top"], values["package.output.format"]) == ("5.333ns", "net", "ip_catalog")
    assert all((hls / value).exists() for key, value in pairs if key in {"syn.file", "tb.file"})


def make(hls: Path, folder: Path, target: str, tools: list[str]) -> subprocess.CompletedProcess[str]:
    """`make target` with stand-ins for the tools, and nothing else of theirs, on PATH."""
    folder.mkdir(exist_ok=True)
    for tool in tools:
        (folder / tool).write_text(f'#!/bin/sh\necho "ran: {tool} $*${{QFX_STEPS:+ [$QFX_STEPS]}}"\n')
        (folder / tool).chmod(0o755)
    path = f"{folder}:{Path(shutil.which('make') or '').parent}:/bin"
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("MAKE")}, "PATH": path}
    return subprocess.run(["make", "-s", target], cwd=hls, capture_output=True, text=True, env=environment)


CONFIG = "--config hls_config.cfg --work_dir build"
CASTS = "--config selfcheck.cfg --work_dir build_selfcheck"


@pytest.mark.parametrize(
    ("target", "unified", "classic"),
    [
        (
            "selfcheck",
            [f"vitis-run --mode hls --csim {CASTS}", f"v++ -c --mode hls {CASTS}", f"vitis-run --mode hls --cosim {CASTS}"],
            "selfcheck",
        ),
        ("csim", [f"vitis-run --mode hls --csim {CONFIG}"], "csim"),
        ("csynth", [f"v++ -c --mode hls {CONFIG}"], "csynth"),
        ("cosim", [f"v++ -c --mode hls {CONFIG}", f"vitis-run --mode hls --cosim {CONFIG}"], "csynth cosim"),
        ("package", [f"v++ -c --mode hls {CONFIG}", f"vitis-run --mode hls --package {CONFIG}"], "csynth export"),
        ("impl", [f"v++ -c --mode hls {CONFIG}", f"vitis-run --mode hls --impl {CONFIG}"], None),
        ("tcl", ["vitis-run --mode hls --tcl hls.tcl"], ""),
    ],
)
def test_make_picks_the_launcher(hls: Path, tmp_path: Path, target: str, unified: list[str], classic: str | None) -> None:
    both = make(hls, tmp_path / "new", target, ["vitis-run", "v++", "vitis_hls"])
    assert (both.returncode, both.stdout.splitlines()) == (0, [f"ran: {line}" for line in unified])
    old = make(hls, tmp_path / "old", target, ["vitis_hls"])
    if classic is None:
        assert old.returncode == 2 and "impl needs vitis-run" in old.stderr
    else:
        assert old.stdout == "ran: vitis_hls -f hls.tcl" + (f" [{classic}]" if classic else "") + "\n"
    none = make(hls, tmp_path / "none", target, [])
    assert none.returncode == 2 and "neither vitis-run nor vitis_hls is on PATH" in none.stderr


def test_make_clean(hls: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(hls, tmp_path / "hls"))
    (copy / "build").mkdir()
    assert make(copy, tmp_path / "tools", "clean", []).returncode == 0
    assert not (copy / "build").exists() and (copy / "data").exists()


def test_the_testbench_passes_and_sees_a_wrong_code(hls: Path, tmp_path: Path) -> None:
    stubs = Path(__file__).parents[2] / "hls_templates/csim"
    command = ["g++", "-std=c++14", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", f"-I{hls}"]
    command += ["-isystem", str(stubs), "-isystem", str(find_ap_types().path), str(hls / "net.cpp"), str(hls / "testbench.cpp")]
    subprocess.run([*command, "-o", str(tmp_path / "testbench")], check=True)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["./testbench"], cwd=tmp_path, capture_output=True, text=True)

    missing = run()
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (2, "input.dat: 0 codes, wanted 36")
    shutil.copytree(hls / "data", tmp_path / "data")
    good = run()
    assert (good.returncode, good.stdout) == (0, "72 codes compared, 0 wrong\n")
    expected = tmp_path / "data/output.dat"
    codes = expected.read_text().split()
    expected.write_text("\n".join([str((int(codes[0]) + 1) % 16), *codes[1:]]))
    bad = run()
    assert (bad.returncode, bad.stdout) == (1, "72 codes compared, 2 wrong\n")
    assert bad.stderr.startswith("run 0, code 0: ")
