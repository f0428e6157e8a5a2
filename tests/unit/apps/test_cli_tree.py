"""The table of commands says what the commands say, and showing it loads nothing else."""

import importlib
import json

import click
import pytest
from click.testing import CliRunner

from custody.apps import cli, station
from custody.apps.completion import kind_of
from custody.apps.terminal import Lazy, LazyGroup, Verb
from custody.units import Network


def leaves(group, path=()):
    for name, each in group.table.items():
        if isinstance(each, LazyGroup):
            yield from leaves(each, (*path, name))
        else:
            yield pytest.param((*path, name), each, id=" ".join((*path, name)))


COMMANDS = list(leaves(cli.program))


def load(lazy):
    module, _, name = lazy.target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("path", "lazy"), COMMANDS)
def test_every_command_is_there_and_says_what_the_table_says(path, lazy):
    assert isinstance(lazy, Lazy)
    group = cli.program
    for name in path[:-1]:
        group = group.table[name]
    command = group.get_command(click.Context(group), path[-1])
    assert isinstance(command, Verb)
    assert command.help.split("\n")[0] == lazy.help
    assert len(lazy.help) <= 80
    assert command.name == path[-1]
    undocumented = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert undocumented == []


@pytest.mark.parametrize(("path", "lazy"), COMMANDS)
def test_every_command_takes_json(path, lazy):  # noqa: ARG001 - named alike
    assert any("--json" in each.opts for each in load(lazy).params)


@pytest.mark.parametrize(
    ("program", "typed", "said"),
    [
        (cli.program, "transfr list", "No such command 'transfr'; did you mean 'transfer'?"),
        (cli.program, "transfer lst", "No such command 'lst'; did you mean 'list'?"),
        (cli.program, "trust", "No such command 'trust'; there is 'custody-station trust'."),
        (
            cli.program,
            "approve yes.json",
            "No such command 'approve'; there is 'custody transfer approve' and 'custody-station approve'.",
        ),
        (
            cli.program,
            "transfer balance",
            "No such command 'balance'; there is 'custody coin balance'.",
        ),
        (station.program, "aprove", "No such command 'aprove'; did you mean 'approve'?"),
        (station.program, "transfer list", "No such command 'transfer'; there is 'custody transfer'."),
        (cli.program, "sdfghjk", "No such command 'sdfghjk'."),
        (cli.program, "transfer list --lve", "No such option '--lve'. Did you mean '--live'?"),
    ],
)
def test_a_command_that_is_not_there_is_answered_with_the_one_that_was_meant(program, typed, said):
    ended = CliRunner().invoke(program, typed.split())
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in ended.stderr
    ended = CliRunner().invoke(program, [*typed.split(), "--json"])
    assert (ended.exit_code, json.loads(ended.stdout)["error"]["message"]) == (2, said)


def test_a_secret_in_a_command_s_place_is_not_shown():
    words = ["zoo"] * 11 + ["wrong"]
    ended = CliRunner().invoke(cli.program, words)
    assert ended.exit_code == 3
    assert "SECRET_MATERIAL" in ended.stderr
    assert "zoo" not in ended.stderr


def test_the_networks_are_those_of_the_library():
    assert tuple(each.value for each in Network) == cli.NETWORKS


def test_no_command_takes_a_passphrase_as_an_argument():
    for parameter in COMMANDS:
        names = {option for each in load(parameter.values[1]).params for option in each.opts}
        assert not names & {"--passphrase", "--password", "--seed", "--mnemonic", "--secret"}


TYPED_FREELY = frozenset(
    [
        "ADDRESS",
        "AMOUNT",
        "DATE",
        "HEX",
        "KEY",
        "LABEL",
        "NAME",
        "RATE",
        "TEXT",
        "TXID:N",
        "[TXID:N]",
        "TYPE[=PATH]",
        "URL",
        "address",
        "amount",
        "name",
        "words",
    ]
)
"""What people type that no shell can offer, by how it is called in the help, else by its own name."""


def test_every_text_that_is_typed_is_offered_by_the_shell_or_known_to_be_free():
    free = set()
    for program in (cli.program, station.program):
        for parameter in leaves(program):
            path, lazy = parameter.values
            context = click.Context(program, info_name=program.name)
            for name in path[:-1]:
                context = click.Context(click.Group(name), info_name=name, parent=context)
            context = click.Context(load(lazy), info_name=path[-1], parent=context)
            for each in load(lazy).params:
                is_number = isinstance(each.type, click.types.IntParamType | click.Choice)
                is_flag = isinstance(each, click.Option) and each.is_flag
                if not is_number and not is_flag and kind_of(each, context) is None:
                    free.add(each.metavar or each.name)
    assert free == TYPED_FREELY
