// The live page: hears what changes as server-sent events, and shows it. All text goes in as text.

import { COVERS, drawLadder } from "./ladder.js";
import { clock, duration, make, moment, plural, price, roughly, setText } from "./words.js";

const SILENCE_MS = 6000; // The server speaks every 2 s.
const BEHIND_MS = 10_000; // The server reads four times a second.
const GIVE_UP_MS = 15_000;
const SHORTEST_MS = 30_000;
const MOST_LIVES = 2500;
const MOST_SPANS = 3000;
const MOST_MARKS = 3000;
const MOST_FEED = 120;
const COLOURS = 8;
const RANGES = [[15, "15 min"], [60, "1 h"], [360, "6 h"], [1440, "24 h"]];

const by = (id) => document.getElementById(id);
const cards = new Map();
const feedLines = new Map();
const colours = new Map();

let state = null;
let pulse = null;
let ladder = emptyLadder();
let shown = "";
let minutes = 15;
let source = null;
let lastId = "";
let heardAt = 0;
let openedAt = Date.now();
let offset = 0;
let drawTimer = 0;

function emptyLadder() {
  return { lives: new Map(), spans: [], marks: [], leftOut: 0 };
}

// The connection

function connect() {
  if (source) source.close();
  openedAt = Date.now();
  const query = new URLSearchParams({ show: shown });
  if (lastId) query.set("after", lastId);
  const opened = new EventSource(`/events?${query}`);
  source = opened;
  opened.addEventListener("reset", (event) => hear(event, takeAll));
  opened.addEventListener("tick", (event) => hear(event, takeChanges));
  opened.addEventListener("beat", (event) => hear(event, takePulse));
  opened.addEventListener("error", () => {
    // Where it is only interrupted, the browser tries again by itself.
    if (opened === source && opened.readyState === EventSource.CLOSED) setTimeout(retry, 1500);
    render();
  });
}

async function retry() {
  try {
    const answer = await fetch("/", { method: "HEAD" });
    if (answer.status === 401) location.reload();
  } catch {
    // It is not there yet.
  }
  connect();
}

function hear(event, take) {
  if (event.target !== source) return;
  heardAt = Date.now();
  if (event.lastEventId) lastId = event.lastEventId;
  take(JSON.parse(event.data));
  render();
}

function takePulse(data) {
  pulse = data;
  offset = data.now - Date.now();
}

function takeAll(data) {
  state = data.state;
  ladder = emptyLadder();
  ladder.leftOut = data.left_out;
  feedLines.forEach((line) => line.remove());
  feedLines.clear();
  takeParts(data);
  const isThere = state.positions.some((position) => position.key === shown);
  if (!shown && !isThere && state.positions.length) show(state.positions[0].key);
}

function takeChanges(data) {
  state = data.state;
  takeParts(data);
  if (!shown && state.positions.length) show(state.positions[0].key);
}

function takeParts(data) {
  for (const life of data.lives) {
    ladder.lives.delete(life.n);
    ladder.lives.set(life.n, life);
  }
  for (const [number, life] of ladder.lives) {
    if (ladder.lives.size <= MOST_LIVES) break;
    if (life.to) ladder.lives.delete(number);
  }
  ladder.spans = [...ladder.spans, ...data.spans].slice(-MOST_SPANS);
  ladder.marks = [...ladder.marks, ...data.marks].slice(-MOST_MARKS);
  data.feed.forEach(addLine);
}

function show(key) {
  if (key === shown) return;
  shown = key;
  lastId = "";
  ladder = emptyLadder();
  connect();
}

const now = () => Date.now() + offset;
const isSilent = () => Date.now() - Math.max(heardAt, openedAt) > SILENCE_MS || source?.readyState !== EventSource.OPEN;
const isBehind = () => Boolean(pulse?.read) && now() - pulse.read > BEHIND_MS;
const isLive = () => Boolean(state && pulse && !pulse.loading && !pulse.problem && !isSilent() && !isBehind());

// What is shown

function render() {
  renderLink();
  if (!state) return;
  renderHeadline();
  renderPositions();
  renderExits();
  renderSteps();
  renderDoubts();
  renderRecord();
  renderFeed();
  if (!drawTimer) drawTimer = setTimeout(renderLadder, 300);
}

function renderLink() {
  const [word, text] = linkState();
  document.body.dataset.link = word;
  setText(by("link"), text);
  const last = pulse?.last ? `last event ${duration(now() - pulse.last)} ago` : "no event yet";
  const lost = word === "lost" && heardAt ? ` for ${duration(Date.now() - heardAt)}, reconnecting` : "";
  setText(by("ages"), pulse ? `${lost} · ${last}` : "");
  if (state) setText(by("source"), `follows ${state.source}`);
}

