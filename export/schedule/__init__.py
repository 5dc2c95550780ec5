"""The cyclo-static model of an accelerator: rate, latency, depths of streams, deadlocks."""

from qfx.export.schedule.bounded import bounded_times
from qfx.export.schedule.execution import Waiting, deadlock
from qfx.export.schedule.network import Frame, Network, Process
from qfx.export.schedule.plan import Depths, Schedule, schedule

__all__ = ["Depths", "Frame", "Network", "Process", "Schedule", "Waiting", "bounded_times", "deadlock", "schedule"]
