"""The guard: judges exit orders by a policy and a book of live exits, and answers for what it holds back.

An order of a denied module takes this way through the files of this folder:

1. `call_judge` takes the call from the gateway.
2. `judge` gives each order its verdict: `policy/` says who may act, `rules/` what else is wrong, and `book`
   (of `live_exits`, `tracks` and `trust`) what rests where and whose it is.
3. `withholding` takes a call with an order that is to be held back, and has the exchange looked at:
   `snapshots`, `snapshot_reads` and `exchange_snapshot`.
4. `protective_override` lets the order through all the same, unless owners' stops surely cover the position.
   What "surely cover" means is in `cover`.
5. `withholding` answers the caller of what is held back; `simulated_orders` and `denials` remember it.

`rule_warnings` asks the rules that only warn, after the send. `whatif` replays a journal under a policy.
"""
