"""Attempts that vanished between prerouting and postrouting: denied traffic where nothing logs it."""
