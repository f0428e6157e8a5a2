"""Which coordinator does a command work for: which folder, which network, and what was pinned there?

    CUSTODY_DIR/config.toml            the network that is used when nobody says otherwise
    CUSTODY_DIR/<network>/config.toml  the charter's digest, the coordinator's key file, the node
                         /log.sqlite   the log
                         /chain/       regtest's own chain, where there is no node
                         /seen.json    the longest log a command here has seen

A flag goes before an environment variable, and that before a file. The charter's digest stands here and not in the
store, so that whoever writes the store cannot exchange the charter (THREATS F6). No secret stands in any of these
files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Self, TypeVar

import click
import platformdirs
import tomli_w
from pydantic import model_validator

from custody.apps.terminal import shown
from custody.backends.files import create_directory, read_file, replace_atomically, write_new
from custody.errors import IntegrityError, InvalidInput, Refused
from custody.logbook import RolledBack
from custody.ports import FileMissing, FileTooLarge, StoreView
from custody.record import Digest, HexBytes, Record, RecordInvalid, RecordNotCanonical, canonical
from custody.saved import FileNotText, text_in
from custody.toml import TomlInvalid, read_toml
from custody.units import Count, Network

R = TypeVar("R", bound=Record)

MAX_CONFIG: Final = 64 * 1024
DEFAULT_NETWORK: Final = Network.REGTEST
"""Where nothing can be lost."""


class NotInitialised(InvalidInput, code="NOT_INITIALISED"):
    """A folder in which no coordinator was set up."""

    message = "there is no coordinator for {network} in {folder}"
    hint = "Set one up with: custody init CHARTER --coordinator-key KEYFILE; or point --dir and --network at yours."
    network: str
    folder: str


class AlreadyInitialised(Refused, code="ALREADY_INITIALISED"):
    """A coordinator that is set up already."""

    message = "{folder} holds a coordinator for {network} already, with the charter {charter} pinned"
    hint = "A coordinator keeps one charter and one log. Use another --dir for another one."
    folder: str
    network: str
    charter: str


class ConfigInvalid(InvalidInput, code="CONFIG_INVALID"):
    """A configuration file that does not say what it must."""

    message = "{path}: {problem}"
    hint = "Restore the file from a copy. Never take a charter's digest from the store: have it read to you."
    path: str
    problem: str


class SeenDamaged(IntegrityError, code="SEEN_DAMAGED"):
    """The note of how far the log was seen here, and nobody can read it."""

    message = "{path}, which says how far the log was seen here, is damaged: {problem}"
    hint = (
        "Find out what damaged it, and whether the log is whole: custody log verify on a copy of the folder, and a "
        "checkpoint that a witness holds. Then move this one file away; it is written anew."
    )
    path: str
    problem: str


class Settings(Record):
    """What `custody init` pinned. Paths are absolute.

    `kernel` is regtest's own chain. `bitcoind` is the node at `node` (http://HOST:PORT), to which its `cookie` file
    opens the door, or `rpc_user` with the password that `rpc_password_file` holds. `signet_challenge` is the script
    that blocks of a signet of one's own are signed for (BIP 325); None is the public signet.
    """

    kind: ClassVar[str] = "coordinator-settings"

    network: Network
    charter: Digest
    coordinator_key: str
    passphrase_file: str | None
    chain: Literal["kernel", "bitcoind"]
    node: str | None
    cookie: str | None
    rpc_user: str | None
    rpc_password_file: str | None
    signet_challenge: HexBytes | None

    @model_validator(mode="after")
    def _names_one_chain(self) -> Self:
        has_cookie, has_user, has_password = (
            each is not None for each in (self.cookie, self.rpc_user, self.rpc_password_file)
        )
        is_open = has_user == has_password and has_cookie != has_user
        if (self.chain == "bitcoind") != (self.node is not None) or is_open != (self.node is not None):
            raise ValueError("a node has an address and either a cookie file or a user with a password file")
        if self.signet_challenge is not None and (self.network is not Network.SIGNET or not self.signet_challenge):
            raise ValueError("a challenge belongs to a signet, and is not empty")
        return self


_LEFT_OUT: Final[dict[str, object]] = dict.fromkeys(
    ("passphrase_file", "node", "cookie", "rpc_user", "rpc_password_file", "signet_challenge")
)
"""What stands in the file only where it is set."""


class LogSeen(Record):
    """How far the log had come when a command here last looked."""

    kind: ClassVar[str] = "log-seen"

    size: Count
    root: Digest


class _Choice(Record):
    """The outer configuration file."""

    kind: ClassVar[str] = "coordinator-choice"

    network: Network


@dataclass(frozen=True, slots=True)
class Folders:
    """The files of one network's coordinator."""

    root: Path
    network: Network

    @property
    def folder(self) -> Path:
        """Everything of this network."""
        return self.root / self.network.value

    @property
    def store(self) -> Path:
        """The log, the holds and the outbox."""
        return self.folder / "log.sqlite"

    @property
    def chain(self) -> Path:
        """Regtest's own chain."""
        return self.folder / "chain"

    @property
    def is_set_up(self) -> bool:
        """Whether a coordinator was set up here."""
        return self._config.exists()

    @property
    def _config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def _seen(self) -> Path:
        return self.folder / "seen.json"

    def settings(self) -> Settings:
        """What was pinned here.

        Raises:
            NotInitialised: nothing was.
            ConfigInvalid: the file is damaged or of another network.
        """
        try:
            read = _read_toml(self._config, Settings, _LEFT_OUT)
        except FileMissing:
            raise NotInitialised(network=self.network, folder=shown(self.root)) from None
        if read.network is not self.network:
            raise ConfigInvalid(path=shown(self._config), problem=f"it is for the network {read.network}")
        return read

    def refuse_set_up(self) -> None:
        """Pass when there is room for a coordinator.

        Raises:
            AlreadyInitialised: one is set up here.
        """
        if self.is_set_up:
            words = self.settings().charter.hex()
            raise AlreadyInitialised(folder=shown(self.root), network=self.network, charter=words)

    def prepare(self) -> None:
        """Make the folder (0700).

        Raises:
            AlreadyInitialised: a coordinator is set up here.
            FileUnusable: it cannot be made, or others may write in it.
        """
        self.refuse_set_up()
        create_directory(self.root)
        create_directory(self.folder)

    def pin(self, settings: Settings) -> None:
        """Write the configuration, and make this network the usual one when no other is."""
        write_new(self._config, _toml(settings))
        if not (self.root / "config.toml").exists():
            write_new(self.root / "config.toml", _toml(_Choice(network=self.network)))

    # --- how far the log was seen ------------------------------------------------------------------------------------

    def check_seen(self, view: StoreView) -> None:
        """Check that the log still begins with what a command here saw last (THREATS D13).

        Raises:
            RolledBack: it is shorter, or another one.
        """
        seen = self._last_seen()
        if seen is None:
            return
        if view.size < seen.size or view.root_at(seen.size) != seen.root:
            raise RolledBack(size=seen.size, expected=seen.root.hex(), actual=f"{view.size} entries")

    def remember_seen(self, view: StoreView) -> None:
        """Keep how far the log has come. Two commands at once may keep the shorter: it is a beginning of the longer.

        Raises:
            FileUnusable, SeenDamaged: it cannot be kept.
        """
        if self._last_seen() != (seen := LogSeen(size=view.size, root=view.root)):
            replace_atomically(self._seen, seen.to_bytes())

    def _last_seen(self) -> LogSeen | None:
        try:
            return LogSeen.from_bytes(read_file(self._seen, MAX_CONFIG))
        except FileMissing:
            return None
        except (RecordInvalid, RecordNotCanonical, FileTooLarge) as error:
            raise SeenDamaged(path=shown(self._seen), problem=str(error)) from None


def folders(network: Network | None = None) -> Folders:
    """The folders that the running command works in; `network` is what the command itself was told.

    Raises:
        ConfigInvalid: the outer configuration file is damaged.
    """
    options = click.get_current_context().find_root().params
    root = Path(options.get("dir") or platformdirs.user_data_path("custody"))
    told = network or options.get("network")
    return Folders(root, Network(told) if told else _usual_network(root))


def _usual_network(root: Path) -> Network:
    try:
        return _read_toml(root / "config.toml", _Choice, {}).network
    except FileMissing:
        return DEFAULT_NETWORK


def _read_toml(path: Path, record: type[R], defaults: dict[str, object]) -> R:
    data = read_file(path, MAX_CONFIG)
    try:
        return record.from_bytes(canonical(defaults | read_toml(text_in(data, "it"))))
    except FileNotText as error:
        raise ConfigInvalid(path=shown(path), problem=f"it is not TOML: {error}") from None
    except (TomlInvalid, RecordInvalid, RecordNotCanonical) as error:
        raise ConfigInvalid(path=shown(path), problem=str(error)) from None


def _toml(record: Record) -> bytes:
    return tomli_w.dumps(record.model_dump(mode="json", exclude_none=True)).encode("utf-8")
