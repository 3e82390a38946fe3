// A check's history: a strip of states and one plot for each metric. Gaps are gaps; thresholds are lines.
"use strict";
(() => {
  const host = document.getElementById("history");
  if (!host) return;
  const SVG = "http://www.w3.org/2000/svg";
  // The longer the window, the less a minute matters, and the more it costs to read.
  const PACE = { "1h": 5e3, "6h": 30e3, "24h": 120e3 };
  const range = new URL(host.dataset.series, location.href).searchParams.get("range") ?? "1h";
  const plots = new Map();
  let read = 0, timer = null;

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const svg = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

  // The frame, made once -----------------------------------------------------------------------------------------------
  host.replaceChildren();
  const strip = svg("svg", { class: "strip", viewBox: "0 0 1000 30", preserveAspectRatio: "none", role: "img" });
  const hatch = (id) => {
    const pattern = svg("pattern", { id, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    pattern.append(svg("path", { d: "M0 0V8" }));
    return pattern;
  };
  const defs = svg("defs", {});
  defs.append(hatch("hatch"), hatch("hatch-lost"));
  const ends = element("div", "strip-ends");
  const legend = element("p", "legend");
  const grid = element("div", "plots");
  host.append(strip, ends, legend, grid);

  const drawStrip = (data) => {
    const span = data.to - data.from;
    const x = (at) => Math.max(0, Math.min(1000, (at - data.from) / span * 1000));
    const rect = (from, to, className, title) => {
      const made = svg("rect", { x: x(from), y: 0, width: Math.max(1.2, x(to) - x(from)), height: 30, class: className });
      const text = document.createElementNS(SVG, "title");
      text.textContent = title;
      made.append(text);
      return made;
    };
    const parts = [defs, rect(data.from, data.to, "gap", "No results")];
    for (const s of data.states) parts.push(rect(s.from, s.to, s.status, `${s.status}, ${clock(s.from)} to ${clock(s.to)}`));
    for (const l of data.lost) parts.push(rect(l.from, l.to, "lost", `${l.count} results lost: ${l.why}`));
    strip.replaceChildren(...parts);
    const covered = data.states.reduce((sum, s) => sum + s.to - s.from, 0) / span;
    strip.setAttribute("aria-label", `${data.states.length} stretches of one state, results for ${Math.round(covered * 100)} % of the time`);
    ends.replaceChildren(element("span", "", clock(data.from)), element("span", "", clock(data.to)));
    const words = [`${data.results} results`];
    if (covered < 0.995) words.push("hatched: no results");
    for (const l of data.lost) words.push(`${l.count} lost between ${clock(l.from)} and ${clock(l.to)}: ${l.why}`);
    if (data.truncated) words.push("there are more than are shown");
    legend.textContent = words.join(" · ");
  };

  // Numbers as the server writes them, shorter -------------------------------------------------------------------------
  const short = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e15 || size < 1e-4) return value.toExponential(1);
    if (size >= 100) return value.toFixed(0);
    return String(+value.toPrecision(3));
  };
  const quantity = (value, unit) => {
    if (value == null) return "";
    if (unit === "By") {
      const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
      let index = 0;
      while (Math.abs(value) >= 1024 && index < units.length - 1) { value /= 1024; index += 1; }
      return `${short(value)} ${units[index]}`;
    }
    if (unit === "s" && value !== 0 && Math.abs(value) < 1) return `${short(value * 1000)} ms`;
    if (unit === "" || unit === "1" || unit.startsWith("{")) return short(value);
    return `${short(value)} ${unit}`;
  };

  const limits = (range) => !range ? [] : [range.low === 0 && !range.inside ? null : range.low, range.high].filter((v) => v != null);

  // Thresholds are drawn under the line; those far beyond the values would flatten it, and are left to the table.
  const thresholds = (state) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.fillStyle = colour("--stale-soft");
    for (const l of state.lost) {
      const left = u.valToPos(Math.max(l.from / 1000, u.scales.x.min), "x", true);
      const right = u.valToPos(Math.min(l.to / 1000, u.scales.x.max), "x", true);
      ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
    }
    ctx.restore();
    for (const [range, name] of [[state.line.warning, "--warning"], [state.line.critical, "--critical"]]) {
      for (const value of limits(range)) {
        if (value < u.scales.y.min || value > u.scales.y.max) continue;
        const y = Math.round(u.valToPos(value, "y", true)) + 0.5;
        ctx.save();
        ctx.strokeStyle = colour(name);
        ctx.lineWidth = devicePixelRatio * 1.2;
        ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.restore();
      }
    }
  };

  const yRange = (state) => (_, low, high) => {
    if (low == null) return [0, 1];
    const width = high - low || Math.abs(high) || 1;
    for (const value of [...limits(state.line.warning), ...limits(state.line.critical)]) {
      if (value > low - 2 * width && value < high + 2 * width) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  };

  const makePlot = (line) => {
    const box = element("div", "plot");
    const head = element("div", "plot-head");
    const value = element("span", "value");
    head.append(element("h3", "", line.name), value);
    const canvas = element("div", "canvas");
    box.append(head, canvas);
    grid.append(box);
    const state = { line, lost: [], box, value, canvas, window: [0, 1] };
    const axis = () => ({ stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" });
    state.plot = new uPlot({
      width: Math.max(200, canvas.clientWidth), height: 170,
      legend: { show: false },
      cursor: { sync: { key: "history" }, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: () => state.window }, y: { range: yRange(state) } },
      axes: [{ ...axis(), space: 64, size: 28, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000)) }, { ...axis(), size: 64, values: (_, ticks) => ticks.map((tick) => quantity(tick, state.line.unit)) }],
      series: [{}, { stroke: () => colour("--accent"), width: 1.6, spanGaps: false, points: { show: (u, _s, from, to) => to - from < 40 } }],
      hooks: {
        drawClear: [(u) => u.scales.y.min != null && thresholds(state)(u)],
        setCursor: [(u) => {
          const at = u.cursor.idx;
          const shown = at == null ? null : u.data[1][at];
          value.textContent = shown == null ? state.line.last : `${quantity(shown, state.line.unit)} at ${clock(u.data[0][at] * 1000)}`;
        }],
      },
    }, [[], []], canvas);
    return state;
  };

  const draw = (data) => {
    drawStrip(data);
    const names = new Set(data.metrics.map((line) => line.name));
    for (const [name, state] of plots) {
      if (!names.has(name)) { state.plot.destroy(); state.box.remove(); plots.delete(name); }
    }
    for (const line of data.metrics) {
      if (!plots.has(line.name)) plots.set(line.name, makePlot(line));
      const state = plots.get(line.name);
      Object.assign(state, { line, lost: data.lost, window: [data.from / 1000, data.to / 1000] });
      state.value.textContent = line.last;
      state.plot.setData([line.t, line.v]);
    }
  };

  const load = async () => {
    try {
      const response = await fetch(host.dataset.series, { credentials: "same-origin" });
      if (!response.ok) throw new Error(String(response.status));
      draw(await response.json());
      read = Date.now();
    } catch {
      if (!read) legend.textContent = "The history can't be read now; the page tries again.";
      setTimeout(schedule, 5000);
    }
  };
  const schedule = () => {
    if (timer) return;
    const wait = Math.max(0, read + (PACE[range] ?? PACE["1h"]) - Date.now());
    timer = setTimeout(() => { timer = null; load(); }, wait);
  };

  load();
  document.addEventListener("picket:fresh", schedule);
  new ResizeObserver(() => {
    for (const { plot, canvas } of plots.values()) {
      const width = canvas.clientWidth;
      if (width > 0 && width !== plot.width) plot.setSize({ width, height: 170 });
    }
  }).observe(host);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const { plot } of plots.values()) plot.redraw(false, true); });
})();
