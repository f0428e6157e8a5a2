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
    from custody.backends.bitcoind.relay import BitcoindJudge, BitcoindRelay
    from custody.backends.bitcoind.rpc import CookieFile, Rpc, UserPassword
    from custody.backends.bitcoind.view import BitcoindView
    from custody.backends.bitcointx import BitcointxJudge
    from custody.backends.clock import SystemClock
    from custody.backends.kernel.judge import KernelJudge
    from custody.backends.keyfile import (
        KeyFile,
        KeyFileSigner,
        create_document_key,
        create_master_key,
        open_document_key,
    )
    from custody.backends.sql.store import SqlStore, create_store, open_store
    from custody.backends.station import FileStationMemory
    from custody.bitcoin.psbt import Psbt
    from custody.bitcoin.transaction import OutPoint, Transaction
    from custody.charter.card import PayerCard
    from custody.charter.decide import Decision, Verdict, decide
    from custody.charter.document import AddressPayee, Charter, CharterVault, VaultPayee, verify_charter
    from custody.charter.people import Person, Role
    from custody.charter.rules import AllowRule, ApprovalsRule, FeeRule, LimitRule
    from custody.charter.text import parse_charter
    from custody.custodian import Custodian, Issued, Outside
    from custody.envelope import Ed25519Signer, Envelope, sign
    from custody.errors import BackendError, CustodyError, IntegrityError, InvalidInput, Refused
    from custody.examine.evidence import Evidence, Stage
    from custody.examine.examination import Examination
    from custody.examine.statement import verify_statement
    from custody.extras import ExtraMissing
    from custody.history.fold import fold
    from custody.history.questions import History
    from custody.history.state import State
    from custody.ports.chain import ChainView, Clock, Relay
    from custody.ports.station import Signer, StationMemory
    from custody.ports.store import Store
    from custody.quorum import Quorum, Tally
    from custody.station import Station
    from custody.transfer.address import ExpectedDeposit
    from custody.transfer.annex import Annex
    from custody.transfer.approval import Approval, Opinion, Withdrawal, WithdrawalPaper
    from custody.transfer.request import Purpose, ReasonAnnex, RequestedPayment, RequestPaper, TransferRequest
    from custody.transfer.state import Status
    from custody.transfer.verify import Judge
    from custody.units import Network
    from custody.vault.descriptor import Branch, Vault
    from custody.vault.keys import Cosigner, KeyOrigin
    from custody.vault.templates import ScriptType, account_path
    from custody.words import show_words

__version__ = "0.1.0"

_HOMES = {
    "custody.backends.bitcoind.relay": ("BitcoindJudge", "BitcoindRelay"),
    "custody.backends.bitcoind.rpc": ("CookieFile", "Rpc", "UserPassword"),
    "custody.backends.bitcoind.view": ("BitcoindView",),
    "custody.backends.bitcointx": ("BitcointxJudge",),
    "custody.backends.clock": ("SystemClock",),
    "custody.backends.kernel.judge": ("KernelJudge",),
    "custody.backends.keyfile": (
        "KeyFile",
        "KeyFileSigner",
        "create_document_key",
        "create_master_key",
        "open_document_key",
    ),
    "custody.backends.sql.store": ("SqlStore", "create_store", "open_store"),
    "custody.backends.station": ("FileStationMemory",),
    "custody.bitcoin.psbt": ("Psbt",),
    "custody.bitcoin.transaction": ("OutPoint", "Transaction"),
    "custody.charter.card": ("PayerCard",),
    "custody.charter.decide": ("Decision", "Verdict", "decide"),
    "custody.charter.document": ("AddressPayee", "Charter", "CharterVault", "VaultPayee", "verify_charter"),
    "custody.charter.people": ("Person", "Role"),
    "custody.charter.rules": ("AllowRule", "ApprovalsRule", "FeeRule", "LimitRule"),
    "custody.charter.text": ("parse_charter",),
    "custody.custodian": ("Custodian", "Issued", "Outside"),
    "custody.envelope": ("Ed25519Signer", "Envelope", "sign"),
    "custody.errors": ("BackendError", "CustodyError", "IntegrityError", "InvalidInput", "Refused"),
    "custody.examine.evidence": ("Evidence", "Stage"),
    "custody.examine.examination": ("Examination",),
    "custody.examine.statement": ("verify_statement",),
    "custody.extras": ("ExtraMissing",),
    "custody.history.fold": ("fold",),
    "custody.history.questions": ("History",),
    "custody.history.state": ("State",),
    "custody.ports.chain": ("ChainView", "Clock", "Relay"),
    "custody.ports.station": ("Signer", "StationMemory"),
    "custody.ports.store": ("Store",),
    "custody.quorum": ("Quorum", "Tally"),
    "custody.station": ("Station",),
    "custody.transfer.address": ("ExpectedDeposit",),
    "custody.transfer.annex": ("Annex",),
    "custody.transfer.approval": ("Approval", "Opinion", "Withdrawal", "WithdrawalPaper"),
    "custody.transfer.request": ("Purpose", "ReasonAnnex", "RequestPaper", "RequestedPayment", "TransferRequest"),
    "custody.transfer.state": ("Status",),
    "custody.transfer.verify": ("Judge",),
    "custody.units": ("Network",),
    "custody.vault.descriptor": ("Branch", "Vault"),
    "custody.vault.keys": ("Cosigner", "KeyOrigin"),
    "custody.vault.templates": ("ScriptType", "account_path"),
    "custody.words": ("show_words",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# Names are loaded when first asked for (PEP 562): a program that only prints its help loads none of them.
__all__ = [
    "AddressPayee",
    "AllowRule",
    "Annex",
    "Approval",
    "ApprovalsRule",
    "BackendError",
    "BitcoindJudge",
    "BitcoindRelay",
    "BitcoindView",
    "BitcointxJudge",
    "Branch",
    "ChainView",
    "Charter",
    "CharterVault",
    "Clock",
    "CookieFile",
    "Cosigner",
    "Custodian",
    "CustodyError",
    "Decision",
    "Ed25519Signer",
    "Envelope",
    "Evidence",
    "Examination",
    "ExpectedDeposit",
    "ExtraMissing",
    "FeeRule",
    "FileStationMemory",
    "History",
    "IntegrityError",
    "InvalidInput",
    "Issued",
    "Judge",
    "KernelJudge",
    "KeyFile",
    "KeyFileSigner",
    "KeyOrigin",
    "LimitRule",
    "Network",
    "Opinion",
    "OutPoint",
    "Outside",
    "PayerCard",
    "Person",
    "Psbt",
    "Purpose",
    "Quorum",
    "ReasonAnnex",
    "Refused",
    "Relay",
    "RequestPaper",
    "RequestedPayment",
    "Role",
    "Rpc",
    "ScriptType",
    "Signer",
    "SqlStore",
    "Stage",
    "State",
    "Station",
    "StationMemory",
    "Status",
    "Store",
    "SystemClock",
    "Tally",
    "Transaction",
    "TransferRequest",
    "UserPassword",
    "Vault",
    "VaultPayee",
    "Verdict",
    "Withdrawal",
    "WithdrawalPaper",
    "__version__",
    "account_path",
    "create_document_key",
    "create_master_key",
    "create_store",
    "decide",
    "fold",
    "open_document_key",
    "open_store",
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
