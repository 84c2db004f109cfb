"""Raw requests by aiohttp."""

import json

import aiohttp
from yarl import URL

from client_drivers.raw_http import RawHttp


class RawAiohttp(RawHttp):
    """An `aiohttp.ClientSession`."""

    library = "aiohttp"
    is_async = True

    def make_session(self, headers, timeout):
        async def make():
            return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(timeout))

        return self.finish(make())

    async def send(self, verb, path, query):
        async with self.client.request(verb, URL(f"{path}?{query}", encoded=True)) as response:
            await response.read()
            return response

    def read(self, answer):
        return json.loads(answer._body)
