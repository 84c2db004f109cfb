"""The connector's exceptions: they keep what they were made with in `args`, headers too."""


class Error(Exception):
    pass


class ClientError(Error):
    def __init__(self, status_code, error_code, error_message, header):
        self.status_code = status_code
        self.error_code = error_code
        self.error_message = error_message
        self.header = header


class ServerError(Error):
    def __init__(self, status_code, message):
        self.status_code = status_code
        self.message = message


class ParameterRequiredError(Error):
    def __init__(self, params):
        self.params = params

    def __str__(self):
        return f"{', '.join(self.params)} is mandatory, but received empty."
