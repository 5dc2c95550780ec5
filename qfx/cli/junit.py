"""JUnit XML of verifications, for the test pages of CI systems: a suite per project, a case per layer."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from qfx.cli.outcome import Outcome

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, escaped or not."""


def junit(outcomes: Sequence[Outcome]) -> str:
    """The document. A layer with a mismatch is a failure; a project that could not be judged is one case with an error.

    A case is named after its layer alone, so that it stays the same test when a format changes.
    """
    root = ET.Element("testsuites", name="qfx verify")
    for outcome in outcomes:
        root.append(_suite(outcome))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(outcome.seconds for outcome in outcomes):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(outcome: Outcome) -> ET.Element:
    report, name = outcome.report, _clean(outcome.name)
    layers = report.layers if report else ()
    wrong = sum(bool(layer.mismatches) for layer in layers)
    suite = ET.Element(
        "testsuite", name=name, tests=str(len(layers) or 1), failures=str(wrong), errors=str(int(report is None)), skipped="0"
    )
    suite.set("time", f"{outcome.seconds:.3f}")
    if report is None:
        case = ET.SubElement(suite, "testcase", classname=name, name="verify", time=f"{outcome.seconds:.3f}")
        ET.SubElement(case, "error", message=_clean(outcome.error), type=f"exit code {outcome.exit_code}")
        return suite
    properties = ET.SubElement(suite, "properties")
    ran = {f"seconds of {engine}": f"{seconds:.3f}" for engine, seconds in report.seconds.items()}
    for key, value in {"engines": ", ".join(report.engines), "samples": str(report.samples), **ran}.items():
        ET.SubElement(properties, "property", name=key, value=value)
    for layer in layers:
        case = ET.SubElement(suite, "testcase", classname=name, name=_clean(layer.name), time=f"{layer.seconds:.3f}")
        if layer.mismatches:
            failure = ET.SubElement(case, "failure", type="mismatch")
            failure.set("message", f"{layer.mismatches} of {layer.compared} values differ ({layer.op}, {layer.type})")
            if report.first and report.first.layer == layer.name:
                failure.text = _clean(report.first.text())
    if report.notes:
        ET.SubElement(suite, "system-out").text = _clean("\n".join(report.notes))
    return suite


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
