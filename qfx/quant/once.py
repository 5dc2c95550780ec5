"""The lock round what is made once, and what changes the process while it is made: traces, proofs, compiled kernels.

torch.fx replaces `nn.Module.__call__` for as long as it traces. Two traces at a time would put each other's replacement back, and
leave it there for good.
"""

from __future__ import annotations

import os
import threading

making = threading.RLock()
"""One for all, since making a proof traces, and a trace may compile."""

if hasattr(os, "register_at_fork"):  # a process that is forked meanwhile would keep the replacement, and a lock that nobody holds
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=making.release)
