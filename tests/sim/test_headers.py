"""Where the ap_types headers are looked for, and in which order."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from qfx.errors import ToolMissingError
from qfx.sim.headers import MASKING, OPEN_HEADERS, PACKAGES, find_ap_types, quick_masking


def headers(folder: Path) -> Path:
    """A folder that looks like ap_types."""
    folder.mkdir(parents=True)
    for name in ("ap_int.h", "ap_fixed.h"):
        (folder / name).write_text("")
    return folder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Stand-ins for the pip packages; delete an entry's folder to uninstall it."""
    folders = {name: headers(tmp_path / name / inner) for name, inner in PACKAGES.items()}

    def find_spec(name: str) -> ModuleSpec | None:
        if not folders[name].exists():
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path / name)]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return folders


def uninstall(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_order(tmp_path: Path, packages: dict[str, Path]) -> None:
    option, variable, vendor = (headers(tmp_path / name) for name in ("option", "variable", "vendor/include"))
    environment = {"QFX_AP_TYPES": str(variable), "XILINX_HLS": str(vendor.parent)}
    assert find_ap_types(option, environment).path == option
    assert find_ap_types(None, environment).path == variable
    del environment["QFX_AP_TYPES"]
    found = find_ap_types(None, environment)
    assert (found.path, found.origin, found.known) == (vendor, "XILINX_HLS", False)
    assert found.description == f"XILINX_HLS: {vendor} (another release than the open one)"
    uninstall(vendor)
    assert find_ap_types(None, environment).origin == "package hls4ml"
    uninstall(packages["hls4ml"])
    assert find_ap_types(None, environment).origin == "package da4ml"


def test_nothing_found(packages: dict[str, Path]) -> None:
    for folder in packages.values():
        uninstall(folder)
    with pytest.raises(ToolMissingError, match="no ap_types headers found for C simulation; pip install --no-deps hls4ml, or"):
        find_ap_types(None, {})


@pytest.mark.parametrize("origin", ["option", "QFX_AP_TYPES"])
def test_a_named_folder_without_headers(tmp_path: Path, origin: str) -> None:
    environment = {"QFX_AP_TYPES": str(tmp_path)} if origin == "QFX_AP_TYPES" else {}
    with pytest.raises(ToolMissingError, match=f"{origin} names {tmp_path} for the ap_types headers, but ap_int.h or"):
        find_ap_types(None if environment else tmp_path, environment)


def test_the_open_release_is_known() -> None:
    """The pinned package carries it, byte for byte."""
    found = find_ap_types(None, {})
    assert found.known and found.description.endswith("(the open release)")
    assert len(OPEN_HEADERS) == 11


def test_masking_without_volatile(tmp_path: Path, packages: dict[str, Path]) -> None:
    """One word is gone from the open release's file, twice; headers of another release are not touched."""
    other = find_ap_types(packages["hls4ml"], {})
    assert not other.known and not quick_masking(other, tmp_path / "other") and not (tmp_path / "other").exists()


def test_only_one_word_of_the_open_release_is_gone(tmp_path: Path) -> None:
    found, name = find_ap_types(None, {}), MASKING[0]
    assert quick_masking(found, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [name]
    before, after = ((folder / name).read_text().splitlines() for folder in (found.path, tmp_path))
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("  INLINE void clearUnusedBits(void) volatile", "  INLINE void clearUnusedBits(void)")] * 2
