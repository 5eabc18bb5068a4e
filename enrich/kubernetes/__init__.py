"""What a cluster says about itself, watched at its API server."""
