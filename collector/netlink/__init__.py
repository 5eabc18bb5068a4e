"""Netlink on the wire: the sockets, and the way from bytes to columns."""
