"""The static scan of a bot's source: every place that sends an order, without running or importing it."""
