"""One complete transfer, every record and file of it as written, from fixed seeds.

    python -m custody.testing.fixtures [FOLDER]

writes the files anew; a test compares them with the ones that are kept, so that no format changes unseen. Regtest only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from custody.bitcoin.psbt import Psbt
from custody.charter.card import card_of
from custody.examine.evidence import Evidence
from custody.log import write_line
from custody.testing.cast import OFFICERS, SUPPLIER, TAX_OFFICE
from custody.testing.scenario import RATE, Scenario
from custody.words import show_words

FOLDER: Final = Path("fixtures/transfer")
SEED: Final = 20_240_917
SOURCE: Final = """# SOURCE

One complete transfer of a 2-of-3 `wsh` vault on regtest: every record and file of it, as written.

Made by `make fixtures` (`python -m custody.testing.fixtures`) from fixed seeds, and compared with what that command
writes by `tests/functional/test_fixtures.py`. Nothing here was written by hand. All keys are test keys that anybody can
compute; the folder is in the public domain (CC0).

| file | what |
|---|---|
| charter.json | the charter in its envelope, signed by everyone it lists |
| request.json | the transfer request, signed by its requester, with the annex that holds its reason |
| draft.json, decision.json | what the coordinator made of it, and what the rules say |
| evidence-approve.json | what officers examine |
| approval-*.json | what they sign |
| authorization.json | the decision with its demands met |
| evidence-sign.json | what stations examine |
| signed-*.psbt | what stations let out (binary) |
| combined.psbt | both together, once released, as any software takes it (binary) |
| transaction.hex | the finished transaction |
| checkpoint.txt | the log's last checkpoint, cosigned by its witness |
| card.json | the payer card of that charter |
| statement-paper.json, statement.json | what officers judge an address by, and what two of them signed for its payer |
| log.jsonl | the whole log, a line an entry |
| words.txt | the 24 words of the charter, of the transfer and of the payer card |
"""


def make() -> dict[str, bytes]:
    """Every file of the folder, by name."""
    scenario = Scenario.funded(60_000_000, 40_000_000, seed=SEED)
    try:
        return _play(scenario)
    finally:
        scenario.close()


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into `folder`, replacing what stands there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _play(scenario: Scenario) -> dict[str, bytes]:
    custodian, cast = scenario.custodian, scenario.cast
    files = {"SOURCE.md": SOURCE.encode(), "charter.json": cast.envelope.to_bytes()}
    request = scenario.request((SUPPLIER, 25_000_000), (TAX_OFFICE, 15_000_000))
    files["request.json"] = request.to_bytes()
    draft, decision = scenario.drafted(request, RATE)
    transfer_id = draft.transfer_id
    files |= {"draft.json": draft.to_bytes(), "decision.json": decision.to_bytes()}
    evidence = custodian.evidence(transfer_id)
    files["evidence-approve.json"] = evidence.to_bytes()
    for officer in OFFICERS[:2]:
        approval = scenario.approval(evidence, officer)
        custodian.approve(approval)
        files[f"approval-{officer.lower()}.json"] = approval.to_bytes()
    files["authorization.json"] = custodian.authorize(transfer_id).to_bytes()
    custodian.request_signatures(transfer_id)
    evidence = custodian.evidence(transfer_id)
    files["evidence-sign.json"] = evidence.to_bytes()
    files |= _signatures(scenario, transfer_id, evidence)
    custodian.release(transfer_id)
    files["combined.psbt"] = custodian.psbt(transfer_id).to_psbt().serialize()
    custodian.deliver()
    scenario.mine()
    with scenario.store.read() as view:
        files["log.jsonl"] = b"".join(write_line(entry) + b"\n" for entry in view.entries())
    paper, card = scenario.paper(0), card_of(cast.charter)
    files |= {"card.json": card.to_bytes(), "statement-paper.json": paper.to_bytes()}
    files["statement.json"] = scenario.stated(paper).to_bytes()
    files["checkpoint.txt"] = scenario.witnesses[0].cosign(custodian.showing.checkpoint()).text().encode()
    named = (("charter ", cast.digest), ("transfer", transfer_id), ("card    ", card.digest()))
    files["words.txt"] = "".join(f"{what} {show_words(digest)}\n" for what, digest in named).encode()
    return files


def _signatures(scenario: Scenario, transfer_id: bytes, evidence: Evidence) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    cosigners = scenario.cast.vault.cosigners
    for cosigner, station, signer in zip(cosigners, scenario.stations[:2], scenario.cast.signers, strict=False):
        signed: Psbt = station.sign(evidence, signer).psbt.to_psbt()
        scenario.custodian.receive(transfer_id, signed)
        files[f"signed-{cosigner.name}.psbt"] = signed.serialize()
    scenario.custodian.combine(transfer_id)
    files["transaction.hex"] = scenario.custodian.verify(transfer_id).raw.hex().encode() + b"\n"
    return files


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, make())
