"""The connector's requests: signed, sent, and an error of their own for each status from 400 on."""

import hashlib
import hmac
import json
import time
from json import JSONDecodeError
from urllib.parse import urlencode

import requests
from binance.error import ClientError, ServerError


class API:
    def __init__(self, key=None, secret=None, base_url=None, timeout=None):
        self.key = key
        self.secret = secret
        self.timeout = timeout
        self.show_limit_usage = False
        self.show_header = False
        self.proxies = None
        self.private_key = None
        self.private_key_pass = None
        self.session = requests.Session()
        self.session.headers.update({"X-MBX-APIKEY": key})
        self.base_url = base_url

    def sign_request(self, http_method, url_path, payload=None, special=False):
        if payload is None:
            payload = {}
        payload["timestamp"] = int(time.time() * 1000)
        query = self._prepare_params(payload, special)
        payload["signature"] = self._get_sign(query)
        return self.send_request(http_method, url_path, payload, special)

    def send_request(self, http_method, url_path, payload=None, special=False):
        params = self._prepare_params(payload, special)
        send = self._dispatch_request(http_method)
        response = send(self.base_url + url_path, params=params, timeout=self.timeout)
        self._handle_exception(response)
        return response.json()

    def _dispatch_request(self, http_method):
        return {
            "GET": self.session.get,
            "DELETE": self.session.delete,
            "PUT": self.session.put,
            "POST": self.session.post,
        }.get(http_method, self.session.get)

    def _get_sign(self, payload):
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    def _prepare_params(self, params, special=False):
        text = urlencode({name: value for name, value in params.items() if value is not None}, not special)
        return text.replace("%40", "@").replace("%27", "%22") if special else text.replace("%40", "@")

    def _handle_exception(self, response):
        status_code = response.status_code
        if status_code < 400:
            return
        if 400 <= status_code < 500:
            try:
                err = json.loads(response.text)
            except JSONDecodeError:
                raise ClientError(status_code, None, response.text, response.headers)
            raise ClientError(status_code, err["code"], err["msg"], response.headers)
        raise ServerError(status_code, response.text)
