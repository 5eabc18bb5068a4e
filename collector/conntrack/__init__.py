"""The ``conntrack`` source: every connection that got through."""
