"""The verbs of `scaling`: each module parses, calls and prints."""
