"""What does it cost to start, open a store, and look at one thing? Says so itself: its CPU time and its most memory.

    python look.py STORE CHARTER WHAT ID

The last two words it prints are microseconds and kB.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from custody.backends.sql.store import open_store
from custody.history.holdings import balance
from custody.logbook import Logbook
from custody.units import Network

path, charter, what, wanted = sys.argv[1:]
history = Logbook(open_store(Path(path), Network.REGTEST), bytes.fromhex(charter), bytes).read()
if "balance" in what:
    sys.stdout.write(f"{balance(history, bytes.fromhex(wanted))} sat\n")
else:
    transfer = history.transfer(bytes.fromhex(wanted))
    case = history.case(transfer)
    sys.stdout.write(f"{transfer.status} {transfer.request.reason} {case.outflow} {transfer.draft.fee}\n")
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss, which begins with what the process had that started this one.
status = Path("/proc/self/status").read_text(encoding="ascii")
(peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
sys.stdout.write(f"{(used.ru_utime + used.ru_stime) * 1e6:.0f} {peak}\n")
