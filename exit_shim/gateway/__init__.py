"""The only path of an order."""
