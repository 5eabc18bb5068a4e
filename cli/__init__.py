"""The command line: where settings become components."""
