"""The client libraries: one file for each behind `ClientSupport`, proxies, class patching and accounts.

To support another library, write a file like `python_binance.py`, add its `ClientSupport` to
`registry.SUPPORTED` and its package to `packages.PACKAGES`.
"""
