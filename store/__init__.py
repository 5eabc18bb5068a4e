"""The ledger: where flows are kept, and how they are asked for."""
