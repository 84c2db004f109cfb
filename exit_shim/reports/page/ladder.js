// The ladder: time across, price up, one line per exit; the cover of the position as a band below it.

import { clock, draw, duration, price } from "./words.js";

const HEIGHT = 340;
const RIGHT = 74;
const TOP = 12;
const BAND = 16;
const AXIS = 20;
const MOST_DRAWN = 1000;
const MOST_MARKS = 1500;
const MOST_LABELS = 12;
const NEAR = 0.12; // Exits farther than this from the price are not worth the whole scale.
const TIME_STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 21_600].map((s) => s * 1000);

export const COVERS = {
  covered: ["●", "covered"],
  partly: ["◐", "partly covered"],
  bare: ["▲", "BARE"],
  unknown: ["?", "unknown"],
  flat: ["○", "flat"],
};

const KINDS = {
  sl: "stop loss", tp: "take profit", partial_tp: "partial take profit", trailing: "trailing stop",
  breakeven: "breakeven stop", other_exit: "exit", conditional: "conditional order", close: "close",
};

// Draw what is between two moments; return how many exits are drawn and how many are there.
export function drawLadder(svg, view, colourOf) {
  const width = Math.max(280, svg.parentElement.clientWidth);
  const { from, to, position } = view;
  const x = (ms) => ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * (width - RIGHT);
  const visible = view.lives.filter((life) => (life.to ?? to) >= from && life.from <= to);
  const priced = visible.filter((life) => life.level !== null);
  priced.sort((a, b) => (a.to ?? Infinity) - (b.to ?? Infinity) || a.from - b.from);
  const lives = priced.slice(-MOST_DRAWN);
  const marks = thin(view.marks.filter(([ms]) => ms >= from && ms <= to));
  const [low, high] = scale(lives, marks, position);
  const floor = HEIGHT - AXIS - BAND - 10;
  const y = (level) => floor - ((Math.min(Math.max(level, low), high) - low) / (high - low)) * (floor - TOP);

  const parts = [patterns()];
  parts.push(...grid(low, high, y, width), ...timeAxis(from, to, x, width));
  if (marks.length) parts.push(draw("path", { class: "mark-line", d: steps(marks, x, y, to) }));
  if (position?.entry) parts.push(...level(Number(position.entry), "entry", y, width));
  for (const life of lives) parts.push(exit(life, x, y, to, colourOf(life.module)));
  parts.push(...labels(lives, x, y, to, colourOf));
  parts.push(...band(view, x, floor + 10));
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  svg.replaceChildren(...parts);
  return { drawn: lives.length, there: visible.length, outside: lives.filter((l) => l.level < low || l.level > high).length };
}

