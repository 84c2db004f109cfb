"""What `sync="power"` costs against `sync="process"`, in one run: `python benchmarks/sync.py FOLDER`."""

import statistics
import sys
import time
from pathlib import Path

import exit_shim

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "reduceOnly": True}


class Client:
    """Answers at once."""

    def futures_create_order(self, **_):
        return {"orderId": 1}


def main():
    folder = Path(sys.argv[1])
    shims = {
        sync: exit_shim.ExitShim(journal=folder / f"{sync}.db", sync=sync, sinks=[])
        for sync in ("process", "power")
    }
    clients = {sync: exit_shim.wrap(Client(), shim=shim) for sync, shim in shims.items()}
    took = {sync: [] for sync in shims}
    for _ in range(40):
        for sync, client in clients.items():
            for _ in range(25):
                begun = time.perf_counter()
                client.futures_create_order(**STOP)
                took[sync].append((time.perf_counter() - begun) * 1e3)
    for sync, times in took.items():
        print(
            f"{sync}: median {statistics.median(times):.3f} ms, one in a hundred {sorted(times)[-10]:.3f} ms"
        )
        shims[sync].close()
    print(f"ratio: {statistics.median(took['power']) / statistics.median(took['process']):.1f}")


if __name__ == "__main__":
    main()
