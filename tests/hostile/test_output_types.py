"""An output of a kind nobody may be paid to (THREATS A12): data, bare scripts, witness versions without rules yet.

An extra output is refused anyway; here the kind is named, wherever such an output stands and whatever it is worth.
"""

from __future__ import annotations

import pytest

from custody.bitcoin.curve import public_key
from custody.bitcoin.script import OutputType, address, output_type, p2wpkh, push
from custody.bitcoin.transaction import TxOut
from custody.charter.document import AddressPayee
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, make_cast, secret
from custody.units import Network
from custody.vault.descriptor import Branch

KEYS = [public_key(secret(f"bare {number}")) for number in range(3)]
PAID = 70_000_000

ODD = {
    "data": (b"\x6a" + push(b"a few words"), OutputType.OP_RETURN),
    "no data": (b"\x6a", OutputType.OP_RETURN),
    "a bare key": (push(KEYS[0]) + b"\xac", OutputType.P2PK),
    "a bare multisig": (b"\x52" + b"".join(push(key) for key in KEYS) + b"\x53\xae", OutputType.BARE_MULTISIG),
    "a bare 1-of-1": (b"\x51" + push(KEYS[0]) + b"\x51\xae", OutputType.BARE_MULTISIG),
    "an anchor": (bytes.fromhex("51024e73"), OutputType.ANCHOR),
    "a short version 1": (b"\x51\x14" + bytes(20), OutputType.WITNESS_UNKNOWN),
    "version 2": (b"\x52\x20" + bytes(32), OutputType.WITNESS_UNKNOWN),
    "version 16": (b"\x60\x02\x01\x02", OutputType.WITNESS_UNKNOWN),
    "version 0 of another size": (b"\x00\x10" + bytes(16), OutputType.UNKNOWN),
    "nothing": (b"", OutputType.UNKNOWN),
    "anybody's": (b"\x51", OutputType.UNKNOWN),
    "a hash puzzle": (b"\xa8" + push(bytes(32)) + b"\x87", OutputType.UNKNOWN),
}

WITH_ADDRESS = {OutputType.WITNESS_UNKNOWN, OutputType.ANCHOR}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest) -> bytes:
    return ODD[request.param][0]


@pytest.mark.parametrize("case", ODD)
def test_each_of_these_scripts_is_what_it_is_called(case):
    script, kind = ODD[case]
    assert output_type(script) is kind


@pytest.mark.parametrize("amount", [0, 1_000])
def test_an_odd_output_beside_the_payee_is_refused(forger, stage, odd, amount):
    drafted = forger.draft()
    change = next(each for each in drafted.transaction.outputs if each.amount != PAID)
    payee = next(each for each in drafted.transaction.outputs if each.amount == PAID)
    smaller = TxOut(change.amount - amount, change.script_pubkey)
    extra = TxOut(amount, odd)
    for outputs in ((extra, smaller, payee), (smaller, payee, extra)):
        with refuses("OUTPUT_TYPE"):
            forger.judge(forger.redrafted(drafted, outputs=outputs), stage)


def test_an_odd_output_in_place_of_the_payee_or_of_the_change_is_refused(forger, stage, odd):
    drafted = forger.draft()
    for at, output in enumerate(drafted.transaction.outputs):
        outputs = list(drafted.transaction.outputs)
        outputs[at] = TxOut(output.amount, odd)
        with refuses("OUTPUT_TYPE"):
            forger.judge(forger.redrafted(drafted, outputs=outputs), stage)


def test_a_usual_output_that_nobody_asked_for_is_refused_as_such(forger, stage):
    # The other side of the line: what is refused above is the kind of output and not that it is one too many.
    drafted = forger.draft()
    at = next(index for index, each in enumerate(drafted.transaction.outputs) if each.amount != PAID)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = TxOut(outputs[at].amount - 1_000, forger.vault.script_pubkey(Branch.CHANGE, 0))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(forger.redrafted(drafted, outputs=[*outputs, TxOut(1_000, p2wpkh(bytes(20)))]), stage)


@pytest.mark.parametrize("case", [name for name, (_, kind) in ODD.items() if kind in WITH_ADDRESS])
def test_no_charter_lists_a_payee_whose_address_has_no_rules_yet(recast, case):
    cast = make_cast()
    odd = AddressPayee(name=SUPPLIER, address=address(ODD[case][0], Network.REGTEST))
    payees = tuple(odd if each.name == SUPPLIER else each for each in cast.charter.payees)
    with refuses("OUTPUT_TYPE"):
        recast(cast, payees=payees)


@pytest.mark.parametrize("case", [name for name, (_, kind) in ODD.items() if kind not in WITH_ADDRESS])
def test_the_others_have_no_address_to_be_listed_by(case):
    with refuses("OUTPUT_TYPE"):
        address(ODD[case][0], Network.REGTEST)
