"""`custody`: the program of the machine that coordinates.

The whole tree of commands stands in one table, with the first line of each one's help, so that help is shown without
loading anything. Commands are in `commands`; what they do is in `custody.custodian`.
"""

from __future__ import annotations

from typing import Final, NoReturn

import click

from custody.apps.terminal import Lazy, LazyGroup, Program, run

_COMMANDS: Final = "custody.apps.commands"
NETWORKS: Final = ("main", "testnet4", "signet", "regtest")
"""As in `custody.units.Network`, which takes long to load."""

_VAULT: Final = {
    "create": Lazy(f"{_COMMANDS}.vault:create", "Make a vault's descriptor from its cosigners' keys."),
    "import": Lazy(
        f"{_COMMANDS}.vault:import_vault", "Read a vault from what another program exported, and print its descriptor."
    ),
    "list": Lazy(f"{_COMMANDS}.vault:list_vaults", "List the charter's vaults and what they hold."),
    "show": Lazy(f"{_COMMANDS}.vault:show", "Show one vault: signers, limits, descriptor, words."),
    "address": Lazy(f"{_COMMANDS}.deposit:address", "Issue a vault's next deposit address."),
    "addresses": Lazy(f"{_COMMANDS}.deposit:addresses", "List the addresses issued: to whom, what for, what was paid."),
    "statement": Lazy(f"{_COMMANDS}.statement:statement", "Write the paper by which officers state an address."),
    "export": Lazy(
        f"{_COMMANDS}.vault_export:export", "Print a vault's descriptor, from which any wallet restores it."
    ),
}
_CHARTER: Final = {
    "template": Lazy(f"{_COMMANDS}.charter:template", "Print a charter's text to fill in."),
    "new": Lazy(f"{_COMMANDS}.charter:new", "Make the document to be signed from a charter's text."),
    "merge": Lazy(f"{_COMMANDS}.charter:merge", "Join the signatures that people made on copies of one charter."),
    "card": Lazy(f"{_COMMANDS}.charter:card", "Write the payer card, by which outsiders verify addresses."),
    "show": Lazy(f"{_COMMANDS}.charter:show", "Show a charter: who signed, who is missing, vaults, rules."),
}
_TRANSFER: Final = {
    "request": Lazy(f"{_COMMANDS}.transfer_ask:request", "Ask for a transfer, and sign the request."),
    "submit": Lazy(f"{_COMMANDS}.transfer_ask:submit", "Enter a request that was signed elsewhere."),
    "draft": Lazy(f"{_COMMANDS}.transfer_agree:draft", "Make the transaction for a request, and apply the rules."),
    "evidence": Lazy(
        f"{_COMMANDS}.transfer_sign:evidence", "Write the file that officers and cosigners judge a transfer by."
    ),
    "approve": Lazy(f"{_COMMANDS}.transfer_agree:approve", "Enter an officer's signed yes or no."),
    "combine": Lazy(f"{_COMMANDS}.transfer_sign:combine", "Take signatures from returned PSBTs; combine once enough."),
    "export": Lazy(f"{_COMMANDS}.transfer_plain:export", "Write a transfer as a plain PSBT, for any software to sign."),
    "import": Lazy(f"{_COMMANDS}.transfer_plain:import_files", "Take signatures from what any software gives back."),
    "release": Lazy(f"{_COMMANDS}.transfer_sign:release", "Run the whole gate again, and let the transfer go."),
    "deliver": Lazy(f"{_COMMANDS}.transfer_sign:deliver", "Send every released transfer to the network."),
    "cancel": Lazy(f"{_COMMANDS}.transfer_agree:cancel", "Give up a transfer before signatures were asked for."),
    "list": Lazy(f"{_COMMANDS}.transfer_list:list_transfers", "List requests and transfers, and how far they are."),
    "show": Lazy(f"{_COMMANDS}.transfer_show:show", "Show one transfer: payees, rules, approvals, signatures."),
}
_COIN: Final = {
    "list": Lazy(f"{_COMMANDS}.coin:list_coins", "List the coins: state, amount, class, payer, address."),
    "balance": Lazy(f"{_COMMANDS}.coin:balance", "Show what the vaults hold: mature, held, seen, quarantined."),
    "release": Lazy(f"{_COMMANDS}.coin_release:release", "Let a quarantined coin be spent, by an officer's word."),
    "reconcile": Lazy(f"{_COMMANDS}.unspent:reconcile", "Compare the log with the chain's unspent outputs."),
}
_NODE: Final = {
    "status": Lazy(f"{_COMMANDS}.node:status", "Show how far the node is, and its fees."),
    "scan": Lazy(f"{_COMMANDS}.unspent:scan", "Ask the chain for every coin of every vault."),
}
_LOG: Final = {
    "checkpoint": Lazy(f"{_COMMANDS}.log:checkpoint", "Sign the log as it stands, for witnesses to cosign."),
    "cosign": Lazy(f"{_COMMANDS}.log:cosign", "Take in checkpoints that witnesses have cosigned."),
    "verify": Lazy(f"{_COMMANDS}.log:verify", "Recompute every hash of the log."),
    "export": Lazy(f"{_COMMANDS}.log:export", "Write the whole log, a line an entry."),
    "seal": Lazy(f"{_COMMANDS}.log_snapshot:seal", "Enter what the log's state is, for officers to confirm."),
    "snapshot": Lazy(f"{_COMMANDS}.log_snapshot:snapshot", "Write a confirmed state, for a station to begin with."),
    "erase": Lazy(f"{_COMMANDS}.log:erase", "Erase what an entry says about people, for good."),
}
_REGTEST: Final = {
    "mine": Lazy(f"{_COMMANDS}.regtest:mine", "Mine blocks on regtest, then look at the chain."),
    "pay": Lazy(f"{_COMMANDS}.regtest:pay", "Pay an address on regtest, in a block at once."),
}
_STORE: Final = {
    "upgrade": Lazy(f"{_COMMANDS}.setup:upgrade", "Bring the store's tables to what this version needs."),
    "rebuild": Lazy(f"{_COMMANDS}.setup:rebuild", "Make what is kept beside the log again from the log."),
}

