"""`python -m custody`: the same as the program `custody`."""

from custody.apps.cli import main

main()
