"""Raw requests by requests, signed fields in the query."""

import requests

from client_drivers.raw_http import RawHttp


class RawRequests(RawHttp):
    """A `requests.Session`."""

    library = "requests"

    def make_session(self, headers, timeout):
        session = requests.Session()
        session.headers.update(headers)
        self.timeout = timeout
        return session

    def send(self, verb, path, query):
        return self.client.request(verb, f"{path}?{query}", timeout=self.timeout)
