"""From a corpus to batches: read, split, tokenise and cache once; then serve by (seed, step)."""
