"""Who calls what sends: one level up as a site, further up as a name, and nobody by chance."""

import textwrap

from exit_shim.scan.scan import scan


def scan_files(folder, **sources):
    for name, text in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return scan(folder)


def callers(found):
    return [(site.file, site.line, site.through) for site in found.sites if not site.is_leaf]


EXECUTOR = """
    class Executor:
        def place_order(self, **params):
            return self.client.futures_create_order(**params)

        def execute(self, **params):
            return self.client.futures_create_order(**params)
"""


def test_callers_in_other_files(tmp_path):
    """Calls by an import, an attribute's class, an annotation and a base class are found."""
    found = scan_files(
        tmp_path,
        core__executor=EXECUTOR,
        bot="""
            from core.executor import Executor

            class Bot:
                def __init__(self):
                    self.executor = Executor()

                def stop(self):
                    self.executor.execute(type="STOP_MARKET")

            class Own(Executor):
                def target(self):
                    self.place_order(type="TAKE_PROFIT_MARKET")

            def by_hand(executor: Executor):
                executor.execute(type="MARKET")
            """,
    )
    assert callers(found) == [
        ("bot.py", 9, "Executor.execute"),
        ("bot.py", 13, "Executor.place_order"),
        ("bot.py", 16, "Executor.execute"),
    ]


def test_a_name_that_says_nothing_needs_a_class(tmp_path):
    """`execute` of who knows what is nobody's caller; `place_order` of an unknown object is one."""
    found = scan_files(
        tmp_path,
        executor=EXECUTOR,
        bot="""
            def go(cursor, helper):
                cursor.execute("SELECT 1")
                helper.place_order(type="STOP_MARKET")
            """,
    )
    assert callers(found) == [("bot.py", 4, "Executor.place_order")]


def test_a_helper_that_gets_the_method_makes_no_callers(tmp_path):
    """Each call that hands a method in is a site itself, so the helper's other callers are none."""
    found = scan_files(
        tmp_path,
        bot="""
            def retry(fn, **params):
                return fn(**params)

            def go(client):
                retry(client.futures_cancel_order, orderId=1)
                retry(print, end="")
            """,
    )
    assert callers(found) == []
    assert [(site.line, site.how) for site in found.sites] == [(3, "bound"), (6, "bound")]


def test_who_reaches_a_function_from_further_up(tmp_path):
    """Two levels up and further only the names of functions are kept, and circles end."""
    found = scan_files(
        tmp_path,
        bot="""
            def send(client):
                client.futures_create_order(type="STOP_MARKET", closePosition=True)

            def protect(client):
                send(client)

            def cycle(client):
                protect(client)
                main(client)

            def main(client):
                cycle(client)
            """,
    )
    assert callers(found) == [("bot.py", 6, "send")]
    assert found.reached_from == {"send": ("bot.py: cycle", "bot.py: main")}


def test_callers_of_what_only_enters_are_entries(tmp_path):
    """A function all of whose orders are entries makes its callers entries too."""
    found = scan_files(
        tmp_path,
        bot="""
            def enter(client):
                client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)

            def go(client):
                enter(client)
            """,
    )
    assert [(site.line, site.kind) for site in found.sites] == [(3, "entry"), (6, "entry")]


def test_names_that_a_package_hands_on(tmp_path):
    """A class or function that `__init__` imports is found where it is defined."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("from core.executor import Executor, flat\n")
    flat = "\ndef flat(client):\n    client.futures_create_order(type='MARKET')\n"
    found = scan_files(
        tmp_path,
        core__executor=textwrap.dedent(EXECUTOR) + flat,
        bot="""
            import core
            from core import Executor, flat

            class Own(Executor):
                def stop(self):
                    self.execute(type="STOP_MARKET")

                def close(self):
                    super().execute(type="MARKET")

            def go(client):
                flat(client)
                core.flat(client)
            """,
    )
    assert callers(found) == [
        ("bot.py", 7, "Executor.execute"),
        ("bot.py", 10, "Executor.execute"),
        ("bot.py", 13, "flat"),
        ("bot.py", 14, "flat"),
    ]


def test_a_connector_of_ones_own_is_a_caller(tmp_path):
    """A call of the bot's own method that is named as ccxt's is a caller, though its file imports ccxt."""
    found = scan_files(
        tmp_path,
        bot="""
            import ccxt

            class Connector:
                def create_order(self, symbol):
                    return self.client.create_order(symbol, "market", "sell", 1)

            class Trader:
                def leave(self, symbol):
                    self.connector.create_order(symbol)
                    self.connector.set_leverage(5)
            """,
    )
    assert [(site.line, site.how) for site in found.sites] == [(6, "direct"), (10, "caller")]


def test_a_name_of_another_files_client_is_a_guess(tmp_path):
    """Where the bot has the method itself, an attribute named as another file's client is not it."""
    found = scan_files(
        tmp_path,
        data="""
            import ccxt

            exchange = ccxt.binanceusdm()
            """,
        layers="""
            class Exchange:
                def cancel_order(self, id):
                    return self.client.futures_cancel_order(orderId=id)

            class Strategy:
                def __init__(self, exchange):
                    self.exchange = exchange

                def leave(self, id):
                    self.exchange.cancel_order(id)
            """,
    )
    assert [(site.line, site.how) for site in found.sites] == [(4, "direct"), (11, "caller")]


def test_a_name_of_another_files_exchange_rules_nothing_out(tmp_path):
    """A parameter may be Binance's client, though in another file the name is another's."""
    found = scan_files(
        tmp_path,
        other="""
            import ccxt

            x = ccxt.bybit()
            """,
        feed="""
            import ccxt

            def leave(call, symbol):
                return call(lambda x: x.cancel_all_orders(symbol, {"reduceOnly": True}))
            """,
    )
    assert [(site.file, site.line) for site in found.sites] == [("feed.py", 5)]
