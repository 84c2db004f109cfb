"use strict";
// Draws the figures of the page where and when they are needed, in the colours of the moment.
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const hidden = {module: new Set(), kind: new Set()};
  // A browser keeps about 16 contexts of WebGL, and a figure takes three.
  const MOST_GL = 4;
  const drawnGl = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // What is the same for all figures: fonts, grids and margins.
  function dressed(layout) {
    const ink = colour("--ink"), soft = colour("--soft"), grid = colour("--grid"), card = colour("--card");
    const narrow = innerWidth < 640;
    const full = Object.assign({
      margin: {l: narrow ? 48 : 64, r: narrow ? 8 : 16, t: 26, b: 36}, bargap: 0.1, barcornerradius: 2,
    }, layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
      font: {family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 12, color: ink},
      hoverlabel: {align: "left", bgcolor: card, bordercolor: soft, font: {color: ink, size: 12}, namelength: -1},
      dragmode: coarse ? false : "zoom",
      modebar: {bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink},
    });
    for (const name of Object.keys(full).filter((key) => /^[xy]axis/.test(key))) {
      full[name] = Object.assign({automargin: true, zeroline: false}, full[name], {
        gridcolor: grid, linecolor: grid, tickcolor: grid, tickfont: {color: soft},
      });
      if (full[name].title && narrow && name[0] === "y") full[name].title = undefined;
      if (full[name].title) full[name].title = {text: full[name].title.text, font: {color: soft, size: 12}, standoff: 8};
    }
    if (full.legend) full.legend = Object.assign({}, full.legend, {font: {size: 12, color: ink}});
    return full;
  }

  const KINDS = {f8: Float64Array, i4: Int32Array, u1: Uint8Array};
  function unpacked({dtype, bdata}) {
    const text = atob(bdata), bytes = new Uint8Array(text.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
    return new KINDS[dtype](bytes.buffer);
  }

  // Times are on the clock of the report already.
  const clock = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, -1);

  // The texts of the exits: their words are kept once, and put together here.
  function addTexts(trace) {
    const meta = trace.meta, x = unpacked(trace.x), y = unpacked(trace.y), ended = unpacked(meta.ended);
    const placed = meta.placed && unpacked(meta.placed);
    const price = (value) => Number.isNaN(value) ? "" : " at " + value.toLocaleString("en-US", {maximumFractionDigits: 8});
    trace.text = new Array(x.length);
    for (let exit = 0; exit < ended.length; exit++) {
      const at = exit * meta.points, name = meta.names[exit];
      const text = placed
        ? `${meta.words[placed[exit]]}<br>${price(y[at]).trim()}, order ${name}<br>placed ${clock(x[at])}` +
          `<br>until ${clock(x[at + 2])}: ${meta.words[ended[exit]]}`
        : `<b>${meta.title}</b>${price(y[at])}, order ${name}<br>${clock(x[at])}<br>${meta.words[ended[exit]]}`;
      for (let point = 0; point < meta.points; point++) trace.text[at + point] = text;
    }
  }

  // The text of a span of cover stands at each of its points, and at the mark where a bare one begins.
  function addSpanTexts(trace, before) {
    const {points, texts = before.meta.texts} = trace.meta;
    trace.text = texts.flatMap((text) => new Array(points).fill(text));
  }

  const isShown = ({meta}) =>
    !meta || meta.module === undefined || !(hidden.module.has(meta.module) || hidden.kind.has(meta.kind));

  function figureOf(plot) {
    const figure = JSON.parse(plot.nextElementSibling.textContent);
    for (const [at, trace] of figure.data.entries()) {
      if (trace.meta && trace.meta.ended) addTexts(trace);
      if (trace.meta && ["cover", "bare"].includes(trace.meta.role)) addSpanTexts(trace, figure.data[at - 1]);
      if (!isShown(trace)) trace.visible = false;
      if (trace.marker && trace.marker.pattern) trace.marker.pattern.fgcolor = colour("--card");
    }
    return figure;
  }

  function draw(plot) {
    if (plot.classList.contains("drawn")) return;
    plot.classList.add("drawn");
    if (plot.dataset.gl) {
      drawnGl.push(plot);
      if (drawnGl.length > MOST_GL) erase(drawnGl.shift());
    }
    const figure = figureOf(plot);
    plot.layoutOfItsOwn = figure.layout;
    Plotly.newPlot(plot, figure.data, dressed(figure.layout), {
      displaylogo: false, responsive: true, displayModeBar: coarse ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: {filename: "exits", scale: 2},
    });
  }

  function erase(plot) {
    for (const canvas of plot.querySelectorAll("canvas")) {
      const context = canvas.getContext("webgl");
      const loss = context && context.getExtension("WEBGL_lose_context");
      if (loss) loss.loseContext();
    }
    Plotly.purge(plot);
    plot.classList.remove("drawn");
  }

  function redress() {
    for (const plot of plots.filter((each) => each.classList.contains("drawn"))) {
      Plotly.relayout(plot, dressed(plot.layoutOfItsOwn));
    }
    paintSwatches();
  }

  // The legend: a button shows and hides the exits of a module, or of a kind, in all figures.
  function toggle(button) {
    const {role, value} = button.dataset, set = hidden[role], hide = !set.has(value);
    set[hide ? "add" : "delete"](value);
    button.setAttribute("aria-pressed", String(!hide));
    for (const plot of plots.filter((each) => each.classList.contains("drawn") && each.data)) {
      const changed = plot.data.map((trace, at) => at).filter((at) => {
        const {meta} = plot.data[at];
        return meta && meta[role] === value;
      });
      if (changed.length) Plotly.restyle(plot, {visible: changed.map((at) => isShown(plot.data[at]))}, changed);
    }
  }

  const DASHES = {solid: [], dash: [9, 6], dot: [2, 5], dashdot: [9, 5, 2, 5], longdash: [16, 6], longdashdot: [16, 5, 2, 5]};
  const SHAPES = {
    circle: (c) => c.arc(10, 12, 7, 0, 7), square: (c) => c.rect(4, 6, 12, 12),
    diamond: (c) => corners(c, [[10, 3], [18, 12], [10, 21], [2, 12]]),
    "triangle-up": (c) => corners(c, [[10, 4], [18, 19], [2, 19]]),
    "triangle-down": (c) => corners(c, [[10, 20], [18, 5], [2, 5]]),
    pentagon: (c) => regular(c, 5), hexagon: (c) => regular(c, 6), star: (c) => star(c),
  };
  const corners = (c, points) => { points.forEach(([x, y], at) => at ? c.lineTo(x, y) : c.moveTo(x, y)); c.closePath(); };
  const around = (turn, size) => [10 + size * Math.sin(turn), 12 - size * Math.cos(turn)];
  const regular = (c, count) => corners(c, Array.from({length: count}, (_, at) => around(2 * Math.PI * at / count, 8)));
  const star = (c) => corners(c, Array.from({length: 10}, (_, at) => around(Math.PI * at / 5, at % 2 ? 4 : 9)));

  function paintSwatches() {
    for (const canvas of document.querySelectorAll(".swatch")) {
      const c = canvas.getContext("2d"), {colour: own, symbol, dash} = canvas.dataset;
      c.clearRect(0, 0, canvas.width, canvas.height);
      c.strokeStyle = c.fillStyle = own || colour("--ink");
      c.lineWidth = 4;
      c.setLineDash(DASHES[dash] || []);
      c.beginPath(); c.moveTo(symbol ? 10 : 2, 12); c.lineTo(54, 12); c.stroke();
      if (symbol) { c.beginPath(); SHAPES[symbol](c); c.fill(); }
    }
  }

  const isHeavy = (plot) => Boolean(plot.dataset.gl);
  function drawAll() { plots.filter((plot) => !isHeavy(plot)).forEach(draw); }

  // Heavy figures are drawn when they come into view, the others one by one as soon as there is time.
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, {rootMargin: "300px"});
  plots.forEach((plot) => observer.observe(plot));
  const idle = self.requestIdleCallback || ((work) => setTimeout(work, 20));
  (function next() {
    const plot = plots.find((each) => !isHeavy(each) && !each.classList.contains("drawn"));
    if (plot) { draw(plot); idle(next); } else document.documentElement.dataset.drawn = "all";
  })();

  document.querySelectorAll(".legend button").forEach((button) => {
    button.addEventListener("click", () => toggle(button));
  });
  paintSwatches();
  dark.addEventListener("change", () => { drawAll(); recolourPatterns(); redress(); });
  // On paper all is light, and as wide as a sheet.
  function setPrinting(isPrinting) {
    document.documentElement.classList.toggle("printing", isPrinting);
    drawAll();
    recolourPatterns();
    paintSwatches();
    for (const plot of plots.filter((each) => each.data)) {
      const size = isPrinting ? {width: 700, autosize: false} : {width: null, autosize: true};
      Plotly.relayout(plot, Object.assign(dressed(plot.layoutOfItsOwn), size));
    }
  }
  function recolourPatterns() {
    for (const plot of plots) {
      if (plot.data && plot.data.some(({marker}) => marker && marker.pattern)) {
        Plotly.restyle(plot, {"marker.pattern.fgcolor": colour("--card")});
      }
    }
  }
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((each) => {
      each.dataset.was = each.open ? "open" : "";
      each.open = true;
    });
    setPrinting(true);
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll("details").forEach((each) => { each.open = each.dataset.was === "open"; });
    setPrinting(false);
  });
})();
