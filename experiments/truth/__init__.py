"""Does the harness find a known truth? Question, commands and answers are in README.md."""
