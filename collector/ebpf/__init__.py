"""Connections of Calico's eBPF dataplane, which tracks them in maps of its own beside the kernel's table."""
