"""Who an address was, as of the flow's own time."""
