"""What is said to come next is the one command that brings a transfer further, wherever it stands."""

from custody.apps.commands.telling import next_step
from custody.apps.views.transfer import approval_lines
from custody.showing import witnessed_size
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, Setting
from custody.transfer.state import Status

DAY = 86_400
CHECKPOINT = "custody log checkpoint -o FILE"


def told(story, transfer_id):
    """The state of a transfer, and the command that is said to come next."""
    history = story.history()
    with story.store.read() as view:
        witnessed = witnessed_size(view.checkpoint(), history.charter)
    transfer = history.transfer(transfer_id)
    step = next_step(transfer, history, witnessed, story.chain.now())
    return transfer.status, None if step is None else step.command


def walk(story):
    """A transfer through every status; after each step the state, and what comes next with blanks for ids."""
    ours = story.custodian
    request = ours.submit(story.request()).digest()
    transfer_id = ours.draft(request, 5_000).transfer_id
    evidence = []

    def carried():
        evidence.append(ours.evidence(transfer_id))

    def approve(officer):
        ours.approve(story.approval(evidence[0], officer))

    def sign(cosigner):
        ours.receive(
            transfer_id, story.stations[cosigner].sign(evidence[-1], story.cast.signers[cosigner]).psbt.to_psbt()
        )

    steps = [
        lambda: None,
        lambda: ours.decide(transfer_id),
        carried,
        lambda: approve(OFFICERS[0]),
        lambda: approve(OFFICERS[1]),
        lambda: ours.authorize(transfer_id),
        lambda: ours.request_signatures(transfer_id),
        carried,
        lambda: sign(0),
        lambda: sign(1),
        lambda: ours.combine(transfer_id),
        lambda: ours.verify(transfer_id),
        lambda: ours.release(transfer_id),
        ours.deliver,
        lambda: story.mine(story.cast.charter.vaults[0].confirmations),
    ]
    for step in steps:
        step()
        status, command = told(story, transfer_id)
        blank = command and command.replace(transfer_id.hex()[:12], "ID").replace(request.hex()[:12], "REQUEST")
        yield status, blank


TABLE = [
    (Status.DRAFTED, "custody transfer draft REQUEST"),
    (Status.DECIDED, CHECKPOINT),
    (Status.DECIDED, "custody transfer evidence ID -o FILE"),
    (Status.DECIDED, "custody transfer approve FILE"),
    (Status.DECIDED, "custody transfer evidence ID --for sign -o FILE"),
    (Status.AUTHORIZED, "custody transfer evidence ID --for sign -o FILE"),
    (Status.SIGNING, CHECKPOINT),
    (Status.SIGNING, "custody transfer evidence ID -o FILE"),
    (Status.SIGNING, "custody transfer combine ID PSBT"),
    (Status.SIGNING, "custody transfer combine ID"),
    (Status.COMBINED, "custody transfer combine ID"),
    (Status.VERIFIED, "custody transfer release ID"),
    (Status.RELEASED, "custody transfer deliver"),
    (Status.BROADCAST, "custody observe"),
    (Status.CONFIRMED, None),
]


def test_each_state_has_one_next_command(story):
    assert list(walk(story)) == TABLE
    assert {status for status, _ in TABLE} == set(Status) - {Status.ENDED}


def test_without_witnesses_no_checkpoint_is_asked_for(begin):
    found = list(walk(begin(setting=Setting(is_witnessed=False))))
    assert CHECKPOINT not in [command for _, command in found]
    assert {status for status, _ in found} == set(Status) - {Status.ENDED}


def test_what_is_over_has_no_next_command(story):
    draft, _ = story.drafted()
    story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    assert told(story, draft.transfer_id) == (Status.ENDED, None)


def test_an_approval_that_expired_meanwhile_is_not_counted_and_evidence_comes_next_again(story):
    draft, _ = story.drafted(story.request(lifetime=1_000 * 3_600))
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    assert "2 of 2" in approval_lines(story.transfer(draft.transfer_id), story.history(), story.chain.now())[0]
    story.chain.wait(8 * DAY)
    lines = approval_lines(story.transfer(draft.transfer_id), story.history(), story.chain.now())
    assert "0 of 2 (nobody yet), 2 more needed" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(OFFICERS[:2])
    assert told(story, draft.transfer_id) == (Status.AUTHORIZED, CHECKPOINT)
    story.custodian.evidence(draft.transfer_id)
    name = draft.transfer_id.hex()[:12]
    evidence = f"custody transfer evidence {name} --for approve -o FILE"
    assert told(story, draft.transfer_id) == (Status.AUTHORIZED, evidence)
    with refuses("APPROVAL_EXPIRED"):
        story.custodian.request_signatures(draft.transfer_id)


def test_what_is_settled_says_of_nobody_that_they_are_still_needed(story):
    transfer_id = story.confirmed()
    (line,) = approval_lines(story.transfer(transfer_id), story.history(), story.chain.now() + 30 * DAY)
    assert line.endswith("met")
