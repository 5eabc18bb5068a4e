"""Policies: reading them, and what they say about whom; pure, without input or output."""
