// The life of the npm package "binance" by tiagosiebler: REST, streams and the WebSocket API.
import { USDMClient, WebsocketClient, WebsocketAPIClient } from "binance";
import { KEY, SECRET, check, host, leave, moving, refused, step, url, within } from "./life.mjs";

const symbol = "BTCUSDT";
const client = new USDMClient({ api_key: KEY, api_secret: SECRET, baseUrl: url });

for (const [name, read] of Object.entries({
  getExchangeInfo: () => client.getExchangeInfo(),
  getServerTime: () => client.getServerTime(),
  getOrderBook: () => client.getOrderBook({ symbol }),
  getRecentTrades: () => client.getRecentTrades({ symbol }),
  getAggregateTrades: () => client.getAggregateTrades({ symbol }),
  getKlines: () => client.getKlines({ symbol, interval: "1h" }),
  getMarkPrice: () => client.getMarkPrice({ symbol }),
  getFundingRateHistory: () => client.getFundingRateHistory({ symbol }),
  get24hrChangeStatistics: () => client.get24hrChangeStatistics({ symbol }),
  getSymbolPriceTicker: () => client.getSymbolPriceTicker({ symbol }),
  getOpenInterest: () => client.getOpenInterest({ symbol }),
  getAccountInformation: () => client.getAccountInformation(),
  getBalance: () => client.getBalance(),
  getPositions: () => client.getPositions(),
  getIncomeHistory: () => client.getIncomeHistory(),
  getNotionalAndLeverageBrackets: () => client.getNotionalAndLeverageBrackets({ symbol }),
  getAccountTrades: () => client.getAccountTrades({ symbol }),
  getAllOrders: () => client.getAllOrders({ symbol }),
}))
  await step(name, async () => check(await read()));
await step("leverage, margin type", async () => {
  await client.setLeverage({ symbol, leverage: 10 });
  await client.setMarginType({ symbol, marginType: "ISOLATED" });
  await client.setMarginType({ symbol, marginType: "CROSSED" });
});
const limit = { symbol, side: "BUY", type: "LIMIT", timeInForce: "GTC", quantity: 0.01, price: 50_000 };
await step("orders", async () => {
  const made = await client.submitNewOrder({ symbol, side: "BUY", type: "MARKET", quantity: 0.01 });
  check((await client.getOrder({ symbol, orderId: made.orderId })).status === "FILLED");
  const resting = await client.submitNewOrder(limit);
  await client.modifyOrder({ symbol, side: "BUY", orderId: resting.orderId, quantity: 0.01, price: 50_010 });
  check((await client.getAllOpenOrders({ symbol })).length === 1);
  await client.cancelOrder({ symbol, orderId: resting.orderId });
  await client.submitMultipleOrders([{ ...limit, quantity: "0.01", price: "50000" }]);
  await client.cancelAllOpenOrders({ symbol });
});
await step("conditional orders", async () => {
  const stop = { symbol, side: "SELL", type: "STOP_MARKET", algoType: "CONDITIONAL", triggerPrice: 50_000 };
  const made = await client.submitNewAlgoOrder({ ...stop, closePosition: "true" });
  check((await client.getOpenAlgoOrders({ symbol })).length === 1);
  await client.cancelAlgoOrder({ algoId: made.algoId });
});
await refused("-2019", -2019, () => client.submitNewOrder({ symbol, side: "BUY", type: "MARKET", quantity: 100 }));
await refused("-4120", -4120, () =>
  client.submitNewOrder({ symbol, side: "SELL", type: "STOP_MARKET", stopPrice: 50_000, closePosition: "true" }),
);

// One address serves all of a client's connections; it adds the routes itself.
const sockets = new WebsocketClient({ api_key: KEY, api_secret: SECRET, beautify: true, wsUrl: `ws://${host}` , restOptions: { baseUrl: url } });
const heard = new Map();
sockets.on("message", (message) => {
  const name = message.e ?? message.data?.e ?? message.stream;
  heard.get(name)?.();
});
sockets.on("exception", (error) => console.log("exception", error?.message ?? error));
for (const [name, subscribe] of Object.entries({
  kline: () => sockets.subscribeKlines(symbol, "1m", "usdm"),
  aggTrade: () => sockets.subscribeAggregateTrades(symbol, "usdm"),
  markPriceUpdate: () => sockets.subscribeMarkPrice(symbol, "usdm"),
  "24hrTicker": () => sockets.subscribeSymbol24hrTicker(symbol, "usdm"),
  bookTicker: () => sockets.subscribeSymbolBookTicker(symbol, "usdm"),
  depthUpdate: () => sockets.subscribePartialBookDepths(symbol, 5, 100, "usdm"),
}))
  await step(`stream ${name}`, async () => {
    const came = new Promise((done) => heard.set(name, done));
    await subscribe();
    await moving(came);
  });
await step("user data stream", async () => {
  const came = new Promise((done) => heard.set("ORDER_TRADE_UPDATE", done));
  await sockets.subscribeUsdFuturesUserDataStream();
  await new Promise((done) => setTimeout(done, 1_500));
  await client.submitNewOrder({ symbol, side: "BUY", type: "MARKET", quantity: 0.01 });
  await within(came, 5_000);
});
await step("orders by WebSocket", async () => {
  const api = new WebsocketAPIClient({ api_key: KEY, api_secret: SECRET, beautify: true, wsUrl: `ws://${host}` });
  const made = await within(api.submitNewFuturesOrder("usdm", { ...limit, timestamp: Date.now() }), 5_000);
  await within(api.cancelFuturesOrder("usdm", { symbol, orderId: made.result.orderId, timestamp: Date.now() }), 5_000);
});
leave();
