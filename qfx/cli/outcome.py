"""What became of each project of one `qfx verify`: a report, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qfx.engines.report import Report


@dataclass(frozen=True)
class Outcome:
    """One project.

    Attributes:
        name: its directory, as it was given.
        seconds: that it took.
        report: None if the project could not be judged.
        error: why not; empty if there is a report.
        code: exit code of the error.
    """

    name: str
    seconds: float
    report: Report | None = None
    error: str = ""
    code: int = 2

    @property
    def exit_code(self) -> int:
        """0 where all engines agree, 1 for a mismatch, else that of the error."""
        return self.code if self.report is None else int(self.report.mismatches > 0)

    def document(self) -> dict[str, Any]:
        """For JSON: that of the report, or `error` and `exit_code`."""
        return {"error": self.error, "exit_code": self.code} if self.report is None else self.report.document()


def documents(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The JSON of a verification: of one project its own, of several their sums and each by its directory."""
    if len(outcomes) == 1:
        return outcomes[0].document()
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    return {
        "engines": list(dict.fromkeys(engine for report in reports for engine in report.engines)),
        "samples": sum(report.samples for report in reports),
        "values_compared": sum(report.values_compared for report in reports),
        "mismatches": sum(report.mismatches for report in reports),
        "failed": [outcome.name for outcome in outcomes if outcome.exit_code],
        "projects": {outcome.name: outcome.document() for outcome in outcomes},
    }
