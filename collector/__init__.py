"""What a node knows of its connections: read from the kernel, joined, one row each."""