function scale(lives, marks, position) {
  const middle = marks.at(-1)?.[1] ?? Number(position?.mark || position?.entry || 0);
  const prices = [...marks.map(([, value]) => value), ...lives.map((life) => life.level)];
  if (position?.entry) prices.push(Number(position.entry));
  if (middle) prices.push(middle);
  const near = middle ? prices.filter((value) => Math.abs(value / middle - 1) <= NEAR) : prices;
  const given = near.length ? near : prices.length ? prices : [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (const value of given) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const room = (high - low) * 0.08 || Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}

function thin(marks) {
  const step = Math.ceil(marks.length / MOST_MARKS);
  return step > 1 ? marks.filter((_, place) => place % step === 0 || place === marks.length - 1) : marks;
}

function steps(marks, x, y, to) {
  const path = marks.map(([ms, value], place) =>
    place ? `H${x(ms).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(ms).toFixed(1)} ${y(value).toFixed(1)}`);
  return `${path.join("")}H${x(to).toFixed(1)}`;
}

function exit(life, x, y, to, colour) {
  const [left, right, height] = [x(life.from), x(life.to ?? to), y(life.level)];
  const classes = `life m${colour} ${life.kind}${life.to ? " over" : ""}${life.doubt ? " doubt" : ""}`;
  const group = draw("g", { class: classes });
  group.append(draw("path", { class: "line", d: `M${left.toFixed(1)} ${height.toFixed(1)}H${Math.max(right, left + 1.5).toFixed(1)}` }));
  const end = ending(life, right, height);
  if (end) group.append(end);
  group.append(draw("title", {}, story(life)));
  return group;
}

function ending(life, x, y) {
  if (!life.to) return null;
  if (life.other) return draw("path", { class: "taken", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` });
  if (life.end === "filled") return draw("circle", { class: "filled", cx: x, cy: y, r: 3 });
  return null;
}

function story(life) {
  const what = `${life.module}: ${KINDS[life.kind] ?? "exit"} at ${price(life.level)}`;
  const begun = `placed ${clock(life.from)}${life.doubt ? ", in doubt" : ""}`;
  if (!life.to) return `${what}\n${begun}, live`;
  const by = life.by ? ` by ${life.by}${life.where ? `\n${life.where}` : ""}` : "";
  return `${what}\n${begun}, ${life.end} ${clock(life.to)} after ${duration(life.to - life.from)}${by}`;
}

function labels(lives, x, y, to, colourOf) {
  const live = lives.filter((life) => !life.to).sort((a, b) => y(a.level) - y(b.level));
  let last = -Infinity;
  const room = x(to) - 6;
  return live.slice(0, MOST_LABELS).map((life) => {
    last = Math.max(y(life.level) - 5, last + 12);
    return draw("text", { class: `label m${colourOf(life.module)}`, x: room, y: last, "text-anchor": "end" },
      `${KINDS[life.kind] ?? "exit"} · ${life.module.length > 28 ? `${life.module.slice(0, 27)}…` : life.module}`);
  });
}

function level(value, word, y, width) {
  const height = y(value);
  return [
    draw("line", { class: "entry-line", x1: 0, x2: width - RIGHT, y1: height, y2: height }),
    draw("text", { class: "axis", x: 4, y: height - 4 }, `${word} ${price(value)}`),
  ];
}

function grid(low, high, y, width) {
  const step = niceStep((high - low) / 5);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const parts = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    const height = y(value);
    parts.push(draw("line", { class: "grid", x1: 0, x2: width - RIGHT, y1: height, y2: height }));
    parts.push(draw("text", { class: "axis", x: width - RIGHT + 8, y: height + 4 }, price(value.toFixed(digits))));
  }
  return parts;
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function timeAxis(from, to, x, width) {
  const rough = ((to - from) / (width - RIGHT)) * 110;
  const step = TIME_STEPS.find((each) => each >= rough) ?? TIME_STEPS.at(-1);
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const parts = [];
  for (let ms = Math.ceil((from - zone) / step) * step + zone; ms <= to; ms += step) {
    const text = step < 60_000 ? clock(ms) : clock(ms).slice(0, 5);
    parts.push(draw("line", { class: "grid", x1: x(ms), x2: x(ms), y1: TOP, y2: HEIGHT - AXIS }));
    if (x(ms) > 20) parts.push(draw("text", { class: "axis", x: x(ms), y: HEIGHT - 5, "text-anchor": "middle" }, text));
  }
  return parts;
}

function band(view, x, top) {
  const current = view.position ? [{ from: view.position.since, cover: view.position.cover, now: true }] : [];
  const spans = [...view.spans, ...current].filter((span) => (span.to ?? view.to) >= view.from);
  // What is bare is seen, however short it was.
  spans.sort((a, b) => (a.cover === "bare") - (b.cover === "bare"));
  return spans.flatMap((span) => {
    const cover = span.now && !view.isLive ? "unknown" : span.cover;
    const left = x(span.from);
    const size = Math.max(x(span.to ?? view.to) - left, cover === "bare" ? 3 : 0.5);
    const box = { x: left.toFixed(1), y: top, width: size.toFixed(1), height: BAND };
    const rect = draw("rect", { ...box, class: `band ${cover}` });
    rect.append(draw("title", {}, bandText(span, cover, view.to)));
    const hatch = { bare: "url(#hatch)", partly: "url(#stripes)", unknown: "url(#dots)" }[cover];
    const over = hatch ? [draw("rect", { ...box, fill: hatch, "pointer-events": "none" })] : [];
    return [rect, ...over];
  });
}

function bandText(span, cover, to) {
  const until = span.to ? `until ${clock(span.to)}, ${duration(span.to - span.from)}` : `for ${duration(to - span.from)} now`;
  return `${COVERS[cover][1]} from ${clock(span.from)} ${until}${span.by ? `\nby ${span.by}` : ""}`;
}

function patterns() {
  const defs = draw("defs");
  for (const [id, d] of [["hatch", "M0 6L6 0M0 0L6 6"], ["stripes", "M0 6L6 0"], ["dots", "M2 3h1"]]) {
    const pattern = draw("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(draw("path", { class: "pattern", d }));
    defs.append(pattern);
  }
  return defs;
}
