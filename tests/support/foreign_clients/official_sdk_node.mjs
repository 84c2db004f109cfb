// The life of Binance's official USDⓈ-M SDK for Node.js: REST, the WebSocket API and streams.
import { DerivativesTradingUsdsFutures } from "@binance/derivatives-trading-usds-futures";
import { KEY, SECRET, check, host, leave, moving, refused, step, url, within } from "./life.mjs";

const symbol = "BTCUSDT";
const client = new DerivativesTradingUsdsFutures({
  configurationRestAPI: { apiKey: KEY, apiSecret: SECRET, basePath: url },
  configurationWebsocketAPI: { apiKey: KEY, apiSecret: SECRET, wsURL: `ws://${host}/ws-fapi/v1` },
  configurationWebsocketStreams: { wsURL: `ws://${host}` },
});
const rest = client.restAPI;
const data = async (answer) => (await answer).data();

for (const name of ["exchangeInformation", "futuresAccountBalanceV3", "accountInformationV3", "positionInformationV3"])
  await step(name, async () => check(await data(rest[name]())));
for (const name of ["markPrice", "orderBook", "recentTradesList", "getFundingRateHistory", "openInterest", "allOrders"])
  await step(name, async () => check(await data(rest[name]({ symbol }))));
await step("klineCandlestickData", async () =>
  check((await data(rest.klineCandlestickData({ symbol, interval: "1h", limit: 10 }))).length === 10),
);
const limit = { symbol, side: "BUY", type: "LIMIT", timeInForce: "GTC", quantity: 0.01, price: 50_000 };
await step("orders", async () => {
  await rest.changeInitialLeverage({ symbol, leverage: 10 });
  const made = await data(rest.newOrder({ symbol, side: "BUY", type: "MARKET", quantity: 0.01 }));
  check((await data(rest.queryOrder({ symbol, orderId: made.orderId }))).status === "FILLED");
  const resting = await data(rest.newOrder(limit));
  await rest.modifyOrder({ symbol, side: "BUY", orderId: resting.orderId, quantity: 0.01, price: 50_010 });
  await rest.cancelOrder({ symbol, orderId: resting.orderId });
  await rest.placeMultipleOrders({ batchOrders: [limit] });
  await rest.cancelAllOpenOrders({ symbol });
});
await step("conditional orders", async () => {
  const stop = { symbol, side: "SELL", type: "STOP_MARKET", algoType: "CONDITIONAL", triggerPrice: 50_000 };
  const made = await data(rest.newAlgoOrder({ ...stop, closePosition: "true" }));
  check((await data(rest.currentAllAlgoOpenOrders({ symbol }))).length === 1);
  await rest.cancelAlgoOrder({ algoId: made.algoId });
});
await refused("-2019", "insufficient", () => rest.newOrder({ symbol, side: "BUY", type: "MARKET", quantity: 100 }));

const streams = await client.websocketStreams.connect();
for (const [name, options] of Object.entries({
  aggregateTradeStreams: { symbol },
  klineCandlestickStreams: { symbol, interval: "1m" },
  markPriceStream: { symbol },
  individualSymbolTickerStreams: { symbol },
  individualSymbolBookTickerStreams: { symbol },
  diffBookDepthStreams: { symbol },
}))
  await step(`stream ${name}`, async () => {
    const came = new Promise((done) => streams[name](options).on("message", done));
    await moving(came);
  });
await step("user data stream", async () => {
  const { listenKey } = await data(rest.startUserDataStream());
  const came = new Promise((done) => streams.userData(listenKey).on("message", done));
  await new Promise((done) => setTimeout(done, 1_000));
  await rest.newOrder({ symbol, side: "BUY", type: "MARKET", quantity: 0.01 });
  await within(came, 5_000);
});
await step("orders by WebSocket", async () => {
  const api = await client.websocketAPI.connect();
  const made = await within(api.newOrder(limit), 5_000);
  const { orderId } = made.data.result ?? made.data;
  await within(api.cancelOrder({ symbol, orderId }), 5_000);
});
leave();
