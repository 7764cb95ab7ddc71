"""What `make bench` runs: each module prints one row per measured target, with its reference."""
