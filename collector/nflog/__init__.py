"""The ``nflog`` source: which policy rule met which packet."""
