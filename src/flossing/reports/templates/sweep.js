const CURVES = {
  metric: [data.headline.label, (title) => axis(title)],
  loss: ["loss (nats)", logAxis],
  gradient_norm: ["gradient norm |dL/dh₀|", logAxis],
};

/* Where the values of a field stand: as they are, logarithms, or their number. */
function places(field) {
  if (!field.numeric) return field.values.map((_, i) => i);
  return field.log ? field.values.map(Math.log10) : field.values;
}

function spacing(place) {
  const sorted = [...place].sort((a, b) => a - b);
  const gaps = sorted.slice(1).map((value, i) => value - sorted[i]).filter((gap) => gap > 0);
  return gaps.length ? Math.min(...gaps) : 1;
}

function labelled(text, options, id, change) {
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.id = id;
  options.forEach(([value, name]) => select.add(new Option(name, value)));
  select.addEventListener("change", change);
  label.append(`${text} `, select);
  return label;
}

/* Selects for the coloured field and for the value of every field that is neither on the axis nor coloured. */
class Slice {
  constructor(container, redraw) {
    this.container = container;
    this.redraw = redraw;
    this.box = document.createElement("span");
    this.box.className = "controls";
    container.append(this.box);
    this.colour = null;
    this.fixed = {};
  }

  offer(x) {
    const others = data.fields.map((_, i) => i).filter((i) => i !== x);
    if (!others.includes(this.colour)) {
      this.colour = others.find((i) => !data.fields[i].numeric) ?? others[0] ?? null;
    }
    const focused = document.activeElement && document.activeElement.id;
    const name = this.container.id;
    this.box.replaceChildren();
    if (this.colour === null) return;
    const colour = labelled("colour", others.map((i) => [i, data.fields[i].name]), `${name}-colour`, (event) => {
      this.colour = Number(event.target.value);
      this.redraw();
    });
    colour.querySelector("select").value = this.colour;
    this.box.append(colour);
    for (const i of data.listed ? [] : others.filter((other) => other !== this.colour)) {
      this.fixed[i] ??= 0;
      const values = data.fields[i].values.map((value, k) => [k, value]);
      const part = labelled(`${data.fields[i].name} =`, values, `${name}-${i}`, (event) => {
        this.fixed[i] = Number(event.target.value);
        this.redraw();
      });
      part.querySelector("select").value = this.fixed[i];
      this.box.append(part);
    }
    if (focused) document.getElementById(focused)?.focus();
  }

  /* Groups of settings, one per value of the coloured field. */
  groups(x) {
    const fits = (setting) => data.fields.every(
      (_, i) => data.listed || i === x || i === this.colour || setting.index[i] === this.fixed[i]);
    const settings = data.settings.filter(fits);
    if (this.colour === null) return [{ name: "", colour: data.colours[0], settings }];
    return data.fields[this.colour].values.map((value, k) => ({
      name: `${data.fields[this.colour].name} = ${value}`,
      colour: data.colours[k % data.colours.length],
      settings: settings.filter((setting) => setting.index[this.colour] === k),
    }));
  }
}

