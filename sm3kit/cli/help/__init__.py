"""How `--help` looks: groups of options, each option with its default, examples at the end."""
