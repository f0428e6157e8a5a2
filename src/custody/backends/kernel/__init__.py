"""What do Bitcoin Core's own consensus rules say? libbitcoinkernel as a judge, and as a regtest chain without a node.

`judge` verifies finished transactions. `chain` is a chain inside this process; `pending` is what waits there for a
block. Nothing outside this package imports the library.
"""

from custody.extras import part_of_an_extra

with part_of_an_extra:
    from custody.backends.kernel.chain import BlockRefused, KernelChain
    from custody.backends.kernel.judge import KernelJudge
    from custody.backends.kernel.pending import Unspent

__all__ = ["BlockRefused", "KernelChain", "KernelJudge", "Unspent"]
