"""Where the two meet: the commands, and what they found."""
