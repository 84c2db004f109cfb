"""The WebSocket faces of the local exchange: user data stream, market streams and WebSocket API."""
