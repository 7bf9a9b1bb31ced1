// Draws how often a reward model is right against how sure it is, from the rows of the table beside the plot.
"use strict";

(() => {
  if (!window.Plotly) return;
  const { axisOf, groundOf } = window.plumblineLook;

  function rowsOf(card) {
    return [...card.querySelectorAll("tr[data-confidence]")].map(({ dataset }) => (
      { x: Number(dataset.confidence), y: Number(dataset.right), low: Number(dataset.low), high: Number(dataset.high), n: Number(dataset.n) }
    ));
  }

  function traces(card, rows, colours) {
    const { calibrated, measured } = card.dataset;
    return [
      { x: [0.5, 1], y: [0.5, 1], name: calibrated, mode: "lines", hoverinfo: "skip", line: { color: colours.muted, width: 1.5, dash: "dash" } },
      {
        x: rows.map((row) => row.x), y: rows.map((row) => row.y), name: measured, mode: "lines+markers",
        text: rows.map((row) => `n = ${row.n}`), hovertemplate: "%{x:.0%} → %{y:.0%} (%{text})<extra></extra>",
        line: { color: colours.line, width: 1.5 }, marker: { color: colours.line, size: 9 },
        error_y: {
          type: "data", symmetric: false, array: rows.map((row) => row.high - row.y), arrayminus: rows.map((row) => row.y - row.low),
          color: colours.line, thickness: 1.2, width: 4,
        },
      },
    ];
  }

  function layout(card, rows, colours) {
    const lowest = Math.min(0.5, ...rows.map((row) => row.low));
    const axis = { ...axisOf(colours), tickformat: ".0%" };
    return {
      height: 300, margin: { l: 56, r: 14, t: 8, b: 44 }, ...groundOf(card, colours), hovermode: "closest",
      showlegend: true, legend: { orientation: "h", y: -0.24, x: 0 },
      xaxis: { ...axis, title: { text: card.dataset.x, standoff: 4 }, range: [0.485, 1.015] },
      yaxis: { ...axis, title: { text: card.dataset.y, standoff: 6 }, range: [Math.max(0, lowest - 0.03), 1.03] },
    };
  }

  function draw(card) {
    const rows = rowsOf(card);
    const colours = window.plumblineLook.coloursOf(card, { muted: "--muted", line: "--chart-train" });
    const plot = card.querySelector(".plot");
    plot.hidden = false;
    Plotly.react(plot, traces(card, rows, colours), layout(card, rows, colours), { responsive: true, displayModeBar: false });
    const said = rows.map((row) => `${Math.round(100 * row.x)} % → ${Math.round(100 * row.y)} %`);
    plot.setAttribute("aria-label", `${card.dataset.title}: ${said.join(", ")}`);
  }

  const drawAll = () => document.querySelectorAll(".reliability").forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.addEventListener("themechange", drawAll);
  drawAll();
})();
