"""What time is it, by this machine?"""

from __future__ import annotations

import time


class SystemClock:
    """This machine's own clock, which nobody outside sets. Implements `Clock`."""

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())
