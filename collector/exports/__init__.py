"""Flow logs that others have written, as JSON: read, and made flows of ours."""
