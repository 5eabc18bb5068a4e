"""``bench``: how fast each part is on this machine, against a floor measured in the same run."""
