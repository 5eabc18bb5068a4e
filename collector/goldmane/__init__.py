"""Flows as Calico's Felix and Goldmane tell them (goldmane/proto/api.proto, Calico 3.30 to 3.34)."""
