"""The ``counters`` source: packets and bytes of every policy rule, as the ruleset itself counts them."""
