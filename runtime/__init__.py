"""What every long-running process needs: settings, logs, metrics, health, a life."""
