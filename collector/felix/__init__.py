"""Flows as Calico's Felix tells them on its node, by its local socket (felix/collector/local, since 3.30)."""
