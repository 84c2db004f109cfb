"""Raw requests by httpx, sync and async; what changes something has its fields in the body."""

import httpx

from client_drivers.raw_http import RawHttp

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class RawHttpx(RawHttp):
    """An `httpx.Client`."""

    library = "httpx"

    def make_session(self, headers, timeout):
        return httpx.Client(headers=headers, timeout=timeout)

    def send(self, verb, path, query):
        if verb in {"POST", "PUT"}:
            return self.client.request(verb, path, content=query, headers=FORM)
        return self.client.request(verb, f"{path}?{query}")


class RawHttpxAsync(RawHttpx):
    """An `httpx.AsyncClient`."""

    is_async = True

    def make_session(self, headers, timeout):
        return httpx.AsyncClient(headers=headers, timeout=timeout)

    async def send(self, verb, path, query):
        if verb in {"POST", "PUT"}:
            return await self.client.request(verb, path, content=query, headers=FORM)
        return await self.client.request(verb, f"{path}?{query}")

    def disconnect(self):
        return self.client.aclose()
