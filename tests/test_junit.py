"""JUnit XML and JSON of several projects."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

from qfx.cli.junit import junit
from qfx.cli.outcome import Outcome, documents
from qfx.engines.report import Difference, LayerReport, Report
from qfx.fixed import FixedType

TYPE = FixedType(True, 5, 2)
LAYERS = (LayerReport("stem", "conv2d", TYPE.ap_name, 12, 120, 0, 0.25), LayerReport("head<&\0", "linear", TYPE.ap_name, 4, 40, 3))
FIRST = Difference("head<&\0", "linear", 2, (1,), ("csim",), {"sim": 3, "csim": 4}, TYPE, {"stem": TYPE})
BAD = Outcome("out/bad", 1.25, Report(("sim", "csim"), 10, LAYERS, FIRST, ("hls/weights.hpp differs",), seconds={"csim": 0.5}))
GOOD = Outcome("out/good", 0.5, Report(("sim", "onnx", "csim"), 10, (dataclasses.replace(LAYERS[0], compared=240),)))
BROKEN = Outcome("out/broken", 0.0, error="no manifest.json", code=2)


def test_a_suite_per_project_and_a_case_per_layer() -> None:
    root = ET.fromstring(junit([BAD, GOOD, BROKEN]).encode())
    assert root.attrib == {"name": "qfx verify", "tests": "4", "failures": "1", "errors": "1", "time": "1.750"}
    bad, good, broken = root
    assert (bad.get("name"), bad.get("tests"), bad.get("failures"), bad.get("errors")) == ("out/bad", "2", "1", "0")
    assert bad.get("time") == "1.250"
    assert [prop.attrib for prop in bad.iter("property")] == [
        {"name": "engines", "value": "sim, csim"},
        {"name": "samples", "value": "10"},
        {"name": "seconds of csim", "value": "0.500"},
    ]
    cases = list(bad.iter("testcase"))
    assert [case.get("name") for case in cases] == ["stem", "head<&\ufffd"]
    assert [case.get("time") for case in cases] == ["0.250", "0.000"] and broken[0].get("time") == "0.000"
    assert [len(case) for case in cases] == [0, 1]
    assert cases[1][0].attrib == {"type": "mismatch", "message": "3 of 40 values differ (linear, ap_fixed<5, 3>)"}
    assert (cases[1][0].text or "").startswith("first mismatch: layer head<&\ufffd (linear), sample 2, element [1]\n")
    assert bad.findtext("system-out") == "hls/weights.hpp differs"
    assert good.find("system-out") is None and good.find(".//failure") is None
    assert broken.get("tests") == "1"
    error = broken.find("testcase/error")
    assert error is not None and error.attrib == {"message": "no manifest.json", "type": "exit code 2"}


def test_a_moved_binary_point_is_the_same_test() -> None:
    """And times do not count where two reports, or their JSON, are compared."""
    assert GOOD.report is not None
    moved = dataclasses.replace(LAYERS[0], type=FixedType(True, 5, 3).ap_name, seconds=9.0)
    other = dataclasses.replace(GOOD, report=dataclasses.replace(GOOD.report, layers=(moved,)))
    names = [[case.attrib["name"] for case in ET.fromstring(junit([one]).encode()).iter("testcase")] for one in (GOOD, other)]
    assert names[0] == names[1] == ["stem"]
    assert dataclasses.replace(LAYERS[0], seconds=9.0) == LAYERS[0] and "seconds" not in LAYERS[0].document()


def test_json_of_one_and_of_several() -> None:
    assert BAD.report is not None and GOOD.report is not None
    assert documents([BAD]) == BAD.report.document()
    assert documents([BROKEN]) == {"error": "no manifest.json", "exit_code": 2}
    assert documents([BAD, GOOD, BROKEN]) == {
        "engines": ["sim", "csim", "onnx"],
        "samples": 20,
        "values_compared": 10 * 16 + 10 * 12 * 2,
        "mismatches": 3,
        "failed": ["out/bad", "out/broken"],
        "projects": {
            "out/bad": BAD.report.document(),
            "out/good": GOOD.report.document(),
            "out/broken": {"error": "no manifest.json", "exit_code": 2},
        },
    }
