// Draws quality against cost from the rows of a bench's table; which cost, the reader chooses.
"use strict";

(() => {
  const card = document.querySelector(".bench-plot");
  if (!window.Plotly || !card) return;
  const { axisOf, groundOf, savePicture, coloursOf } = window.plumblineLook;
  const choice = card.querySelector("#cost");
  const plot = card.querySelector(".plot");
  // data-weights-bytes is dataset.weightsBytes.
  const key = () => choice.value.replace(/_(\w)/g, (_whole, letter) => letter.toUpperCase());

  function rowsOf() {
    const rows = [...document.querySelectorAll("#cells tr[data-name]")].map(({ dataset }) => (
      { name: dataset.name, x: Number(dataset[key()]), y: Number(dataset.y), low: Number(dataset.low), high: Number(dataset.high) }
    ));
    return rows.filter((row) => Number.isFinite(row.x)).sort((a, b) => a.x - b.x);
  }

  // Without what a method's name explains in brackets or after a comma, in either script: the table has all of it.
  const short = (name) => name.replace(/\s*[(\uFF08].*$/, "").split(/[,\uFF0C]/)[0] || name;
  const isNarrow = () => card.clientWidth < 640;
  const COLOURS = 8;
  const SYMBOLS = ["circle", "diamond"];

  // Each method has a colour and a shape, named in the legend: points of equal accuracy lie too close for names.
  function traces(rows, colours) {
    return rows.map((row, index) => {
      const colour = colours[`c${(index % COLOURS) + 1}`];
      return {
        x: [row.x], y: [row.y], name: short(row.name), hovertext: [row.name], type: "scatter", mode: "markers", cliponaxis: false,
        customdata: [[row.low, row.high]],
        hovertemplate: "%{hovertext}: %{y:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%}), %{x:.4~s}<extra></extra>",
        marker: { color: colour, size: 10, symbol: SYMBOLS[Math.floor(index / COLOURS) % SYMBOLS.length] },
        error_y: { type: "data", symmetric: false, array: [row.high - row.y], arrayminus: [row.y - row.low], color: colour, thickness: 1.1, width: 3 },
      };
    });
  }

  function layout(rows, colours) {
    const axis = axisOf(colours);
    const wide = rows.length > 1 && rows[0].x > 0 && rows[rows.length - 1].x / rows[0].x > 20;
    const label = choice.selectedOptions[0].dataset.label;
    return {
      height: isNarrow() ? 520 : 400, margin: { l: 58, r: 30, t: 14, b: 52 }, ...groundOf(card, colours), hovermode: "closest",
      showlegend: true,
      legend: isNarrow() ? { orientation: "h", y: -0.22, x: 0 } : { x: 1.02, y: 1 },
      xaxis: { ...axis, type: wide ? "log" : "linear", title: { text: label, standoff: 8 }, automargin: true, ...(wide ? { dtick: 1 } : {}) },
      yaxis: { ...axis, title: { text: card.dataset.axis, standoff: 6 }, tickformat: ".0%" },
    };
  }

  function draw() {
    const rows = rowsOf();
    const names = Array.from({ length: COLOURS }, (_one, index) => [`c${index + 1}`, `--chart-${index + 1}`]);
    const colours = coloursOf(card, Object.fromEntries(names));
    plot.hidden = false;
    Plotly.react(plot, traces(rows, colours), layout(rows, colours), { responsive: true, displayModeBar: false });
    const said = rows.map((row) => `${row.name} ${Math.round(100 * row.y)} %`);
    plot.setAttribute("aria-label", `${card.dataset.title}, ${choice.selectedOptions[0].text}: ${said.join(", ")}`);
  }

  card.addEventListener("click", (event) => {
    const button = event.target.closest("[data-picture]");
    if (button) savePicture(card, button.dataset.picture, card.dataset.file);
  });
  choice.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("themechange", draw);
  card.querySelectorAll("[hidden]").forEach((part) => { part.hidden = false; });
  draw();
})();
