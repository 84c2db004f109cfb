"""The bridge: old calls keep their contract although Binance moved conditional orders to another store.

Opt-in, and the only part of exit_shim that changes what is sent. It stands beneath the send: guard and
journal see the call as the bot made it.
"""
