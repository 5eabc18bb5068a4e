"""Calico's Felix on a node: what is known of it, what it tells by its socket, and the join with that."""
