"""Does the harness find a truth that is known? Question, commands and answers are in README.md."""
