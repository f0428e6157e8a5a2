"""Leave to send, and the record of having sent."""

from custody.transfer.settlement import broadcast, release


def test_a_release_names_exactly_what_was_verified(told):
    verified = told.after_verified
    released = release(verified, 17)
    assert (released.transfer, released.txid, released.verified) == (
        told.transfer_id,
        told.draft.transaction.txid,
        verified.digest(),
    )
    assert released.at == 17


def test_another_witness_for_the_same_txid_is_another_release(told, edit):
    verified = told.after_verified
    other = edit(verified, raw=told.draft.identity.transactions[0])
    assert release(other, 17).txid == release(verified, 17).txid
    assert release(other, 17) != release(verified, 17)


def test_a_broadcast_is_of_what_was_released(told):
    released = release(told.after_verified, 17)
    sent = broadcast(released, 18)
    assert (sent.transfer, sent.txid, sent.at) == (released.transfer, released.txid, 18)
