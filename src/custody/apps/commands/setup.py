"""How is a coordinator set up, and its store brought up to date?

Setting up pins the charter's digest outside the store, from words that a person brought. It can be repeated after a
power cut: what was made before is taken up again, and the configuration is written last.
"""

from __future__ import annotations

from contextlib import closing

import click
from click.core import ParameterSource

from custody.apps.config import Place, Settings, place, shown
from custody.apps.coordinator import OwnChain, absolute, outside
from custody.apps.station_commands.desk import KeyNotListed, open_person, read_key_file, read_paper
from custody.apps.terminal import STANDARD, Verb, output, passphrase_option, read_words
from custody.backends.files import create_directory
from custody.backends.sql import SqlStore, create_store, open_store, upgrade_store
from custody.bitcoin.script import NetworkMismatch
from custody.charter.document import Charter, read_charter, verify_charter
from custody.custodian import Custodian
from custody.envelope import Ed25519Signer, Envelope, show_key
from custody.units import Network
from custody.vault.coins import COINBASE_MATURITY
from custody.words import check_spoken, show_words

FAUCET_BLOCKS = 10
"""Block rewards that regtest's faucet can spend from the start."""


@click.command(
    cls=Verb,
    epilog="Example: custody init charter.json legal winner thank ... --coordinator-key coordinator.key.json",
)
@click.argument("charter_file", metavar="CHARTER")
@click.argument("words", nargs=-1)
@click.option("--coordinator-key", "keyfile", metavar="KEYFILE", required=True, help="The coordinator's key file.")
@passphrase_option("the coordinator's key")
def init(*, charter_file: str, words: tuple[str, ...], keyfile: str, passphrase_file: str | None) -> None:
    """Set up the coordinator under a signed charter.

    CHARTER is the charter's file, signed by everyone it lists. WORDS are its twelve words, as they were read to you
    over a line you trust; they are asked for when left out. The charter's digest is pinned in the configuration,
    outside the store; the paths of KEYFILE and of --passphrase-file are kept beside it. On regtest a chain is made as
    well, with coins in its faucet.
    """
    envelope = read_paper(Envelope, charter_file)
    digest = read_charter(envelope).digest()
    check_spoken(digest, read_words(words, "the charter"))
    charter = verify_charter(envelope, digest)
    where = _place_of(charter)
    where.prepare()
    file = read_key_file(keyfile)
    if file.header.identity != charter.coordinator:
        raise KeyNotListed(role="coordinator", key=show_key(file.header.identity))
    key = open_person(file, passphrase_file)
    size = _make(where, envelope, digest, key)
    where.pin(
        Settings(
            network=charter.network,
            charter=digest,
            coordinator_key=absolute(keyfile),
            passphrase_file=_kept_path(passphrase_file),
            chain="kernel",
        )
    )
    output().emit(
        {
            "folder": str(where.folder),
            "network": charter.network.value,
            "charter": digest.hex(),
            "words": show_words(digest),
            "log_size": size,
        },
        f"Set up in {shown(where.folder)}\n  charter of {charter.institution}, network {charter.network}\n"
        f"  {show_words(digest)}",
    )
    output().next_step(f"get an address: custody vault address {charter.vaults[0].name} --purpose TEXT")


def _kept_path(passphrase_file: str | None) -> str | None:
    """Where the passphrase is found next time, when that was said in so many words: an environment may change."""
    source = click.get_current_context().get_parameter_source("passphrase_file")
    is_said = source is ParameterSource.COMMANDLINE and passphrase_file != STANDARD
    return absolute(passphrase_file) if is_said and passphrase_file is not None else None


def _place_of(charter: Charter) -> Place:
    """Where a coordinator for this charter belongs.

    Raises:
        NetworkMismatch: the command was told another network than the charter's.
    """
    told = click.get_current_context().find_root().params.get("network")
    if told is not None and Network(told) is not charter.network:
        raise NetworkMismatch(what="the charter", expected=Network(told).value, actual=charter.network.value)
    return place(charter.network)


def _make(where: Place, envelope: Envelope, digest: bytes, key: Ed25519Signer) -> int:
    """Chain, store, and the charter as the log's first entry; the log's size."""
    if where.network is Network.REGTEST:
        create_directory(where.chain)
    with closing(OwnChain(where)) as chain:
        missing = FAUCET_BLOCKS + COINBASE_MATURITY - 1 - chain.tip().height
        if missing > 0:
            chain.regtest.mine(missing)
        store = _store(where, read_charter(envelope).origin)
        custodian = Custodian(store, digest, key, outside(chain))
        custodian.adopt_charter(envelope)
        custodian.observe()
        with store.read() as view:
            where.remember_seen(view)
            return view.size


def _store(where: Place, origin: str) -> SqlStore:
    if where.store.exists():
        return open_store(where.store, where.network)
    return create_store(where.store, where.network, origin)


@click.command(cls=Verb)
def upgrade() -> None:
    """Bring the store's tables to what this version needs.

    Copy the store's file first. The log itself is not changed.
    """
    where = place()
    where.settings()
    upgrade_store(where.store, where.network)
    frontier = open_store(where.store, where.network).verify()
    output().emit(
        {"store": str(where.store), "log_size": frontier.size, "log_root": frontier.root.hex()},
        f"{shown(where.store)} is up to date: {frontier.size} entries, every one verified",
    )
