"""The `cascade` command: a file per subcommand."""
