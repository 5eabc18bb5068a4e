"""The nouns: what a flow is, in columns, and the words that everything else uses."""
