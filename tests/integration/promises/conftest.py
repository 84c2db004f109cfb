"""One exchange for all tests of the promises, and each client library in turn, behind the shim and bare."""

import os

import pytest
from client_drivers import DRIVERS, is_there, make_driver
from promise_worlds import KEY, SECRET

import exit_shim
from exit_shim.testing import LocalExchange

REQUIRED = bool(os.environ.get("EXIT_SHIM_FOREIGN_CLIENTS"))


def pytest_generate_tests(metafunc):
    """Run a test that asks for a `driver` with each library, and one that asks for a `way` in each way."""
    if "way" in metafunc.fixturenames:
        rows = [(name, way) for name in DRIVERS for way in ways_of(name)]
        metafunc.parametrize(("name", "way"), rows)
    elif "library" in metafunc.fixturenames:
        metafunc.parametrize("name", DRIVERS)


def ways_of(name):
    """Return the ways in which a library can be covered."""
    return ("raw",) if name.startswith("raw_") else ("wrap", "install")


@pytest.fixture(scope="session")
def shared_exchange():
    with LocalExchange(rate_limits=False) as local:
        yield local


@pytest.fixture
def exchange(shared_exchange):
    """The exchange of all tests, as new."""
    shared_exchange.reset()
    shared_exchange.faults.clear()
    shared_exchange.service.records.clear()
    yield shared_exchange
    shared_exchange.faults.clear()
    assert shared_exchange.internal_errors == []


@pytest.fixture
def library(name):
    """Skip the test where the library is not installed; fail where it must be."""
    if not is_there(name):
        package = DRIVERS[name][0]
        assert not REQUIRED, f"{package} is missing: pip install 'exit_shim[clients]'"
        pytest.skip(f"{package} is not installed; pip install 'exit_shim[clients]'")
    return name


@pytest.fixture
def new_driver(library):
    """Make drivers of the library, connected to an address; they are closed at the end."""
    made = []

    def connect(url, key=KEY, secret=SECRET, **options):
        driver = make_driver(library)
        made.append(driver)
        driver.connect(url, key, secret, **options)
        return driver

    yield connect
    exit_shim.uninstall()
    for driver in made:
        driver.close()


@pytest.fixture
def driver(new_driver, exchange):
    """A bare client of the library on the exchange."""
    return new_driver(exchange.url)


@pytest.fixture
def covered(driver, way):
    """A client of the library on the exchange, behind the process-wide shim."""
    driver.cover(way, exit_shim)
    return driver
