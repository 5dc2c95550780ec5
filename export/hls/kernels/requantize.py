"""requantize: the nearest code of another format."""

from __future__ import annotations

from qfx import ops
from qfx.errors import ExportError
from qfx.export.cost.computing import Requantize as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.relu import TAKES
from qfx.export.hls.stage_settings import MAX_AP_WIDTH, Fixed, Settings
from qfx.fixed import FixedType, Rounding


class Requantize(Elementwise[ops.Requantize]):
    """y = the nearest code of y's format, as ap_fixed rounds and saturates or wraps on assignment."""

    serves = ops.Requantize
    latency = 3
    takes = TAKES
    passes = True

    def describe(self, settings: Settings) -> None:
        x, y = self.x.type, self.out.type
        width = source_width(x, self.op)
        if width > MAX_AP_WIDTH:
            raise ExportError(
                f"node {self.operation.name!r} rounds {x.frac - y.frac} bits away; the limit is {MAX_AP_WIDTH - 1}, the width of an"
                " ap_fixed"
            )
        settings.constant(source_width=width)
        settings.code("source_code", x.signed, width)
        settings.fixed.append(Fixed("source", x.signed, width, width - x.frac))
        settings.fixed.append(Fixed.of("target", y, (self.op.rounding.value, self.op.overflow.value)))

    def lane(self) -> Resources:
        x, y, op = self.x.type, self.out.type, self.op
        source, dropped = x.width + (not x.signed), x.frac - y.frac
        return Datapath(source, dropped, y.width, op.rounding.value, op.overflow.value, y.signed).resources()


def source_width(x: FixedType, op: ops.Requantize) -> int:
    """Bits of the ap_fixed that is cast: the open headers abort where all bits of a source lie below the new grid."""
    return x.width if op.rounding is Rounding.TRN else max(x.width, x.frac - op.type.frac + 1)
