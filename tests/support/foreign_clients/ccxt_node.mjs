// The life of ccxt and ccxt.pro in Node.js.
import ccxt from "ccxt";
import { KEY, SECRET, check, control, host, leave, moving, setPrice, sleep, step, url, within } from "./life.mjs";

const SYMBOL = "BTC/USDT:USDT";

function redirect(addresses) {
  for (const [name, address] of Object.entries(addresses)) {
    if (typeof address === "object") redirect(address);
    else {
      const [scheme, rest] = address.split("://");
      const path = rest.includes("/") ? rest.slice(rest.indexOf("/")) : "";
      addresses[name] = `${scheme === "wss" ? "ws" : "http"}://${host}${path}`;
    }
  }
}

const ex = new ccxt.pro.binanceusdm({ apiKey: KEY, secret: SECRET });
redirect(ex.urls.api);
// ccxt asks for this with any ws:// address; wss:// needs it not.
await ex.loadHttpProxyAgent();

function refused(name, kind, act) {
  return step(name, async () => {
    try {
      await act();
    } catch (error) {
      check(error instanceof kind && error.message.includes(name), `${error.constructor.name}: ${error.message}`);
      return;
    }
    throw new Error("nothing was raised");
  });
}

await step("loadMarkets", () => ex.loadMarkets());
await step("balance", async () => check((await ex.fetchBalance()).USDT.total > 0));
await step("leverage, margin mode", async () => {
  await ex.setLeverage(10, SYMBOL);
  await ex.setMarginMode("isolated", SYMBOL);
  await ex.setMarginMode("cross", SYMBOL);
});
await step("ohlcv, ticker, order book, trades, funding", async () => {
  check((await ex.fetchOHLCV(SYMBOL, "1h", undefined, 100)).length === 100);
  check((await ex.fetchTicker(SYMBOL)).last);
  check((await ex.fetchOrderBook(SYMBOL)).bids.length);
  await ex.fetchTrades(SYMBOL);
  await ex.fetchFundingRate(SYMBOL);
});
await step("market order, position", async () => {
  const order = await ex.createOrder(SYMBOL, "market", "buy", 0.01);
  check((await ex.fetchOrder(order.id, SYMBOL)).status === "closed");
  check((await ex.fetchPositions([SYMBOL]))[0].contracts === 0.01);
});
await step("limit order, edit, cancel", async () => {
  const order = await ex.createOrder(SYMBOL, "limit", "buy", 0.01, 50_000);
  const changed = await ex.editOrder(order.id, SYMBOL, "limit", "buy", 0.01, 50_100);
  check(changed.price === 50_100, changed.price);
  await ex.cancelOrder(changed.id, SYMBOL);
});
await step("stop, take profit, trailing stop", async () => {
  await ex.createStopLossOrder(SYMBOL, "market", "sell", 0.01, undefined, 50_000, { reduceOnly: true });
  await ex.createTakeProfitOrder(SYMBOL, "market", "sell", 0.01, undefined, 70_000, { reduceOnly: true });
  await ex.createTrailingPercentOrder(SYMBOL, "market", "sell", 0.01, undefined, 1, undefined, { reduceOnly: true });
  check((await ex.fetchOpenOrders(SYMBOL, undefined, undefined, { trigger: true })).length === 3);
  await ex.cancelAllOrders(SYMBOL, { trigger: true });
});
await step("history", async () => {
  check((await ex.fetchMyTrades(SYMBOL)).length && (await ex.fetchOrders(SYMBOL)).length);
});
for (const [name, watch] of Object.entries({
  ticker: () => ex.watchTicker(SYMBOL),
  ohlcv: () => ex.watchOHLCV(SYMBOL, "1m"),
  trades: () => ex.watchTrades(SYMBOL),
  "order book": () => ex.watchOrderBook(SYMBOL),
  "bids and asks": () => ex.watchBidsAsks([SYMBOL]),
  "mark price": () => ex.watchMarkPrice(SYMBOL),
}))
  await step(`watch ${name}`, async () => check(await moving(watch())));
await step("watch orders and balance", async () => {
  const heard = Promise.all([ex.watchOrders(SYMBOL), ex.watchBalance()]);
  await sleep(1_000);
  await ex.createOrder(SYMBOL, "market", "buy", 0.01);
  await within(heard);
});
await step("orders by WebSocket", async () => {
  const order = await within(ex.createOrderWs(SYMBOL, "limit", "buy", 0.01, 50_000));
  await within(ex.cancelOrderWs(order.id, SYMBOL));
});
await step("a stop fires", async () => {
  await ex.createStopLossOrder(SYMBOL, "market", "sell", 0.02, undefined, 59_000, { reduceOnly: true });
  await setPrice("BTCUSDT", 58_900);
  await control("advance", { milliseconds: 1_000 });
  check((await ex.fetchPositions([SYMBOL])).length === 0);
});
await refused("-2011", ccxt.OrderNotFound, () => ex.cancelOrder("1", SYMBOL));
await refused("-1121", ccxt.BadSymbol, () => ex.fapiPublicGetTickerPrice({ symbol: "NOTHING" }));
await refused("-2019", ccxt.ExchangeError, () => ex.createOrder(SYMBOL, "market", "buy", 100));
await ex.close();
leave();
