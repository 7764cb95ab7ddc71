"""From a question to records: studies, data, models, training."""
