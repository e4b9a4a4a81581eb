"""The `us8k` command: every subcommand parses, calls one module, prints, and returns an exit status."""
