"""The set-up of `run --local`: an exchange that answers for Binance, and no way to any other host."""

import contextlib
import os
from collections.abc import Iterator

import click

from exit_shim.cli.local_watch import LocalWatch
from exit_shim.cli.market_options import MarketChoice
from exit_shim.cli.output import say
from exit_shim.clients.hosts import label_answered_hosts
from exit_shim.exchange.authority import Authority
from exit_shim.runtime.nearest_name import did_you_mean
from exit_shim.testing import LocalExchange
from exit_shim.testing.confinement.audit_hook import Note, confine
from exit_shim.testing.confinement.child_processes import answer_display_commands, fork_by_default
from exit_shim.testing.confinement.dummy_hosts import DUMMY_HOSTS, DummyHosts
from exit_shim.testing.confinement.packages import OWN_SOCKETS, replace_loops
from exit_shim.testing.confinement.proxies import refuse_proxies
from exit_shim.testing.confinement.real_hosts import RealHosts, is_binance
from exit_shim.testing.confinement.trust import trust_authority
from exit_shim.testing.redirect import redirect_clients


@contextlib.contextmanager
def on_local_exchange(
    choice: MarketChoice, allow_ports: tuple[int, ...], allow_packages: tuple[str, ...]
) -> Iterator[tuple[LocalExchange, LocalWatch]]:
    """Start a local exchange that answers for Binance's hosts, and keep this process from any other.

    Args:
        choice: What trades there, and how its prices move.
        allow_ports: Loopback ports that the bot may also use.
        allow_packages: Packages with sockets of their own that it may import.

    Yields:
        The exchange, and the watch that records the sizes of its positions.
    """
    check_packages(allow_packages)
    authority = make_authority()
    # A run packs a day into seconds, which no rate limit allows.
    exchange = LocalExchange(**choice.exchange_arguments(), rate_limits=False, any_key=True, tls=authority)
    note = note_in_this_process(exchange)
    exchange.service.other_hosts = DummyHosts(note).answer
    # It is never stopped: threads of the bot would print errors about their closed streams after the report.
    exchange.start()
    tls_port = None if authority is None else exchange.tls_port
    hosts = RealHosts(exchange.port, tls_port, DUMMY_HOSTS, note)
    watch = LocalWatch(exchange)
    with redirect_clients(exchange.url, watch.add_key):
        if authority is not None:
            trust_authority(authority.pem)
        hosts.answer_lookups()
        # Records of a local run must never look like those of a real account.
        label_answered_hosts(is_binance, exchange.url)
        answer_display_commands()
        fork_by_default()
        ports = {exchange.port, *([] if tls_port is None else [tls_port]), *allow_ports}
        confine(ports, allow_packages=allow_packages, route=hosts.route, note=note)
        refuse_proxies(frozenset(allow_ports), note)
        replace_loops(allow_packages, lambda line: say(line, err=True))
        yield exchange, watch


def check_packages(names: tuple[str, ...]) -> None:
    """Warn that the allowed packages are not watched.

    Raises:
        UsageError: If one of them would not be refused.
    """
    for name in names:
        if name not in OWN_SOCKETS:
            raise click.UsageError(
                f"--allow-package {name}: the package is not refused{did_you_mean(name, OWN_SOCKETS)}"
            )
    if names:
        connect = "it connects" if len(names) == 1 else "they connect"
        say(f"{', '.join(names)}: what {connect} to is not watched", err=True)


def make_authority() -> Authority | None:
    """Return an authority for this run; None without trustme, and then only plain HTTP is answered."""
    try:
        return Authority(DUMMY_HOSTS)
    except ModuleNotFoundError:
        return None


def note_in_this_process(exchange: LocalExchange) -> Note:
    """Return a function that notes a refused or dummy-answered host; it does nothing in a fork."""
    pid, log = os.getpid(), exchange.service.gate.unanswered

    def note(name: str, reason: str) -> None:
        # A fork's own count would be lost, and its lock may have been held when it was forked.
        if os.getpid() == pid:
            log.note("host", name, reason)

    return note
