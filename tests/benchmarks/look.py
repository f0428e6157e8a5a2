"""What does it cost to start, open a store, and look at one thing? Says so itself: its CPU time and its most memory.

    python look.py STORE CHARTER WHAT [ID]

The last two words it prints are microseconds and kB. Where the rows are made again, the start does not count.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from custody.backends.sql.store import open_store
from custody.history.holdings import balance
from custody.logbook import Logbook
from custody.units import Network


def main(path: str, charter: str, what: str, wanted: str = "") -> None:
    """Do it, and say what it cost."""
    store, pinned, begun = open_store(Path(path), Network.REGTEST), bytes.fromhex(charter), 0.0
    history = Logbook(store, pinned, bytes).read()
    if "rows" in what:
        from custody.rebuild import rebuild  # noqa: PLC0415 - the others do not load it

        begun = time.process_time()
        said = f"{rebuild(store, pinned).frontier.size} entries"
    elif "balance" in what:
        said = f"{balance(history, bytes.fromhex(wanted))} sat"
    else:
        transfer = history.transfer(bytes.fromhex(wanted))
        said = f"{transfer.status} {transfer.request.requester} {history.case(transfer).outflow} {transfer.draft.fee}"
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime - begun
    # Not ru_maxrss, which begins with what the process had that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(f"{said}\n{spent * 1e6:.0f} {peak}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
