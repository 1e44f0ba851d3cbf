"""`python -m pretrieve`."""

from pretrieve.cli.app import main

main()
