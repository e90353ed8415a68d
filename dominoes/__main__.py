"""`python -m dominoes`, as the command `dominoes`."""

from dominoes.cli.commands import main

if __name__ == "__main__":
    main()
