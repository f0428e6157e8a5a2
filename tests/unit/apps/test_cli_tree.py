"""The table of commands says what the commands say, and showing it loads nothing else."""

import importlib

import click
import pytest

from custody.apps import cli
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


def test_the_networks_are_those_of_the_library():
    assert tuple(each.value for each in Network) == cli.NETWORKS


def test_no_command_takes_a_passphrase_as_an_argument():
    for parameter in COMMANDS:
        names = {option for each in load(parameter.values[1]).params for option in each.opts}
        assert not names & {"--passphrase", "--password", "--seed", "--mnemonic", "--secret"}
