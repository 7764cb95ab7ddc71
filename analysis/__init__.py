"""From records to laws: tables, fits, forecasts, reports. Needs no PyTorch."""
