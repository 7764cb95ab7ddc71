"""Tasks of your own with labels: files of texts, tagged tokens, answered questions or wanted texts."""
