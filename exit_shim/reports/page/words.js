// Numbers and times as people read them, and elements made of text alone.

const DAY_MS = 86_400_000;

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  if (seconds % 3600 === 0 && ms <= 2 * DAY_MS) return `${seconds / 3600} h`;
  if (ms < DAY_MS) return `${Math.floor(seconds / 3600)} h ${String(Math.floor(seconds / 60) % 60).padStart(2, "0")} min`;
  return `${Math.floor(ms / DAY_MS)} d ${Math.floor(seconds / 3600) % 24} h`;
}

// Without seconds, for what need not tick.
export function roughly(ms) {
  const minutes = Math.floor(ms / 60_000);
  return minutes < 1 ? `${Math.max(0, Math.floor(ms / 1000))} s` : minutes < 60 ? `${minutes} min` : duration(ms);
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

export function moment(ms) {
  const date = new Date(ms);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock(ms) : `${date.toLocaleDateString()} ${clock(ms)}`;
}

export function plural(number, noun, nouns = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : nouns}`;
}

// A price as the exchange writes it, without the noise of its trailing zeros.
export function price(text) {
  if (text === null || text === undefined || text === "") return "";
  const [whole, part = ""] = String(text).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009");
  const rest = part.replace(/0+$/, "");
  return rest ? `${grouped}.${rest}` : grouped;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}
