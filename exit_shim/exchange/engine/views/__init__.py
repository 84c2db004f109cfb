"""The JSON shapes of every answer, key by key in the order that production has them."""
