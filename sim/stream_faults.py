"""Which stage has misused a stream: the program says how many words it carried, the layout how many it should."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qfx.sim.csim_layout import Flow

FAULT = re.compile(
    r"stream '(?P<stream>\w+)' (?:is read while it is empty, after (?P<read>\d+) words"
    r"|has \d+ words left at the end, of (?P<written>\d+)), in a call of (?P<frames>\d+) frames?"
)
"""In C simulation, where a stage has ended before the next one starts: all words that it wrote are there."""


def explained(message: str, flows: Mapping[str, Flow]) -> str:
    """The lines of a message; those about streams name the stage whose words are too many or too few, earlier stages first."""
    order = {stage: place for place, stage in enumerate(dict.fromkeys(flow.writer for flow in flows.values() if flow.writer))}
    lines = [_explained(line, flows) for line in message.splitlines()]
    return "\n".join(line for line, _ in sorted(lines, key=lambda entry: order.get(entry[1], len(order))))


def _explained(line: str, flows: Mapping[str, Flow]) -> tuple[str, str]:
    """A line, and the stage that it names; empty if none."""
    found = FAULT.search(line)
    flow = flows.get(found["stream"]) if found else None
    if found is None or flow is None:
        return line, ""
    carried, wanted = int(found["read"] or found["written"]), int(found["frames"]) * flow.words
    if carried == wanted:
        stage, fault = flow.reader, f"reads {'more' if found['read'] else 'fewer'}"
    else:
        stage, fault = flow.writer, f"writes {'fewer' if carried < wanted else 'more'}"
    return (f"{line}: {stage} {fault} than the {flow.words} of a frame", stage) if stage else (line, "")
