"""From a corpus to batches: read, split, tokenise and cache once; then serve windows as a function of (seed, step)."""
