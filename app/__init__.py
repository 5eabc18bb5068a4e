"""The explorer: what the ledger holds, on a screen."""
