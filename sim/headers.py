"""Where the `ap_types` headers are: they are AMD's and not part of QFX, so they are looked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qfx.errors import ToolMissingError
from qfx.files import File, file_hash

OPEN_HEADERS = {
    "ap_common.h": "d61258f6ebca39dc11492965e6e7a1508499478b6c4ac435cf83cd454738e0a5",
    "ap_decl.h": "cf51ec1fed914af4a8a1f4d947b4477aa21f02711856e1dc22efeeb5ef608c48",
    "ap_fixed.h": "de5778ab2178ef99c3b68e7b00772c2ddf8f7e827b765a650e864f2d7228e9de",
    "ap_fixed_base.h": "09dd402506631f154a6efa38c3d6bdca5904c8d8dd5c747b545f625281936f4a",
    "ap_fixed_ref.h": "4cef7266a7567f4564b17986e1237dfe7fc20d8415594e32ba36b461f92b402c",
    "ap_fixed_special.h": "c977d09e301cf2f26fe53e91f5ae0bfde03453f6b4ca9ccafd14a7f32ab3b7fb",
    "ap_int.h": "9d38b2ac537c20f08646ce516290a42d3f72e08c5aaa84541ed21ba5488e2cd0",
    "ap_int_base.h": "2ade108df516f39afc9718d8e044aa7a547f0a7a4cd2e6dbe0ae5dd86d3718c4",
    "ap_int_ref.h": "e6bb0e75a6e5c1e0bd84a1ad43c2a4b6bd3beec110f75833487e46e6133b9b96",
    "ap_int_special.h": "1c8bd146e88a1a90270a98a05115f470e4145fcf1d6e9de51a4516a5b8253022",
    "etc/ap_private.h": "4c37711885f4af70fa425f0a797a1c79198785d970140dc092bdfebef31502d9",
}
"""sha256 of the open release, github.com/Xilinx/HLS_arbitrary_Precision_Types at 200a9ae, against which QFX is tested."""

OWN_HEADERS = ("ap_axi_sdata.h", "hls_stream.h")
"""Headers of the vendor's tools of which QFX has its own for C simulation, in `hls_templates/csim`."""

MASKING = ("etc/ap_private.h", b"void clearUnusedBits(void) volatile")
"""File of the open release, and how it declares the function that masks the unused bits of a number after every operation.
The qualifier keeps each intermediate in memory; without it the same arithmetic runs some four times faster."""

PACKAGES = {"hls4ml": "templates/vivado/ap_types", "da4ml": "codegen/hls/source/ap_types/include"}
"""Python packages that ship the headers, and where. They are located, never imported."""

FIX = "pip install --no-deps hls4ml, or set QFX_AP_TYPES to a folder with ap_int.h and ap_fixed.h"


@dataclass(frozen=True)
class ApTypes:
    """A set of headers.

    Attributes:
        path: the include folder.
        origin: how it was found.
        known: whether every file is the open release's.
    """

    path: Path
    origin: str
    known: bool

    @property
    def description(self) -> str:
        """One line for reports."""
        return f"{self.origin}: {self.path} ({'the open release' if self.known else 'another release than the open one'})"


def find_ap_types(explicit: File | None = None, environment: Mapping[str, str] | None = None) -> ApTypes:
    """The first of: `explicit`, $QFX_AP_TYPES, $XILINX_HLS/include, an installed hls4ml, an installed da4ml.

    Raises:
        ToolMissingError: none has the headers, or a folder that was named does not have them.
    """
    variables = os.environ if environment is None else environment
    for origin, named in (("option", explicit), ("QFX_AP_TYPES", variables.get("QFX_AP_TYPES"))):
        if named:
            if not _has_headers(Path(named)):
                raise ToolMissingError(
                    f"{origin} names {named} for the ap_types headers, but ap_int.h or ap_fixed.h is not there; {FIX}"
                )
            return _described(Path(named), origin)
    for origin, path in _candidates(variables):
        if _has_headers(path):
            return _described(path, origin)
    raise ToolMissingError(f"no ap_types headers found for C simulation; {FIX}")


def quick_masking(headers: ApTypes, folder: File) -> bool:
    """Write a copy of the open release's `MASKING` file without that qualifier into `folder`, an include folder to be searched
    before the headers' own.

    Returns:
        whether it was written: headers of another release stay as they are.
    """
    name, declaration = MASKING
    if not headers.known:
        return False
    text = (headers.path / name).read_bytes()
    copy = Path(folder, name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(text.replace(declaration, declaration.removesuffix(b" volatile")))
    return True


def _candidates(variables: Mapping[str, str]) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    if variables.get("XILINX_HLS"):
        found.append(("XILINX_HLS", Path(variables["XILINX_HLS"]) / "include"))
    for package, folder in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            found.append((f"package {package}", Path(location) / folder))
    return found


def _has_headers(path: Path) -> bool:
    return (path / "ap_int.h").is_file() and (path / "ap_fixed.h").is_file()


def _described(path: Path, origin: str) -> ApTypes:
    known = all((path / name).is_file() and file_hash(path / name) == digest for name, digest in OPEN_HEADERS.items())
    return ApTypes(path.resolve(), origin, known)
