// The steps of a client's life on a local exchange, as in life.py, for clients in JavaScript.
import dns from "node:dns";

export const KEY = "local-key";
export const SECRET = "local-secret";
const PATIENCE = 20_000;

// Let this process reach loopback alone, whatever addresses its client knows.
const lookup = dns.lookup;
dns.lookup = (host, ...rest) => {
  if (!/^(localhost|127\..*|::1)$|\.localhost$/.test(host)) throw new Error(`a life tried to reach ${host}`);
  return lookup(host, ...rest);
};

export const url = process.argv[2].replace(/\/$/, "");
export const host = url.split("://")[1];
let failed = 0;

export async function step(name, act) {
  try {
    await act();
    console.log(`passed ${name}`);
  } catch (error) {
    failed += 1;
    const text = `${error?.constructor?.name}: ${error?.message ?? JSON.stringify(error)}`;
    console.log(`FAILED ${name}: ${text.replace(/\s+/g, " ").slice(0, 300)}`);
  }
}

export function refused(name, code, act) {
  return step(name, async () => {
    let error;
    try {
      await act();
    } catch (raised) {
      error = raised;
    }
    if (!error) throw new Error("nothing was raised");
    const text = `${error.message} ${JSON.stringify(error)} ${JSON.stringify(error.body ?? {})}`;
    check(text.includes(String(code)), text);
    return error;
  });
}

export function check(holds, what = "") {
  if (!holds) throw new Error(`does not hold: ${typeof what === "string" ? what : JSON.stringify(what)}`);
}

export async function control(path, parameters) {
  const answer = await fetch(`${url}/exchange/${path}`, { method: "POST", body: new URLSearchParams(parameters) });
  check(answer.ok, await answer.text());
}

export const setPrice = (symbol, price) => control("price", { symbol, price });
export const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export function within(promise, patience = PATIENCE) {
  return Promise.race([promise, sleep(patience).then(() => Promise.reject(new Error("silent")))]);
}

// Move the price until a promise is kept.
export async function moving(promise) {
  let over = false;
  const end = () => (over = true);
  promise.then(end, end);
  for (let number = 0; number < 10 && !over; number++) {
    await setPrice("BTCUSDT", 60_000 + (number % 3));
    await sleep(300);
  }
  return within(promise, 10);
}

export function leave() {
  process.exit(failed ? 1 : 0);
}