function drawResults(slice) {
  const metric = document.getElementById("metric").value;
  const x = Number(document.getElementById("field").value);
  slice.offer(x);
  const field = data.fields[x];
  const place = places(field);
  const gap = spacing(place);
  const groups = slice.groups(x);
  const all = data.settings.map((setting) => setting.networks[metric]);
  const known = finite(all);
  const top = 1.1 * Math.max(0, ...known) || 1;
  const never = all.flat().includes("never");
  const traces = [];
  groups.forEach((group, k) => {
    const at = group.settings.map((setting) => place[setting.index[x]]);
    const part = (i) => group.settings.map((setting) => setting.quartiles[metric][i]);
    const late = (value, i) => value ?? (part(0)[i] === null ? null : top);
    if (!data.listed) traces.push(band(at, part(0), part(2).map(late), group.colour, group.name));
    traces.push({
      x: at, y: part(1), mode: data.listed ? "markers" : "lines+markers", name: group.name || "median", legendgroup: group.name,
      line: { color: group.colour, width: 2.5 }, marker: { size: 8, color: group.colour },
      hovertemplate: `median, ${group.name}<br>%{y:.4~g}<extra></extra>`,
    });
    const points = { x: [], y: [], text: [], symbol: [] };
    group.settings.forEach((setting) => setting.networks[metric].forEach((value, i, values) => {
      if (value === null) return;
      const across = values.length > 1 ? (2 * i) / (values.length - 1) - 1 : 0;
      points.x.push(place[setting.index[x]] + gap * (0.06 * (k - (groups.length - 1) / 2) + 0.025 * across));
      points.y.push(value === "never" ? top : value);
      points.symbol.push(value === "never" ? "x-thin-open" : "circle");
      points.text.push(`network ${i + 1}, ${setting.label}<br>${value === "never" ? "never" : value}`);
    }));
    traces.push({
      x: points.x, y: points.y, text: points.text, mode: "markers", showlegend: false, legendgroup: group.name,
      marker: { size: 6, color: group.colour, opacity: 0.6, symbol: points.symbol, line: { width: 1.2, color: group.colour } },
      hovertemplate: "%{text}<extra></extra>",
    });
  });
  const large = metric === "gradient_first" && known.length && Math.max(...known) > 30 * Math.min(...known);
  const label = data.metrics[metric];
  const yaxis = large ? logAxis(label, known) : axis(label);
  const chance = data.headline.chance === null ? [] : [line(data.headline.chance, "chance")];
  const shapes = metric === "test" ? chance : metric === "leading" ? [line(0)] : [];
  if (never) shapes.push(line(top, "never"));
  show("results", `${label} against ${field.name}; the table below has the numbers`, traces, {
    xaxis: axis(field.name, { tickvals: place, ticktext: field.values.map(String) }),
    yaxis, shapes, showlegend: groups.length > 1,
  });
}

function drawCurves(slice) {
  const name = document.getElementById("curve").value;
  slice.offer(null);
  const groups = slice.groups(null);
  const traces = [];
  groups.forEach((group) => group.settings.forEach((setting) => {
    const curve = (setting.curves || {})[name];
    if (!curve) return;
    traces.push(band(data.epoch, curve.low, curve.high, group.colour, group.name));
    traces.push({
      x: data.epoch, y: curve.median, mode: "lines", name: group.name || "median", legendgroup: group.name,
      line: { color: group.colour, width: 2.5 },
      hovertemplate: `${setting.label}<br>epoch %{x:.0f}: %{y:.4~g}<extra></extra>`,
    });
  }));
  const [title, kind] = CURVES[name];
  const medians = traces.filter((trace) => trace.name).map((trace) => trace.y);
  show("curves", `${title} against training epoch, one line per setting`, traces, {
    xaxis: axis("training epoch", { rangemode: "tozero" }), yaxis: kind(title, medians),
    shapes: name === "metric" && data.headline.chance !== null ? [line(data.headline.chance, "chance")] : [],
    showlegend: groups.length > 1,
  });
}

function drawSpectrum() {
  const slider = document.getElementById("moment");
  const setting = data.settings[Number(document.getElementById("setting").value)];
  const moment = data.moments[slider.valueAsNumber];
  const found = setting.spectra[moment];
  const value = found ? `median λ₁ = ${found.leading} nats per step` : "not measured";
  slider.setAttribute("aria-valuetext", `${moment}, ${value}`);
  document.getElementById("moment-text").value = `${moment}: ${value} (${setting.label})`;
  const every = Object.values(setting.spectra);
  const range = padded(every.map((part) => [part.networks, part.median]));
  const index = found ? found.median.map((_, i) => i + 1) : [];
  show("spectrum", `Lyapunov spectrum, ${moment}, ${setting.label}; ${value}`,
    found ? ensemble(index, found, data.colours[0], "λ<sub>%{x}</sub> = %{y:.3f}") : [],
    { xaxis: axis("index i", found ? { range: [0.5, index.length + 0.5] } : {}),
      yaxis: axis("exponent λᵢ (nats per step)", { range }), shapes: [line(0)] });
}

function listen(ids, draw) {
  ids.forEach((id) => document.getElementById(id).addEventListener("input", draw));
}

start(() => {
  if (document.getElementById("results")) {
    const slice = new Slice(document.getElementById("field-controls"), () => drawResults(slice));
    listen(["metric", "field"], () => drawResults(slice));
    drawResults(slice);
  }
  if (document.getElementById("curves")) {
    const slice = new Slice(document.getElementById("curves-controls"), () => drawCurves(slice));
    listen(["curve"], () => drawCurves(slice));
    drawCurves(slice);
  }
  if (document.getElementById("spectrum")) {
    listen(["setting", "moment"], drawSpectrum);
    drawSpectrum();
  }
});
