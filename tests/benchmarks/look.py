"""What does it cost to start, open a store, and look at one thing? Says so itself: its CPU time and its most memory.

    python look.py STORE CHARTER WHAT [ID]
    python look.py STATION CHARTER WHAT FILE

The last two words it prints are microseconds and kB. Where a whole log is read, the start does not count.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from custody.backends.files import read_lines
from custody.backends.sql.store import open_store
from custody.examine.catchup import MAX_LINE
from custody.history.holdings import balance
from custody.logbook import Logbook
from custody.units import Network


def main(path: str, charter: str, what: str, wanted: str = "") -> None:
    """Do it, and say what it cost."""
    begun = 0.0
    if "reader" in what:
        from custody.backends.clock import SystemClock  # noqa: PLC0415 - the others load neither
        from custody.backends.station import FileStationMemory  # noqa: PLC0415
        from custody.station import Station  # noqa: PLC0415

        station = Station(FileStationMemory(Path(path)), SystemClock())
        take_in = station.begin if "snapshot" in what else station.catch_up
        begun = time.process_time()
        said = f"{take_in(lambda: read_lines(Path(wanted), MAX_LINE)).state.size} entries"
    else:
        store, pinned = open_store(Path(path), Network.REGTEST), bytes.fromhex(charter)
        history = Logbook(store, pinned, bytes).read()
        if "rows" in what:
            from custody.rebuild import rebuild  # noqa: PLC0415 - the others do not load it

            begun = time.process_time()
            said = f"{rebuild(store, pinned).frontier.size} entries"
        elif "balance" in what:
            said = f"{balance(history, bytes.fromhex(wanted))} sat"
        else:
            transfer = history.transfer(bytes.fromhex(wanted))
            outflow = history.case(transfer).outflow
            said = f"{transfer.status} {transfer.request.requester} {outflow} {transfer.draft.fee}"
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime - begun
    # Not ru_maxrss, which begins with what the process had that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(f"{said}\n{spent * 1e6:.0f} {peak}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
