"""The registers that a driver reads beside the accelerator: their map, and the hash by which it knows the design."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x51465801
"""What register `magic` reads: the letters QFX and the version of this register map, 1."""

BUILT_FROM = re.compile(r"(?!testbench\.cpp$)(?:\w+\.[ch]pp|kernels/\w+\.hpp|hls\.tcl|hls_config\.cfg)")
"""Files of `hls/` that synthesis reads: the C++ but the testbench, and the two that name part, clock and top."""


@dataclass(frozen=True)
class Register:
    """A read-only register of 32 bits: its name, byte address and meaning."""

    name: str
    address: int
    meaning: str


REGISTERS = tuple(
    Register(name, 4 * index, meaning)
    for index, (name, meaning) in enumerate(
        (
            ("magic", f"0x{MAGIC:08x}: QFX, version 1 of this map"),
            ("hash_low", "bits 31 to 0 of the hash of the design"),
            ("hash_high", "bits 63 to 32 of it"),
            ("frames_in", "frames taken whole at the input since reset, modulo 2^32"),
            ("frames_out", "frames given whole at the output since reset, modulo 2^32"),
            ("cycles_low", "bits 31 to 0 of the cycles of the last batch; reading it holds bits 63 to 32 for cycles_high"),
            ("cycles_high", "bits 63 to 32 as they were when cycles_low was read last; 0 before that"),
            ("status", "bit 0: a batch is under way; all others 0"),
        )
    )
)


def built_from(names: Iterable[str]) -> list[str]:
    """Those of the files, relative to `hls/`, that the hash is taken of, sorted by code point."""
    return sorted(name for name in names if BUILT_FROM.fullmatch(name))


def design_hash(files: Mapping[str, str]) -> int:
    """The hash of a design, 64 bits.

    Each file that synthesis reads gives a line `<sha256 of its content>  <name>`, in order of name, as `sha256sum` prints it. The
    hash is the first 64 bits of the sha256 of these lines.

    Args:
        files: text by path relative to `hls/`; others than those that synthesis reads do not count.
    """
    lines = (f"{hashlib.sha256(files[name].encode()).hexdigest()}  {name}\n" for name in built_from(files))
    return int(hashlib.sha256("".join(lines).encode()).hexdigest()[:16], 16)


def project_hash(hls: Path | str) -> int:
    """The hash of the `hls/` folder as it lies there; whatever the vendor's tools have left in it does not count."""
    hls = Path(hls)
    names = (path.relative_to(hls).as_posix() for path in (*hls.glob("*"), *hls.glob("kernels/*")) if path.is_file())
    return design_hash({name: (hls / name).read_bytes().decode() for name in built_from(names)})
