"""The lab: a closed network on this machine with a real dataplane, shaped as Calico shapes it."""
