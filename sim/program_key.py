"""What decides what a compiled C simulation does: sources, headers, compiler and flags. The same is compiled once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from qfx.files import File, joint_hash

FLAG_VARIABLES = ("LIBRARY_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH")
"""Environment variables that change what g++ makes."""

INCLUDE_VARIABLES = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")
"""Environment variables with folders of headers. g++ looks there before it looks where AMD's headers lie, so a header of this
machine would take their place; it is run without them."""


def program_key(folders: Iterable[Path], compiler: str, flags: Sequence[str]) -> str:
    """The name of a program: a digest of all that decides what it does.

    Args:
        folders: every file in them counts, with its relative path and its content.
        compiler: its version counts.
        flags: of the command, free of paths.
    """
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace").stdout
    parts = [version, *flags, *(f"{name}={os.environ[name]}" for name in FLAG_VARIABLES if name in os.environ)]
    contents = [part.encode() for part in parts]
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents.append(f"{len(files)} files".encode())
        for file in files:
            contents += [file.relative_to(folder).as_posix().encode(), file.read_bytes()]
    return joint_hash(*contents)


def own_sources(dependencies: File, folders: Sequence[Path]) -> bool:
    """Whether all that a compiler's dependency file (`-MMD`) lists lies in `folders`, so that their content is the whole story."""
    text = Path(dependencies).read_text(errors="replace").replace("\\\n", " ").partition(": ")[2].replace("\\ ", "\0")
    files = [Path(word.replace("\0", " ")).resolve() for word in text.split()]
    return all(any(file.is_relative_to(folder.resolve()) for folder in folders) for file in files)