function linkState() {
  if (isSilent()) return ["lost", heardAt ? "connection lost" : "connecting"];
  if (pulse?.problem) return ["problem", pulse.problem];
  if (isBehind()) return ["problem", `the record was last read ${duration(now() - pulse.read)} ago`];
  if (!pulse || pulse.loading || !state) return ["waiting", "reading the record"];
  return ["live", "live"];
}

function renderHeadline() {
  const [text, level, more] = headline();
  setText(by("headline"), text);
  by("headline").dataset.level = level;
  setText(by("subline"), more);
  const bare = state.positions.filter((position) => position.cover === "bare").length;
  document.title = `${!isLive() ? "(?) " : bare ? `▲ ${bare} bare · ` : ""}exits · exit_shim`;
}

function headline() {
  const count = (cover) => state.positions.filter((position) => position.cover === cover).length;
  const names = (cover) => state.positions.filter((position) => position.cover === cover).map(nameOf).join(", ");
  if (!isLive()) return ["What is covered now is not known", "unknown", "Below is what was known last."];
  if (count("bare")) {
    const rest = count("partly") ? `Partly covered: ${names("partly")}.` : "";
    return [`${plural(count("bare"), "position is", "positions are")} bare: ${names("bare")}`, "bare", rest];
  }
  if (count("partly")) return [`Only partly covered: ${names("partly")}`, "partly", ""];
  const open = state.positions.filter((position) => position.cover !== "flat").length;
  if (!open) return ["No open position is known", "none", "Positions show once a bot watches its account, or `exit-shim watch` does."];
  if (count("unknown")) {
    const covered = count("covered");
    return [`Cover unknown: ${names("unknown")}`, "unknown", covered ? `${plural(covered, "position is", "positions are")} covered.` : ""];
  }
  return [open === 1 ? "The open position is covered" : `All ${open} open positions are covered`, "covered", ""];
}

function nameOf(position) {
  const account = accounts().size > 1 ? position.account : "";
  return [position.symbol, position.side, account].filter(Boolean).join(" ");
}

const accounts = () => new Set(state.positions.map((each) => each.account).filter(Boolean));

function renderPositions() {
  const keys = state.positions.map((position) => position.key);
  for (const [key, card] of cards) {
    if (!keys.includes(key)) {
      card.item.remove();
      cards.delete(key);
    }
  }
  state.positions.forEach((position, place) => {
    const card = cards.get(position.key) ?? makeCard(position.key);
    fillCard(card, position);
    const there = by("positions").children[place];
    if (there !== card.item) by("positions").insertBefore(card.item, there ?? null);
  });
  setText(by("more-positions"), state.more_positions ? `and ${plural(state.more_positions, "more position")}` : "");
  by("more-positions").hidden = !state.more_positions;
}

function makeCard(key) {
  const item = make("li");
  const button = make("button", "card");
  button.type = "button";
  button.addEventListener("click", () => show(key));
  const card = { item, button };
  for (const name of ["shape", "cover", "since", "name", "size", "guard", "owner", "bared"]) {
    card[name] = make("span", name);
  }
  card.shape.setAttribute("aria-hidden", "true");
  const top = make("span", "row state");
  top.append(card.shape, card.cover, card.since);
  const middle = make("span", "row");
  middle.append(card.name, card.size);
  button.append(top, middle, card.guard, card.owner, card.bared);
  item.append(button);
  cards.set(key, card);
  return card;
}

function fillCard(card, position) {
  const live = isLive();
  const cover = live ? position.cover : "unknown";
  card.button.dataset.cover = cover;
  card.button.dataset.key = position.key;
  card.button.setAttribute("aria-pressed", String(position.key === shown));
  setText(card.shape, COVERS[cover][0]);
  setText(card.cover, live ? COVERS[cover][1] : `was ${COVERS[position.cover][1].toLowerCase()}`);
  setText(card.since, live ? `for ${duration(now() - position.since)}` : heardAt ? `${duration(Date.now() - heardAt)} ago` : "");
  setText(card.name, [position.symbol, position.side].filter(Boolean).join(" "));
  setText(card.size, sizeText(position));
  setText(card.guard, guardText(position));
  setText(card.owner, ownerText(position, live));
  setText(card.bared, baredText(position));
}

function sizeText(position) {
  if (position.amount === null) return "size unknown";
  const amount = price(position.amount.replace("-", ""));
  return position.mark ? `${amount} at ${price(position.mark)}` : amount;
}

