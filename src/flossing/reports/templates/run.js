const CURVES = {
  metric: [data.curves.headline?.label ?? "", ".4~g", (title) => axis(title)],
  loss: ["loss (nats)", ".3~g", logAxis],
  gradient_norm: ["gradient norm |dL/dh₀|", ".2~e", logAxis],
};
let chosen = null;

function drawCurves(moment) {
  const curves = data.curves;
  for (const [name, [title, format, kind]] of Object.entries(CURVES)) {
    if (!curves[name]) continue;
    const chance = curves.headline.chance;
    const shapes = name === "metric" && chance !== null ? [line(chance, "chance")] : [];
    if (moment) shapes.push(marker(moment.epoch));
    show(name, `${title} against training epoch`,
      ensemble(curves.epoch, curves[name], data.colours[0], `epoch %{x:.0f}: %{y:${format}}`, chosen),
      { xaxis: axis("training epoch", { range: epochs() }), yaxis: kind(title, curves[name].median), shapes,
        uirevision: "kept" });
  }
}

/* From 0 to a little behind the last epoch, so that the slider's line is seen there. */
function epochs() {
  const last = Math.max(1, data.curves.epoch.at(-1), ...data.moments.map((moment) => moment.epoch));
  return [0, 1.01 * last];
}

/* Where the slider stands, in the training curves. */
function marker(epoch) {
  return {
    type: "line", x0: epoch, x1: epoch, yref: "paper", y0: 0, y1: 1, layer: "below",
    line: { color: "#E69F00", width: 2 },
  };
}

function moveMarkers(epoch) {
  for (const name of Object.keys(CURVES)) {
    const chart = document.getElementById(name);
    if (!chart || !chart.layout) continue;
    const shapes = chart.layout.shapes.filter((shape) => shape.yref !== "paper");
    Plotly.relayout(chart, { shapes: [...shapes, marker(epoch)] });
  }
}

/* The part of the spectrum that is looked at, and the range that fits it at all moments. */
function view() {
  const count = data.moments[0].median.length;
  const shown = document.getElementById("part").value === "leading" ? Math.max(2, Math.ceil(count / 4)) : count;
  const values = data.moments.map(({ networks, median }) => [...networks, median].map((y) => y.slice(0, shown)));
  return { x: [0.5, Math.min(shown, count) + 0.5], y: padded(values) };
}

function drawSpectrum(moment, range) {
  const index = moment.median.map((_, i) => i + 1);
  const at = moment.networks.length > 1 ? "median " : "";
  const text = `epoch ${moment.epoch}, ${moment.label}`;
  const value = `${at}λ₁ = ${moment.leading}`;
  const spread = at ? `, quartiles ${moment.range[0]} to ${moment.range[1]}` : "";
  document.getElementById("moment-text").value =
    `${text}: ${value}${spread} nats per step, after ${moment.steps} flossing steps`;
  document.getElementById("moment").setAttribute("aria-valuetext", `${text}, ${value}`);
  show("spectrum", `Lyapunov spectrum at ${text}; ${value} nats per step`,
    ensemble(index, moment, data.colours[0], "λ<sub>%{x}</sub> = %{y:.3f}", chosen),
    { xaxis: axis("index i", { range: range.x }),
      yaxis: axis("exponent λᵢ (nats per step)", { range: range.y }), shapes: [line(0)] });
}

start(() => {
  const slider = document.getElementById("moment");
  const select = document.getElementById("network");
  let range = slider && view();
  const current = () => (slider ? data.moments[slider.valueAsNumber] : null);
  const drawAll = () => {
    drawCurves(current());
    if (slider) drawSpectrum(current(), range);
  };
  if (slider) {
    document.getElementById("part").addEventListener("change", () => {
      range = view();
      drawSpectrum(current(), range);
    });
    slider.addEventListener("input", () => {
      drawSpectrum(current(), range);
      moveMarkers(current().epoch);
    });
  }
  if (select) {
    select.addEventListener("change", () => {
      chosen = select.value === "" ? null : Number(select.value);
      drawAll();
    });
  }
  drawAll();
});
