"""What `make bench` runs: each module prints one row a measured target, with its reference."""