function guardText(position) {
  const guard = position.guard;
  if (position.cover === "flat") return "";
  if (!guard) return position.cover === "covered" ? "guarded by a stop that is not in the record" : position.cover === "unknown" ? "no stop in the record" : "no stop";
  const words = [guard.kind, price(guard.level), distance(position, guard), "of", guard.module];
  if (guard.doubt) words.push("(in doubt)");
  if (guard.waits) words.push("(not activated)");
  if (guard.others.length) words.push(`and ${plural(guard.others.length, "other module")}`);
  return words.filter(Boolean).join(" ");
}

function distance(position, exit) {
  const [mark, level] = [Number(position.mark), Number(exit.level)];
  if (!mark || !level) return "";
  const percent = (level / mark - 1) * 100;
  return `(${percent > 0 ? "+" : "−"}${Math.abs(percent).toFixed(Math.abs(percent) < 1 ? 2 : 1)} %)`;
}

function ownerText(position, live) {
  const running = live && position.cover === "bare" ? now() - position.since : 0;
  const bare = position.bare_ms + running;
  const parts = [`owner ${position.owner ?? "nobody"}`];
  if (bare) parts.push(`bare ${duration(bare)} in ${roughly(state.window)}`);
  if (position.account && accounts().size > 1) parts.push(position.account);
  return parts.join(" · ");
}

function baredText(position) {
  if (position.doubt) return position.doubt;
  if (!["bare", "partly"].includes(position.cover)) return "";
  const stop = position.last_stop;
  if (!stop) return "no stop of it is in the record";
  const whose = `${stop.module}’s ${stop.kind} ${price(stop.level)}`;
  const actor = position.bared_by;
  return actor ? `${actor.module} ${stop.end} ${whose} · ${actor.where}` : `${whose}: ${stop.end}, by nobody known`;
}

// The ladder

function colourOf(module) {
  if (!colours.has(module)) {
    if (colours.size > 500) colours.clear();
    colours.set(module, colours.size % COLOURS);
  }
  return colours.get(module);
}

function renderLadder() {
  drawTimer = 0;
  if (document.hidden || !state) return;
  const position = state.positions.find((each) => each.key === shown);
  by("ladder-section").hidden = !shown;
  if (!shown) return;
  const [account, symbol, side] = shown.split("\t");
  const name = position ? nameOf(position) : [symbol, side === "BOTH" ? "" : side, account].filter(Boolean).join(" ");
  setText(by("ladder-title"), `Exits of ${name}`);
  const to = now();
  const from = Math.max(to - minutes * 60_000, Math.min(firstMoment() - 5000, to - SHORTEST_MS));
  const view = { ...ladder, lives: [...ladder.lives.values()], position, from, to, isLive: isLive() };
  const drawn = drawLadder(by("ladder"), view, colourOf);
  renderLegend(view);
  setText(by("ladder-text"), ladderText(drawn));
}

// Nothing is drawn of the time before the record began.
function firstMoment() {
  let first = Infinity;
  for (const life of ladder.lives.values()) first = Math.min(first, life.from);
  for (const span of ladder.spans) first = Math.min(first, span.from);
  if (ladder.marks.length) first = Math.min(first, ladder.marks[0][0]);
  return first;
}

function ladderText({ drawn, there, outside }) {
  const parts = ["a line is an exit, × where another module ended it, • where it was filled; below, the cover"];
  const hidden = there - drawn + ladder.leftOut;
  if (hidden > 0) parts.push(`the newest ${drawn.toLocaleString("en")} are drawn`);
  if (outside) parts.push(`${plural(outside, "exit")} far from the price at the edge`);
  return parts.join("; ");
}

function renderLegend(view) {
  const modules = [...new Set(view.lives.filter((life) => (life.to ?? view.to) >= view.from).map((life) => life.module))];
  const text = JSON.stringify(modules);
  if (by("legend").dataset.text === text) return;
  by("legend").dataset.text = text;
  by("legend").replaceChildren(...modules.slice(0, 2 * COLOURS).map((module) => {
    const item = make("li", `m${colourOf(module)}`, module);
    item.prepend(make("span", "swatch"));
    return item;
  }));
}

function renderExits() {
  const position = state.positions.find((each) => each.key === shown);
  const exits = position?.exits ?? [];
  const more = position?.more_exits ?? 0;
  setText(by("exits-summary"), exits.length ? `${plural(exits.length + more, "live exit")} as a table` : "No live exit");
  fill(by("exits"), exits, (exit) => {
    const row = make("tr");
    const what = `${exit.kind}${exit.doubt ? ", in doubt" : ""}${exit.waits ? ", not activated" : ""}`;
    const size = exit.whole ? "all" : price(exit.quantity);
    const cells = [price(exit.level), what, size, exit.module, exit.by?.where ?? "", moment(exit.placed), exit.id];
    row.append(...cells.map((text) => make("td", "", text)));
    return row;
  });
}

