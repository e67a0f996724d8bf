"""`python -m backtester` is `bt`, for machines where the command is not on the path."""

from backtester.cli import main

main()
