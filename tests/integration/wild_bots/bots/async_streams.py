import asyncio
import logging

from binance import AsyncClient, BinanceSocketManager

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("asyncbot")

API = "C5vB1nM7qW3eR9tY5uI1oP7aS3dF9gH5jK1lZ7xC3vB9nM5qW1eR7tY3uI9oP5aS"
SEC = "d1F7gH3jK9lZ5xC1vB7nM3qW9eR5tY1uI7oP3aS9dF5gH1jK7lZ3xC9vB5nM1qW7"
SYMBOL = "BTCUSDT"
QTY = 0.01


class Trader:
    def __init__(self, client):
        self.client = client
        self.filled = asyncio.Event()
        self.closed = asyncio.Event()
        self.candles = asyncio.Queue()
        self.entry = None
        self.algo_events = []

    async def user_stream(self, bm):
        async with bm.futures_user_socket() as stream:
            self.user_ready.set()
            while True:
                msg = await stream.recv()
                if msg["e"] == "ORDER_TRADE_UPDATE":
                    o = msg["o"]
                    logger.info("%s %s %s %s", o["s"], o["S"], o["o"], o["X"])
                    if o["X"] == "FILLED":
                        if o["R"]:
                            self.closed.set()
                        elif self.entry is None:
                            self.entry = float(o["ap"])
                            self.filled.set()
                elif msg["e"] == "ALGO_UPDATE":
                    self.algo_events.append(msg["o"]["X"])
                elif msg["e"] == "error":
                    logger.error("stream error %s", msg)
                    raise RuntimeError(msg["m"])

    async def kline_stream(self, bm):
        # one combined stream for candle and mark price
        async with bm.futures_multiplex_socket(
            [f"{SYMBOL.lower()}@kline_1m", f"{SYMBOL.lower()}@markPrice@1s"]
        ) as stream:
            while True:
                msg = await stream.recv()
                if msg.get("e") == "error":
                    raise RuntimeError(msg["m"])
                data = msg["data"]
                if data["e"] == "kline":
                    await self.candles.put(data["k"])

    async def exits(self, side):
        out, d = ("SELL", 1) if side == "BUY" else ("BUY", -1)
        return await asyncio.gather(
            self.client.futures_create_order(
                symbol=SYMBOL,
                side=out,
                type="STOP_MARKET",
                stopPrice=round(self.entry * (1 - 0.01 * d), 1),
                quantity=QTY,
                reduceOnly="true",
            ),
            self.client.futures_create_order(
                symbol=SYMBOL,
                side=out,
                type="TAKE_PROFIT_MARKET",
                stopPrice=round(self.entry * (1 + 0.02 * d), 1),
                quantity=QTY,
                reduceOnly="true",
            ),
        )

    async def run(self):
        self.user_ready = asyncio.Event()
        bm = BinanceSocketManager(self.client)
        tasks = [asyncio.create_task(self.user_stream(bm)), asyncio.create_task(self.kline_stream(bm))]
        try:
            await self.wait(self.user_ready.wait(), tasks)
            k = await self.wait(self.candles.get(), tasks)
            side = "BUY" if float(k["c"]) >= float(k["o"]) else "SELL"
            logger.info("candle %s -> %s, going %s", k["o"], k["c"], side)
            await self.client.futures_create_order(symbol=SYMBOL, side=side, type="MARKET", quantity=QTY)
            await self.wait(self.filled.wait(), tasks)
            stop, target = await self.exits(side)

            # wait for two more candle updates, then take what is there
            for _ in range(2):
                k = await self.wait(self.candles.get(), tasks)
                logger.info("close %s volume %s", k["c"], k["v"])

            await self.client.futures_create_order(
                symbol=SYMBOL,
                side="SELL" if side == "BUY" else "BUY",
                type="MARKET",
                quantity=QTY,
                reduceOnly="true",
            )
            await self.wait(self.closed.wait(), tasks)
            for order in (stop, target):
                await self.client.futures_cancel_algo_order(symbol=SYMBOL, algoId=order["algoId"])
            logger.info("algo events: %s", self.algo_events)
        finally:
            for t in tasks:
                t.cancel()
            await asyncio.wait(tasks, timeout=2)

    async def wait(self, what, tasks):
        """a dead stream must not hang the bot"""
        me = asyncio.ensure_future(what)
        done, _ = await asyncio.wait([me, *tasks], return_when=asyncio.FIRST_COMPLETED, timeout=10)
        if me not in done:
            me.cancel()
            for t in done:
                t.result()
            raise TimeoutError("nothing came over the stream for 10 s")
        return me.result()


async def main():
    client = await AsyncClient.create(API, SEC)
    try:
        await client.futures_change_leverage(symbol=SYMBOL, leverage=10)
        await Trader(client).run()
    finally:
        await client.close_connection()


if __name__ == "__main__":
    asyncio.run(main())