// Feed, executor, doubts, record

function addLine(item) {
  const line = feedLines.get(item.key) ?? make("li");
  line.dataset.level = item.level;
  line.dataset.ms = item.ms;
  const head = make("p", "head");
  head.append(...item.codes.slice(0, 4).map((code) => make("span", "code", code)));
  if (item.symbol) head.append(make("strong", "", item.symbol));
  const time = make("time", "", moment(item.ms));
  time.dateTime = new Date(item.ms).toISOString();
  head.append(time);
  const parts = [head, make("p", "what", item.text)];
  if (item.where) parts.push(make("p", "where", item.where));
  if (item.about) parts.push(make("p", "about", item.about));
  line.replaceChildren(...parts);
  if (!feedLines.has(item.key)) {
    feedLines.set(item.key, line);
    placeLine(line, item.ms);
  }
}

function placeLine(line, ms) {
  let before = by("feed").firstElementChild;
  while (before && Number(before.dataset.ms) > ms) before = before.nextElementSibling;
  by("feed").insertBefore(line, before);
  if (feedLines.size > MOST_FEED) {
    const last = by("feed").lastElementChild;
    for (const [key, each] of feedLines) if (each === last) feedLines.delete(key);
    last.remove();
  }
}

function renderFeed() {
  by("feed-empty").hidden = feedLines.size > 0;
}

function renderSteps() {
  by("steps-empty").hidden = state.steps.length + state.plans.length > 0;
  fill(by("plans"), state.plans, (plan) => {
    const line = make("li", "plan");
    const since = plan.since ? ` since ${moment(plan.since)}` : "";
    line.append(make("strong", "", `${plan.symbol} ${plan.side}`), ` held to ${plan.plan}${since}: ${plan.stage}`);
    return line;
  });
  fill(by("steps"), state.steps.slice(0, 12), (step) => {
    const numbers = [step.quantity, step.at && `at ${price(step.at)}`].filter(Boolean).join(" ");
    return textLine(step.ms, `${step.symbol} ${step.what}`, numbers, step.why, "about");
  });
}

function renderDoubts() {
  setText(by("doubts-title"), state.in_doubt ? `In doubt: ${plural(state.in_doubt, "order")}` : "In doubt");
  by("doubts-empty").hidden = state.doubts.length > 0;
  fill(by("doubts"), state.doubts.slice(-12).reverse(), (each) => textLine(each.ms, each.symbol, each.text, each.where));
}

function textLine(ms, name, text, small, style = "where") {
  const line = make("li");
  const head = make("p", "head");
  head.append(make("strong", "", name), make("time", "", moment(ms)));
  line.append(head, ...[make("p", "what", text), make("p", style, small)].filter((part) => part.textContent));
  return line;
}

function renderRecord() {
  const rows = [
    ["account", [...accounts()].slice(0, 3).join(", ") || "none seen yet"],
    ["mode", state.mode || "not known yet"],
    ["enforcement", state.enforce ? `switched ${state.enforce}` : "as the policy says"],
    ["lost events", state.lost ? plural(state.lost, "event") : "none"],
    ["this page goes back", roughly(state.window)],
  ];
  fill(by("record"), rows, ([name, text]) => {
    const row = make("div", name === "lost events" && state.lost ? "alarm" : "");
    row.append(make("dt", "", name), make("dd", "", text));
    return row;
  });
}

// Make children anew, only where what they show has changed.
function fill(parent, items, makeItem) {
  const text = JSON.stringify(items);
  if (parent.dataset.text === text) return;
  parent.dataset.text = text;
  parent.replaceChildren(...items.map(makeItem));
}

// The beginning

for (const [each, text] of RANGES) {
  const button = make("button", "", text);
  button.type = "button";
  button.setAttribute("aria-pressed", String(each === minutes));
  button.addEventListener("click", () => {
    minutes = each;
    for (const other of by("ranges").children) other.setAttribute("aria-pressed", String(other === button));
    renderLadder();
  });
  by("ranges").append(button);
}

setInterval(() => {
  if (source?.readyState === EventSource.OPEN && Date.now() - Math.max(heardAt, openedAt) > GIVE_UP_MS) connect();
  if (!document.hidden) render();
}, 1000);
document.addEventListener("visibilitychange", render);
new ResizeObserver(renderLadder).observe(by("ladder").parentElement);
connect();
