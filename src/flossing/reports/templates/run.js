const CURVES = {
  accuracy: ["accuracy (%)", ".1f", axis("accuracy (%)", { rangemode: "normal" })],
  loss: ["loss (nats)", ".3~g", logAxis("loss (nats)")],
  gradient_norm: ["gradient norm", ".2~e", logAxis("gradient norm |dL/dh₀|")],
};
let chosen = null;

function drawCurves(moment) {
  const curves = data.curves;
  for (const [name, [word, format, yaxis]] of Object.entries(CURVES)) {
    if (!curves[name]) continue;
    const shapes = name === "accuracy" ? [line(50, "chance")] : [];
    if (moment) shapes.push(marker(moment.epoch));
    show(name, `${word} against training epoch`,
      ensemble(curves.epoch, curves[name], data.colours[0], `epoch %{x:.0f}: %{y:${format}}`, chosen),
      { xaxis: axis("training epoch", { rangemode: "tozero" }), yaxis, shapes, uirevision: "kept" });
  }
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
    { xaxis: axis("index i", { range: [0.5, index.length + 0.5] }),
      yaxis: axis("Lyapunov exponent λᵢ (nats per step)", { range }), shapes: [line(0)] });
}

start(() => {
  const slider = document.getElementById("moment");
  const select = document.getElementById("network");
  const range = padded(data.moments.map((moment) => [moment.networks, moment.median]));
  const current = () => (slider ? data.moments[slider.valueAsNumber] : null);
  const drawAll = () => {
    drawCurves(current());
    if (slider) drawSpectrum(current(), range);
  };
  if (slider) {
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
