"""What Calico's Felix tells on its node, by its local socket (since 3.30), and the join with connections."""
