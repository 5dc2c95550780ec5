"""C++ identifiers for value names: unique, readable, free of keywords, macros and the names that the kernels use."""

from __future__ import annotations

import re

from qfx.export.hls.kernels import KERNELS

KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t
    class compl concept const const_cast consteval constexpr constinit continue co_await co_return co_yield
    decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast requires restrict return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename
    union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
"""Of C++ up to C++20, and C's restrict."""

MACROS = """
    assert errno stdin stdout stderr unix linux i386 signal setjmp offsetof va_start va_end NULL EOF major
    minor
"""
"""That headers define, or functions that a variable must not hide."""

PROJECT = """
    s_in m_out in out frames value layer port pack unpack multiply multiply_khot packed_word packed_multiply packed_lane
    matrix_vector matrix_vector_khot input_beat output_beat hls std main testbench weights types layers kernels data selfcheck
    selfcheck_cast
"""
"""Names that the templates use themselves beside the kernels, and port names that become reserved words in Verilog or VHDL."""

FUNCTIONS = frozenset(f"{name}{ending}" for kernel in KERNELS for name in kernel.functions for ending in kernel.endings)
"""Kernels; `#` stands for a number."""

MEMBERS = """
    fixed code word value beat bits valid window padding weight bias scale offset slope output address reciprocal_of
    constant product shift source target sum wide packed reciprocal entry_bits constant_bits address_bits weight_bits
    bias_bits offset_bits output_bits reciprocal_of_bits bias_code offset_code source_code held_row window_row lane_sum
    lowest_field upper_field packed_entry packed_lanes packed_product packed_sum
"""
"""Of the structs that `types.hpp` and `layers.hpp` name after values: a member must not have the name of its struct."""

VERILOG = """
    input output inout reg wire signal entity process module begin end always assign initial buffer block task
"""
"""Words that a generated netlist reserves."""

RESERVED = frozenset((KEYWORDS + MACROS + PROJECT + MEMBERS + VERILOG).split()) | FUNCTIONS
COUNTED = re.compile(
    r"(?:in_\d+|\w+_(?:dsp|lut|packed|pixels|pixels_khot)|"
    + "|".join(name.replace("#", r"\d+") for name in sorted(FUNCTIONS) if "#" in name)
    + ")$"
)
"""Kernels and members of structs whose names have a number, or end in the way they multiply."""
DERIVED = re.compile(r"_(?:windows|copy\d+|rest\d+|by\d+|table|v)$")
"""Endings that the exporter appends; a name that ends so gets another one, so that derived names never collide."""


def identifier(name: str) -> str:
    """`layer1.conv` -> `layer1_conv`; not yet unique."""
    text = re.sub(r"_+", "_", re.sub(r"[^0-9a-zA-Z]", "_", name)).strip("_") or "value"
    text = f"n{text}" if text[0].isdigit() else text
    reserved = text in RESERVED or text.startswith(("ap_", "AP_", "HLS")) or text.isupper()
    return f"{text}_v" if reserved or COUNTED.match(text) or DERIVED.search(text) else text


def unique_identifiers(names: list[str], taken: set[str]) -> dict[str, str]:
    """An identifier for each name, none of them in `taken`, in the order given: earlier names keep the plain form."""
    result: dict[str, str] = {}
    used = set(taken)
    for name in names:
        base = identifier(name)
        found, count = base, 1
        while found in used:
            count += 1
            found = f"{base}_n{count}"
        used.add(found)
        result[name] = found
    return result
