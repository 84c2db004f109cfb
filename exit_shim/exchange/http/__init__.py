"""The HTTP face of the exchange: routes, keys, signatures, limits."""
