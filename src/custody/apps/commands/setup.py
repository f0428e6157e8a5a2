"""How is a coordinator set up, and its store brought up to date?

Setting up pins the charter's digest outside the store, from words that a person brought. It can be repeated after a
power cut: what was made before is taken up again, and the configuration is written last.
"""

from __future__ import annotations

from contextlib import closing

import click
from click.core import ParameterSource

from custody.apps.asking import read_words
from custody.apps.chains import Chain, OwnChain, open_chain
from custody.apps.commands.telling import tell_folded, tell_progress
from custody.apps.config import Folders, Settings, folders
from custody.apps.coordinator import absolute, coordinator, outside
from custody.apps.files import read_signed
from custody.apps.keys import KeyNotListed, open_person, read_key_file
from custody.apps.pasted import Spoken
from custody.apps.terminal import STANDARD, Verb, output, passphrase_option, shown
from custody.apps.views.layout import spoken
from custody.backends.files import create_directory
from custody.backends.sql import SqlStore, create_store, open_store, upgrade_store
from custody.bitcoin.script import NetworkMismatch
from custody.charter.document import Charter, read_charter, verify_charter
from custody.custodian import Custodian
from custody.envelope import Ed25519Signer, Envelope, show_key
from custody.rebuild import rebuild as rebuild_rows
from custody.units import Network
from custody.vault.coins import COINBASE_MATURITY
from custody.words import check_spoken, show_words

FAUCET_BLOCKS = 10
"""Block rewards that regtest's faucet can spend from the start."""


