"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const FONT = { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13 };
const COARSE = window.matchMedia("(pointer: coarse)").matches;

/* The page's colours as they are now, light or dark. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "soft", "grid", "paper"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/* Gives the charts that are drawn the colours that the page has taken on. */
function recolour() {
  const { ink, soft, grid, paper } = colours();
  document.querySelectorAll(".chart").forEach((chart) => {
    if (!chart.layout) return;
    const change = { paper_bgcolor: paper, plot_bgcolor: paper, "font.color": ink };
    Object.keys(chart.layout).filter((name) => /^[xy]axis/.test(name)).forEach((name) => { change[`${name}.gridcolor`] = grid; });
    (chart.layout.shapes ?? []).forEach((shape, i) => { if (shape.label) change[`shapes[${i}].label.font.color`] = soft; });
    Plotly.relayout(chart, change);
  });
}

/* Plotly is embedded compressed; the browser unpacks it. */
async function loadPlotly() {
  const packed = atob(document.getElementById("plotly").textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 8 }, automargin: true, gridcolor: colours().grid, linecolor: "#8c8c8c",
    showline: true, ticks: "outside", tickcolor: "#8c8c8c", zeroline: false, exponentformat: "power", ...more,
  };
}

/* Whole powers of ten, unless the values span less than two of them. */
function logAxis(title, values) {
  const known = finite(values).filter((value) => value > 0);
  const wide = Math.max(...known) > 100 * Math.min(...known);
  return axis(title, { type: "log", ...(wide ? { dtick: 1 } : {}) });
}

function line(y, text = "") {
  return {
    type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: y, y1: y, layer: "below",
    line: { color: "#767676", width: 1, dash: "dot" },
    label: { text, textposition: "end", xanchor: "right", font: { size: 11, color: colours().soft }, padding: 8 },
  };
}

function transparent(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

/* The area between the quartiles, as one polygon per stretch without gaps. */
function band(x, low, high, colour, group = "") {
  const area = { x: [], y: [] };
  const known = (i) => Number.isFinite(low[i]) && Number.isFinite(high[i]);
  for (let start = 0; start < x.length; start += 1) {
    if (!known(start)) continue;
    let end = start;
    while (end + 1 < x.length && known(end + 1)) end += 1;
    const back = x.slice(start, end + 1).reverse();
    area.x.push(...x.slice(start, end + 1), ...back, null);
    area.y.push(...high.slice(start, end + 1), ...low.slice(start, end + 1).reverse(), null);
    start = end;
  }
  return {
    ...area, mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: transparent(colour, 0.2),
    hoverinfo: "skip", showlegend: false, legendgroup: group,
  };
}

/* Quartiles shaded, single networks thin, median thick, on top the chosen network (a number or null). */
function ensemble(x, curve, colour, hover, chosen = null) {
  const mode = x.length === 1 ? "markers" : "lines";
  const single = curve.networks.map((y, i) => ({
    x, y, mode, showlegend: false, name: `network ${i + 1}`,
    line: { color: i === chosen ? "#D55E00" : transparent(colour, 0.6), width: i === chosen ? 2.5 : 0.8 },
    hovertemplate: `network ${i + 1}<br>${hover}<extra></extra>`,
  }));
  const median = {
    x, y: curve.median, mode, line: { color: colour, width: 3 }, showlegend: false,
    hovertemplate: `median<br>${hover}<extra></extra>`,
  };
  const others = single.filter((_, i) => i !== chosen);
  return [band(x, curve.low, curve.high, colour), ...others, median, ...(chosen === null ? [] : [single[chosen]])];
}

function show(id, label, traces, layout) {
  const element = document.getElementById(id);
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", label);
  const { ink, paper } = colours();
  const base = {
    font: { ...FONT, color: ink }, margin: { l: 60, r: 12, t: 12, b: 44 }, hovermode: "closest", showlegend: false,
    dragmode: COARSE ? false : "zoom", paper_bgcolor: paper, plot_bgcolor: paper,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
  };
  return Plotly.react(element, traces, { ...base, ...layout }, { displayModeBar: false, responsive: true });
}

function finite(values) {
  return values.flat(3).filter((value) => Number.isFinite(value));
}

function padded(values, share = 0.05) {
  const known = finite(values);
  const [low, high] = [known.reduce((a, b) => Math.min(a, b), 0), known.reduce((a, b) => Math.max(a, b), 0)];
  const room = (high - low || 1) * share;
  return [low - room, high + room];
}

/* On paper, all is light, charts take the width of the page and closed details are opened. */
function preparePrint() {
  const closed = [];
  addEventListener("beforeprint", () => {
    closed.push(...document.querySelectorAll("details:not([open])"));
    closed.forEach((element) => { element.open = true; });
    document.documentElement.classList.add("light");
    recolour();
    document.querySelectorAll(".chart").forEach((chart) => chart.layout && Plotly.relayout(chart, { width: 660, height: 260 }));
  });
  addEventListener("afterprint", () => {
    closed.splice(0).forEach((element) => { element.open = false; });
    document.documentElement.classList.remove("light");
    recolour();
    document.querySelectorAll(".chart").forEach((chart) => {
      if (chart.layout) Plotly.relayout(chart, { width: null, height: null, autosize: true });
    });
  });
}

async function start(draw) {
  try {
    await loadPlotly();
    await draw();
    preparePrint();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    const message = document.getElementById("charts-message");
    message.hidden = false;
    message.textContent = `The charts could not be drawn (${error.message}); they need a browser of 2023 or later. `
      + "The figures in figures/ show the same.";
  }
}
