"""List every setting once: its environment variable, its policy-file key, its argument, default and meaning.

The reference pages are generated from this table, and tests compare it with the code that reads the settings.
"""

from typing import Final

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one setting and every way to give it.

    Args:
        environment: The environment variable. None: there is none.
        file: The key in the policy file, with its table: `modes.MODE.owners`. None: there is none.
        code: The keyword of `ExitShim`. None: there is none.
        default: The default, as the docs show it.
        meaning: What it does, in Markdown.
    """

    environment: str | None = None
    file: str | None = None
    code: str | None = None
    default: str
    meaning: str


ENVIRONMENT: Final = (
    Setting(
        environment="EXIT_MODE",
        file="mode",
        code="mode",
        default="`LEGACY`",
        meaning="Who is meant to own the exits: `LEGACY`, `EXIT_BRAIN_V3` or a mode of the policy. Read at "
        "each order. An unknown name is logged as a warning and treated as `LEGACY`. Order of precedence: "
        "`exit-shim mode`, code, environment, policy file.",
    ),
    Setting(
        environment="EXIT_BRAIN_V3_ENABLED",
        default="not set",
        meaning="An older flag. It changes nothing; a contradiction to `EXIT_MODE` is logged as a warning.",
    ),
    Setting(
        environment="EXIT_SHIM_POLICY",
        code="policy",
        default="`exit_shim.toml` beside the bot's main script, if it exists",
        meaning="The path of the policy file. `ExitShim` also takes a `Policy`.",
    ),
    Setting(
        environment="EXIT_SHIM_JOURNAL",
        code="journal",
        default="`journal.db` in the platform's state folder for exit_shim",
        meaning="The path of the journal. `~` is the user's home. In code, `False` means no journal.",
    ),
    Setting(
        environment="EXIT_SHIM_SYNC",
        code="sync",
        default="`process`",
        meaning="What an order's intent survives before the order leaves. `process`: the death of the "
        "process at any instant. `power`: a loss of power too, for one `fdatasync` an order.",
    ),
    Setting(
        environment="EXIT_SHIM_RESOLVE",
        code="resolve",
        default="on",
        meaning="`0` stops the background lookup of orders in doubt. `exit-shim reconcile` still works.",
    ),
    Setting(
        environment="EXIT_SHIM_BRIDGE",
        code="bridge",
        default="off",
        meaning="`1` keeps old calls about conditional orders working. It changes what is sent.",
    ),
    Setting(
        environment="EXIT_SHIM_RAW",
        default="off",
        meaning="`1` covers the requests to Binance's order paths that a bot sends itself by requests, httpx "
        "or aiohttp. In code: `install(raw=True)`.",
    ),
    Setting(
        environment="EXIT_SHIM_SHIP_TO",
        code="ship_to",
        default="not set",
        meaning="A PostgreSQL DSN. Bots of this environment, and `exit-shim ship`, copy the journal there.",
    ),
    Setting(
        environment="EXIT_SHIM_FROM",
        default="not set",
        meaning="A PostgreSQL DSN that the commands with the option `--from` read instead of the journal.",
    ),
    Setting(
        environment="EXIT_SHIM_OTEL",
        default="`0`",
        meaning="`1` adds OpenTelemetry's metrics and spans to the log lines, through the providers that the "
        "bot has configured. In code: `sinks=[LogSink(), OtelSink()]`.",
    ),
    Setting(
        environment="EXIT_SHIM_PAGE_TOKEN",
        default="one that is made up and printed, beyond loopback",
        meaning="The token that a browser needs for `exit-shim serve`, on loopback too: 16 characters or "
        "more.",
    ),
    Setting(
        environment="EXIT_SHIM_ALERT_URLS",
        default="not set",
        meaning="The services that `exit-shim watch` and `exit-shim protect --alert` send alerts to, as "
        "apprise has them, separated by spaces or commas. They hold secrets and are never shown.",
    ),
    Setting(
        environment="EXIT_SHIM_HEARTBEAT_URL",
        default="not set",
        meaning="What `exit-shim watch` asks once a minute while it can read exchange and journal, for a "
        "dead-man's switch.",
    ),
    Setting(
        environment="EXIT_SHIM_DISABLED",
        default="`0`",
        meaning="`1` turns the shim off: `wrap` returns the client itself, and nothing is recorded.",
    ),
)

CODE_ONLY: Final = (
    Setting(
        code="roles",
        default="`Roles()`",
        meaning="Who is who among the bot's modules, where there is no policy; see `Roles`.",
    ),
    Setting(
        code="sinks",
        default="log lines, and OpenTelemetry with `EXIT_SHIM_OTEL=1`",
        meaning="Where events go besides the journal and the counts. An empty list means nowhere.",
    ),
    Setting(
        code="account",
        default="a label derived from the API key",
        meaning="What the account is called in the records. It must not contain `@`.",
    ),
)

POLICY: Final = (
    Setting(
        file="level",
        default='`"warn"`',
        meaning='`"observe"` records, `"warn"` also logs, `"enforce"` holds orders back. It applies to the '
        "ownership rules of modes that have no level of their own.",
    ),
    Setting(
        file="on_deny",
        default='`"raise"`',
        meaning='What a denied caller gets. `"raise"`: the exception `ExitOrderDenied`. `"return_none"`: '
        '`None`. `"simulate"`: an answer that looks like the exchange\'s and is marked.',
    ),
    Setting(
        file="takeover",
        default='`["legacy"]`',
        meaning="Whose resting exits the exit executor takes over where the policy denies them, once its own "
        'stops cover the position: any of `"legacy"`, `"monitors"` and `"unknown"`; `[]` for none. What was '
        "placed by hand always stays.",
    ),
    Setting(
        file="cover_within",
        default="`0.5`",
        meaning="How far from the price an owner's stop may trigger and still cover the position, as a "
        "share of the price; above 0, at most 1.",
    ),
    Setting(
        file="market_closes",
        default='`"allow"`',
        meaning='`"allow"`: an exit that closes now is never denied (MARKET, LIMIT with IOC or FOK, or a '
        'LIMIT priced through the market). `"judge"`: it is judged as any other exit.',
    ),
    Setting(
        file="rollout",
        default="`1.0`",
        meaning='The share of symbols on which `"enforce"` holds, 0 to 1, chosen by a stable hash. A symbol '
        "that is in stays in when the share grows.",
    ),
    Setting(
        file="look_within_s",
        default="`0.5`",
        meaning="The longest that a look at the exchange may take before the order goes out, in seconds; at "
        "most 10.",
    ),
    Setting(
        file="look_share",
        default="`0.25`",
        meaning="The share of an address's request weight (2,400 a minute) that looks may use; above 0, at "
        "most 1.",
    ),
    Setting(
        file="passthrough",
        default="none",
        meaning="Helper modules that send what others decided. Attribution skips them, in addition to those "
        "of `Roles`.",
    ),
    Setting(file="in_app", default="none", meaning="As in `Roles`."),
    Setting(file="not_in_app", default="none", meaning="As in `Roles`."),
    Setting(file="aliases", default="none", meaning="As in `Roles`."),
    Setting(
        file="modes",
        default="`LEGACY`, `EXIT_BRAIN_V3`",
        meaning="One table for each mode, under its name in capitals.",
    ),
    Setting(file="rules", default="none", meaning="One table for each rule, under its reason code."),
    Setting(
        file="delegate",
        default="none",
        meaning="Symbols whose exits belong to one owner from the start; an array of tables.",
    ),
)

MODE: Final = (
    Setting(
        file="modes.MODE.owners",
        default="none; `EXIT_BRAIN_V3`: those of `Roles`",
        meaning="Modules that hold the exits. When another module is denied, only their stops count as "
        "cover.",
    ),
    Setting(
        file="modes.MODE.legacy",
        default="none; `EXIT_BRAIN_V3`: those of `Roles`",
        meaning="Modules that should no longer place exits.",
    ),
    Setting(
        file="modes.MODE.monitors",
        default="none",
        meaning='Modules that may look and not place. When denied, they get the answer of `"simulate"`.',
    ),
    Setting(
        file="modes.MODE.passthrough",
        default="none",
        meaning="Helper modules that send what others decided. They are skipped in every mode.",
    ),
    Setting(
        file="modes.MODE.unknown",
        default='`"allow"`',
        meaning='How modules on no list are treated: `"allow"`, `"warn"`, or `"deny"` where enforced.',
    ),
    Setting(
        file="modes.MODE.level",
        default="the file's",
        meaning="The level of OWNERSHIP_CONFLICT, UNKNOWN_MODULE and FOREIGN_CANCEL in this mode.",
    ),
    Setting(
        file="modes.MODE.on_deny", default="the file's", meaning="What a denied caller gets in this mode."
    ),
    Setting(
        file="modes.MODE.takeover",
        default="the file's",
        meaning="Whose resting exits the exit executor takes over in this mode.",
    ),
    Setting(
        file="modes.MODE.rollout",
        default="the file's",
        meaning="The share of symbols on which this mode enforces.",
    ),
    Setting(file="modes.MODE.rules", default="none", meaning="Levels of rules by code, in this mode."),
    Setting(
        file="modes.MODE.scopes",
        default="none",
        meaning="Exceptions by symbol and kind; the first that matches counts.",
    ),
)

SCOPE: Final = (
    Setting(
        file="modes.MODE.scopes.symbols", default="all", meaning='Symbols or patterns, such as `"BTC*"`.'
    ),
    Setting(file="modes.MODE.scopes.kinds", default="all", meaning='Kinds of exits, such as `"sl"`.'),
    *(
        Setting(file=f"modes.MODE.scopes.{key}", default="the mode's", meaning="As in the mode.")
        for key in ("owners", "legacy", "monitors", "unknown", "level", "on_deny", "takeover")
    ),
)

RULE: Final = (
    Setting(
        file="rules.CODE.level",
        default='the mode\'s for the ownership rules, else `"warn"`',
        meaning="The rule's level in every mode that does not set one for it.",
    ),
    Setting(
        file="rules.CODE.within_s",
        default="the rule's",
        meaning="How many seconds the rule looks back or waits; above zero.",
    ),
    Setting(
        file="rules.CODE.times",
        default="the rule's",
        meaning="How often something must happen before the rule reports it; at least 2.",
    ),
)

DELEGATION: Final = (
    Setting(file="delegate.symbol", default="required", meaning="The symbol."),
    Setting(file="delegate.to", default="required", meaning="The name of the owner."),
    Setting(
        file="delegate.within_s",
        default="`30.0`",
        meaning="The seconds in which a protective order of the owner must be live.",
    ),
)

SETTINGS: Final = (*ENVIRONMENT, *CODE_ONLY, *POLICY, *MODE, *SCOPE, *RULE, *DELEGATION)