def _challenge(_: click.Context, __: click.Parameter, value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        found = bytes.fromhex(value)
    except ValueError:
        raise click.BadParameter("it is not hexadecimal") from None
    if not found:
        raise click.BadParameter("it is empty")
    return found


@click.command(
    cls=Verb,
    epilog="Example: custody init charter.json legal winner thank ... --coordinator-key coordinator.key.json "
    "--node http://127.0.0.1:8332 --cookie ~/.bitcoin/.cookie",
)
@click.argument("charter_file", metavar="CHARTER")
@click.argument("words", nargs=-1, type=Spoken())
@click.option("--coordinator-key", "keyfile", metavar="KEYFILE", required=True, help="The coordinator's key file.")
@passphrase_option("the coordinator's key")
@click.option("--node", "url", metavar="URL", help="A bitcoind: http://HOST:PORT, with no credentials in it.")
@click.option("--cookie", metavar="FILE", help="The node's cookie file.")
@click.option("--rpc-user", metavar="NAME", help="A user of the node, instead of its cookie.")
@click.option("--rpc-password-file", metavar="FILE", help="The file that holds this user's password.")
@click.option(
    "--signet-challenge",
    metavar="HEX",
    callback=_challenge,
    help="The challenge of a signet of your own; otherwise it is the public one.",
)
def init(
    *,
    charter_file: str,
    words: tuple[str, ...],
    keyfile: str,
    passphrase_file: str | None,
    signet_challenge: bytes | None,
    **node: str | None,
) -> None:
    """Set up the coordinator under a signed charter.

    CHARTER is the charter's file, signed by everyone it lists. WORDS are its 24 words, as they were read to you
    over a line you trust; they are asked for when left out. The charter's digest is pinned in the configuration,
    outside the store; the paths of KEYFILE and of --passphrase-file are kept beside it, and so is the node: its address
    and the path of its cookie or password file. On regtest, without a node, a chain is made, with coins in its faucet.
    The node must be on the charter's network: its genesis block says so, and on a signet its challenge.
    """
    _check_node(**node)
    envelope = read_signed(Charter, charter_file)
    digest = read_charter(envelope).digest()
    check_spoken(digest, read_words(words, "the charter"))
    charter = verify_charter(envelope, digest)
    where = _folders_of(charter)
    if signet_challenge is not None and charter.network is not Network.SIGNET:
        raise click.UsageError(f"--signet-challenge belongs to a signet; the charter is for {charter.network}.")
    settings = Settings(
        network=charter.network,
        charter=digest,
        coordinator_key=absolute(keyfile),
        passphrase_file=_kept_path(passphrase_file),
        chain="kernel" if node["url"] is None else "bitcoind",
        node=node["url"],
        cookie=_absolute(node["cookie"]),
        rpc_user=node["rpc_user"],
        rpc_password_file=_absolute(node["rpc_password_file"]),
        signet_challenge=signet_challenge,
    )
    where.refuse_set_up()
    # Before anything is written: an address that is none, or a network without a chain, sets nothing up.
    open_chain(where, settings).close()
    file = read_key_file(keyfile)
    if file.header.identity != charter.coordinator:
        raise KeyNotListed(role="coordinator", key=show_key(file.header.identity))
    key = open_person(file, passphrase_file)
    where.prepare()
    size = _make(where, settings, envelope, key)
    where.pin(settings)
    output().emit(
        {
            "folder": str(where.folder),
            "network": charter.network.value,
            "charter": digest.hex(),
            "words": show_words(digest),
            "log_size": size,
        },
        f"Set up in {shown(where.folder)}\n  charter of {charter.institution}, network {charter.network}\n"
        f"{spoken(digest)}",
    )
    output().next_step(
        f"get an address: custody vault address {charter.vaults[0].name} --payer TEXT --purpose TEXT --class LABEL"
    )


def _check_node(url: str | None, cookie: str | None, rpc_user: str | None, rpc_password_file: str | None) -> None:
    """Check that a node is named with one way in, or not at all."""
    has_user = rpc_user is not None and rpc_password_file is not None
    is_half = (rpc_user is None) != (rpc_password_file is None)
    if url is None and (cookie, rpc_user, rpc_password_file) != (None, None, None):
        raise click.UsageError("--cookie, --rpc-user and --rpc-password-file belong to a --node.")
    if url is not None and (is_half or has_user == (cookie is not None)):
        raise click.UsageError("With --node give either --cookie, or --rpc-user and --rpc-password-file.")


def _absolute(path: str | None) -> str | None:
    return None if path is None else absolute(path)


def _kept_path(passphrase_file: str | None) -> str | None:
    """Where the passphrase is found next time, when that was said in so many words: an environment may change."""
    source = click.get_current_context().get_parameter_source("passphrase_file")
    is_said = source is ParameterSource.COMMANDLINE and passphrase_file != STANDARD
    return absolute(passphrase_file) if is_said and passphrase_file is not None else None


def _folders_of(charter: Charter) -> Folders:
    """Where a coordinator for this charter belongs.

    Raises:
        NetworkMismatch: the command was told another network than the charter's.
    """
    told = click.get_current_context().find_root().params.get("network")
    if told is not None and Network(told) is not charter.network:
        raise NetworkMismatch(what="the charter", expected=Network(told).value, actual=charter.network.value)
    return folders(charter.network)


def _make(where: Folders, settings: Settings, envelope: Envelope, key: Ed25519Signer) -> int:
    """Chain, store, and the charter as the log's first entry; the log's size."""
    with closing(open_chain(where, settings)) as chain:
        is_ready = _is_ready(where, chain)
        store = _store(where, read_charter(envelope).origin)
        custodian = Custodian(store, settings.charter, key, outside(chain))
        custodian.adopt_charter(envelope)
        if is_ready:
            custodian.observe(tell_progress())
        else:
            output().talk("the node is still downloading the chain; once it has: custody observe")
        with store.read() as view:
            where.remember_seen(view)
            return view.size


def _is_ready(where: Folders, chain: Chain) -> bool:
    """Whether the chain can be looked at; regtest's own is made and its faucet filled."""
    if isinstance(chain, OwnChain):
        create_directory(where.chain)
        missing = FAUCET_BLOCKS + COINBASE_MATURITY - 1 - chain.view.tip().height
        if missing > 0:
            chain.regtest().mine(missing)
    # The first question to a node, which shows whether it is the right one.
    return not chain.view.is_initial_download()


def _store(where: Folders, origin: str) -> SqlStore:
    if where.store.exists():
        return open_store(where.store, where.network)
    return create_store(where.store, where.network, origin)


@click.command(cls=Verb)
def rebuild() -> None:
    """Make what is kept beside the log again from the log.

    Every entry is checked and folded from nothing, while others may go on; only at the end the rows are replaced. The
    first one that was not what the log makes is named: find out who changed it. Then which coins are held, and what
    waits to be sent, is made again too where it is not what the log says.
    """
    desk = coordinator()
    made = rebuild_rows(desk.store, desk.settings.charter, tell_folded)
    wrong, beside = made.replaced, desk.set_right()
    output().emit(
        {
            "log_size": made.frontier.size,
            "log_root": made.frontier.root.hex(),
            "erased": made.erased,
            "was_wrong": None if wrong is None else {"table": wrong.table, "key": wrong.key, "problem": wrong.problem},
            "beside": beside,
        },
        f"{made.frontier.size} entries were folded; "
        + ("what was kept was what they make" if wrong is None else f"what was kept is replaced: {wrong}")
        + "".join(f"\n  made right: {each}" for each in beside),
    )


@click.command(cls=Verb)
def upgrade() -> None:
    """Bring the store's tables to what this version needs.

    Copy the store's file first. The log itself is not changed.
    """
    where = folders()
    where.settings()
    upgrade_store(where.store, where.network)
    frontier = open_store(where.store, where.network).verify()
    output().emit(
        {"store": str(where.store), "log_size": frontier.size, "log_root": frontier.root.hex()},
        f"{shown(where.store)} is up to date: {frontier.size} entries, every one verified",
    )
