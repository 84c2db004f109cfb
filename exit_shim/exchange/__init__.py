"""The local exchange: engine, HTTP and WebSocket faces, and faults."""
