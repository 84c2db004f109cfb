"""One line around a python-binance client, and every exit order has a name."""