program: Final = Program(
    "custody",
    """Multi-signature custody of bitcoin: the machine that coordinates.

    Nobody has to trust this machine. Officers, cosigners and witnesses judge what it gives them on machines of their
    own, with custody-station.
    """,
    {
        "demo": Lazy(f"{_COMMANDS}.demo:demo", "Play a whole story on a regtest chain of its own."),
        "init": Lazy(f"{_COMMANDS}.setup:init", "Set up the coordinator under a signed charter."),
        "vault": LazyGroup("vault", "Vaults: keys, descriptors, deposit addresses.", _VAULT),
        "charter": LazyGroup("charter", "The charter: write it, join its signatures, show it.", _CHARTER),
        "transfer": LazyGroup("transfer", "Transfers: from a signed request to the network.", _TRANSFER),
        "coin": LazyGroup("coin", "Coins: what the vaults hold, and in which state.", _COIN),
        "observe": Lazy(f"{_COMMANDS}.coin:observe", "Look at the chain: deposits, maturity, confirmations, alarms."),
        "node": LazyGroup("node", "The node: how far it is, and what it knows of the vaults.", _NODE),
        "log": LazyGroup("log", "The log: checkpoints, witnesses, verification, export.", _LOG),
        "store": LazyGroup("store", "The store's tables.", _STORE),
        "regtest": LazyGroup("regtest", "Regtest's own chain: blocks and payments.", _REGTEST),
        "doctor": Lazy(f"{_COMMANDS}.doctor:doctor", "Check the installation, charter, store and chain."),
        "completion": Lazy("custody.apps.manual:completion", "Print what a shell needs to complete commands."),
        "man": Lazy("custody.apps.manual:man", "Write a manual page for each command to a folder."),
    },
    epilog="Exit codes: 0 ok, 2 usage, 3 fix the input, 4 a rule said no, 5 try again, 6 stop and call a person.",
    options=[
        click.Option(["--dir"], metavar="DIR", envvar="CUSTODY_DIR", help="Where the coordinator's files are."),
        click.Option(
            ["--network"],
            metavar="NAME",
            type=click.Choice(NETWORKS),
            envvar="CUSTODY_NETWORK",
            help=f"Which network to work on: {', '.join(NETWORKS)}.",
        ),
    ],
    names=f"{_COMMANDS}.completing:names",
    other="custody.apps.station:program",
)


def main() -> NoReturn:
    """Run the program."""
    run(program)
