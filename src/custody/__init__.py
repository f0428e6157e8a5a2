"""Multi-signature cold-storage custody of bitcoin for institutions.

The route, and who walks which part of it:

    charter ---------- signed by everyone it lists; its digest, told by voice, is all that anybody trusts
       |
    observe            deposits of the vaults on the chain, deep enough, are coins
       |
    submit  draft  decide            a signed request becomes a transaction, judged by the charter's rules
       |
    approve...  authorize            officers examine the evidence on their own machines and sign yes
       |
    request_signatures  evidence     ======= air gap =======>  Station.sign: examine everything again,
                                                                             then let a device sign
    receive  combine  verify         <====== air gap ========  signatures only, each one verified
       |
    release  deliver                 the whole gate again; then the network, any number of times
       |
    observe                          buried deep enough, it is confirmed; reorganised, it is live again

`Custodian` is the left side, `Station` the right one, `examine` what both and every officer use. Everything that
happened stands in an append-only Merkle log, and one function, `fold`, says what it means.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.bitcoin.psbt import Psbt
    from custody.bitcoin.transaction import OutPoint, Transaction
    from custody.charter.card import PayerCard
    from custody.charter.decide import Decision, Verdict, decide
    from custody.charter.document import Charter, verify_charter
    from custody.charter.people import Role
    from custody.charter.text import parse_charter
    from custody.custodian import Custodian, Outside
    from custody.envelope import Ed25519Signer, Envelope, sign
    from custody.errors import BackendError, CustodyError, IntegrityError, InvalidInput, Refused
    from custody.examine.evidence import Evidence, Stage
    from custody.examine.examination import Examination
    from custody.examine.statement import verify_statement
    from custody.history.fold import fold
    from custody.history.questions import History
    from custody.history.state import State
    from custody.quorum import Quorum, Tally
    from custody.station import Station
    from custody.transfer.address import ExpectedDeposit
    from custody.transfer.approval import Approval, Opinion
    from custody.transfer.request import Purpose, RequestedPayment, TransferRequest
    from custody.transfer.state import Status
    from custody.units import Network
    from custody.vault.descriptor import Branch, Vault
    from custody.vault.keys import Cosigner, KeyOrigin
    from custody.vault.templates import ScriptType
    from custody.words import show_words

__version__ = "0.1.0"

_HOMES = {
    "custody.bitcoin.psbt": ("Psbt",),
    "custody.bitcoin.transaction": ("OutPoint", "Transaction"),
    "custody.charter.card": ("PayerCard",),
    "custody.charter.decide": ("Decision", "Verdict", "decide"),
    "custody.charter.document": ("Charter", "verify_charter"),
    "custody.charter.text": ("parse_charter",),
    "custody.charter.people": ("Role",),
    "custody.custodian": ("Custodian", "Outside"),
    "custody.envelope": ("Ed25519Signer", "Envelope", "sign"),
    "custody.errors": ("BackendError", "CustodyError", "IntegrityError", "InvalidInput", "Refused"),
    "custody.examine.evidence": ("Evidence", "Stage"),
    "custody.examine.examination": ("Examination",),
    "custody.examine.statement": ("verify_statement",),
    "custody.history.fold": ("fold",),
    "custody.history.questions": ("History",),
    "custody.history.state": ("State",),
    "custody.quorum": ("Quorum", "Tally"),
    "custody.station": ("Station",),
    "custody.transfer.address": ("ExpectedDeposit",),
    "custody.transfer.approval": ("Approval", "Opinion"),
    "custody.transfer.request": ("Purpose", "RequestedPayment", "TransferRequest"),
    "custody.transfer.state": ("Status",),
    "custody.units": ("Network",),
    "custody.vault.descriptor": ("Branch", "Vault"),
    "custody.vault.keys": ("Cosigner", "KeyOrigin"),
    "custody.vault.templates": ("ScriptType",),
    "custody.words": ("show_words",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# Names are loaded when first asked for (PEP 562): a program that only prints its help loads none of them.
__all__ = [
    "Approval",
    "BackendError",
    "Branch",
    "Charter",
    "Cosigner",
    "Custodian",
    "CustodyError",
    "Decision",
    "Ed25519Signer",
    "Envelope",
    "Evidence",
    "Examination",
    "ExpectedDeposit",
    "History",
    "IntegrityError",
    "InvalidInput",
    "KeyOrigin",
    "Network",
    "Opinion",
    "OutPoint",
    "Outside",
    "PayerCard",
    "Psbt",
    "Purpose",
    "Quorum",
    "Refused",
    "RequestedPayment",
    "Role",
    "ScriptType",
    "Stage",
    "State",
    "Station",
    "Status",
    "Tally",
    "Transaction",
    "TransferRequest",
    "Vault",
    "Verdict",
    "__version__",
    "decide",
    "fold",
    "parse_charter",
    "show_words",
    "sign",
    "verify_charter",
    "verify_statement",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
