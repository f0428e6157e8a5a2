"""A secret on the command line (THREATS C9): wherever it stands, it is refused, not echoed and not kept."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from custody.apps.cli import program as custody
from custody.apps.station import program as custody_station

MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
WIF = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"
SECRETS = [MNEMONIC, XPRV, WIF]


def argument_places(program, path=()):
    """Every argument and option of every command that takes a text, as it would be typed, S in the secret's place."""
    for name in program.table:
        command = program.get_command(None, name)
        if hasattr(command, "table"):
            yield from argument_places(command, (*path, name))
            continue
        for param in command.params:
            if type(param.type).__name__ in {"BoolParamType", "Spoken"} or not param.expose_value:
                continue
            needed = [
                text
                for other in command.params
                if other.required and other is not param
                for text in ([other.opts[0]] if other.param_type_name == "option" else []) + [value_for(other)]
            ]
            own = [param.opts[0], "S"] if param.param_type_name == "option" else ["S"]
            yield pytest.param([*path, name, *needed, *own], id=f"{' '.join((*path, name))} {param.name}")


def value_for(param) -> str:
    choices = getattr(param.type, "choices", None)
    return str(choices[0]) if choices else "1"


def betrayed(text: str, secret: str) -> bool:
    words = secret.split()
    return (" ".join(words[:3]) if len(words) > 1 else secret[:20]) in text


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODY_DIR", str(tmp_path / "coordinator"))
    monkeypatch.setenv("CUSTODY_STATION_DIR", str(tmp_path / "station"))


def run(program, arguments):
    return CliRunner().invoke(program, arguments)


@pytest.mark.parametrize("arguments", list(argument_places(custody)))
def test_no_argument_of_the_coordinator_takes_one(arguments):
    check(custody, arguments)


@pytest.mark.parametrize("arguments", list(argument_places(custody_station)))
def test_no_argument_of_the_station_takes_one(arguments):
    check(custody_station, arguments)


def check(program, arguments):
    for secret in SECRETS:
        result = run(program, [secret if each == "S" else each for each in arguments])
        # Beside a digest's words, an option of another shape is refused for that; it is not echoed either.
        assert "SECRET_MATERIAL" in result.output or "is not hexadecimal" in result.output
        assert result.exit_code in {2, 3}
        assert not betrayed(result.output, secret)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "given",
    [
        ["S"],
        ["transfer", "S"],
        ["--S", "vault"],
        ["--dir", "S", "vault", "list"],
        ["--network", "S", "vault", "list"],
        ["transfer", "draft", "x", "--feerate", "S"],
        ["transfer", "show", "x", "S"],
        ["vault", "list", "--", "S"],
        ["--json", "S"],
    ],
)
def test_click_s_own_errors_do_not_echo_one(given, secret):
    result = run(custody, [each.replace("S", secret) if each in {"S", "--S"} else each for each in given])
    assert "SECRET_MATERIAL" in result.output
    assert not betrayed(result.output, secret)


def test_a_mnemonic_as_twelve_arguments_is_one():
    for program, before in ((custody, []), (custody, ["transfer", "combine"]), (custody_station, ["new-key"])):
        result = run(program, [*before, *MNEMONIC.split()])
        assert "SECRET_MATERIAL" in result.output
        assert "winner" not in result.output


def test_what_stands_in_the_environment_for_an_option_is_looked_at_too(monkeypatch):
    monkeypatch.setenv("CUSTODY_DIR", MNEMONIC)
    result = run(custody, ["vault", "list"])
    assert "SECRET_MATERIAL" in result.output
    assert "winner" not in result.output


def test_words_of_a_digest_are_taken_where_they_belong_and_usage_errors_about_them_stay_what_they_are():
    words = ("abandon " * 23 + "art").split()
    assert "FILE_MISSING" in run(custody_station, ["trust", "nothing.json", *words]).output
    assert "FILE_MISSING" in run(custody, ["init", "nothing.json", *words, "--coordinator-key", "k"]).output
    assert "No such option" in run(custody_station, ["trust", "nothing.json", *words, "--wrong"]).output
