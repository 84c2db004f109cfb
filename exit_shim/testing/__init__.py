"""The local exchange: Binance USDⓈ-M futures on loopback, for tests and `--local` runs."""
