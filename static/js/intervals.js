// Draws tables of numbers with their intervals: by name, as a curve over a number, and as a matrix.
"use strict";

(() => {
  if (!window.Plotly) return;
  const CONFIG = { responsive: true, displayModeBar: false };
  const { axisOf, groundOf, savePicture } = window.plumblineLook;
  const coloursOf = (card) => window.plumblineLook.coloursOf(card, { raw: "--chart-train", corrected: "--chart-test" });

  function layout(card, colours, height) {
    const axis = { ...axisOf(colours), automargin: true };
    return {
      height, margin: { l: 40, r: 14, t: 28, b: card.dataset.axis ? 52 : 40 }, ...groundOf(card, colours), hovermode: "closest",
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, xaxis: { ...axis, title: { text: card.dataset.axis || "", standoff: 6 } }, yaxis: { ...axis },
    };
  }

  // Names as categories: the axis says as much of each as it has room for, what is pointed at says all of it.
  const LONGEST_NAME = 18;
  const short = (name) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name);
  const named = (names) => ({ type: "category", tickmode: "array", tickvals: names, ticktext: names.map(short) });

  const error = (colour, values, low, high) => ({
    type: "data", symmetric: false, array: high.map((bound, i) => bound - values[i]), arrayminus: low.map((bound, i) => values[i] - bound),
    color: colour, thickness: 1.4, width: 4,
  });
  const SYMBOLS = ["circle", "diamond"];

  // Two numbers of a row stand beside each other, told apart by colour and by shape.
  function series(rows, key, name, colour, symbol, digits) {
    const has = rows.filter((row) => row[key] !== undefined);
    const of = (part) => has.map((row) => Number(row[key + part]));
    const [x, low, high] = [of(""), of("Low"), of("High")];
    return {
      x, y: has.map((row) => row.name), name, mode: "markers", type: "scatter",
      text: has.map((row, i) => `${low[i].toFixed(digits)} – ${high[i].toFixed(digits)}, n = ${row.n}`),
      hovertemplate: `%{y}: %{x:.${digits}f} (%{text})<extra></extra>`, marker: { color: colour, size: 10, symbol }, error_x: error(colour, x, low, high),
    };
  }

  function drawIntervals(card) {
    const rows = [...card.querySelectorAll("tr[data-name]")].map((row) => ({ ...row.dataset }));
    if (!rows.length) return;
    const colours = coloursOf(card);
    const keys = (card.dataset.series || "raw corrected").split(" ");
    const digits = Number(card.dataset.digits || 2);
    const look = layout(card, colours, 110 + 30 * rows.length);
    look.yaxis = { ...look.yaxis, ...named(rows.map((row) => row.name)), autorange: "reversed" };
    look.showlegend = keys.length > 1;
    const found = keys.map((key, i) => series(rows, key, card.dataset[key], [colours.raw, colours.corrected][i], SYMBOLS[i], digits));
    show(card, found, look, rows.map((row) => `${row.name} ${Number(row[keys[0]]).toFixed(digits)}`));
  }

  // What was seen is a line, what is expected goes on from it dashed; both with their intervals.
  function drawCurve(card) {
    const rows = [...card.querySelectorAll("tr[data-x]")].map((row) => ({ ...row.dataset }));
    if (!rows.length) return;
    const colours = coloursOf(card);
    const look = layout(card, colours, 300);
    look.xaxis = { ...look.xaxis, automargin: true, ...(card.dataset.whole ? { dtick: 1 } : { rangemode: "tozero" }) };
    look.yaxis = { ...look.yaxis, tickformat: card.dataset.shares ? ".0%" : "" };
    const real = rows.filter((row) => row.kind === "real");
    const expected = rows.filter((row) => row.kind === "expected");
    const found = [line(card, real, "real", colours.raw, 0)];
    if (expected.length) found.push(line(card, [...real.slice(-1), ...expected], "expected", colours.corrected, 1));
    look.legend.traceorder = "reversed";
    show(card, found.reverse(), look, rows.map((row) => `${row.x}: ${Number(row.y).toFixed(3)}`));
  }

  function line(card, rows, kind, colour, i) {
    const of = (name) => rows.map((row) => Number(row[name]));
    const [y, low, high] = [of("y"), of("low"), of("high")];
    const hasInterval = rows.every((row) => row.low !== undefined);
    const interval = (k) => (hasInterval ? ` (${digits(low[k])} – ${digits(high[k])})` : "");
    const digits = card.dataset.shares ? (value) => `${(100 * value).toFixed(1)} %` : (value) => value.toFixed(3);
    return {
      x: of("x"), y, name: card.dataset[kind], mode: "lines+markers", type: "scatter", text: rows.map((row, k) => `${digits(y[k])}${interval(k)}, n = ${row.n}`),
      hovertemplate: "%{x}: %{text}<extra></extra>", line: { color: colour, width: 2, dash: i ? "dash" : "solid" },
      marker: { color: colour, size: 9, symbol: SYMBOLS[i] },
      ...(hasInterval ? { error_y: error(colour, y, low, high) } : {}),
    };
  }

  function drawMatrix(card) {
    const rows = [...card.querySelectorAll("tr[data-name]")];
    const names = rows.map((row) => row.dataset.name);
    const cells = rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.dataset));
    const colours = coloursOf(card);
    // The names below stand upright where they are too wide, and what they need comes to the height: the cells keep theirs.
    const widest = 8 * Math.max(...names.map((name) => short(name).length));
    const upright = widest * names.length > card.clientWidth - widest - 120;
    const look = layout(card, colours, 60 + 26 * rows.length + (upright ? widest : 24));
    look.xaxis = { ...look.xaxis, ...named(names), tickangle: upright ? -90 : 0, showgrid: false };
    look.yaxis = { ...look.yaxis, ...named(names), autorange: "reversed", showgrid: false };
    const range = card.dataset.shares ? { zmin: 0, zmax: 1, texttemplate: names.length < 12 ? "%{z:.0%}" : "" } : {};
    const found = [{
      type: "heatmap", x: names, y: names, z: cells.map((row) => row.map(({ value }) => (value === undefined ? null : Number(value)))),
      text: cells.map((row) => row.map(({ said }) => said || "")), ...range,
      hovertemplate: "%{y} · %{x}: %{z:.2f}<br>%{text}<extra></extra>", hoverongaps: false, colorscale: "Cividis", xgap: 1, ygap: 1,
      colorbar: { title: { text: card.dataset.bar || card.dataset.title, side: "right" }, thickness: 10, outlinewidth: 0 },
    }];
    show(card, found, look, names);
  }

  function show(card, traces, look, said) {
    const plot = card.querySelector(".plot");
    if (!plot) return;
    plot.hidden = false;
    Plotly.react(plot, traces, look, CONFIG);
    card.querySelectorAll(".pictures").forEach((tools) => { tools.hidden = false; });
    plot.setAttribute("aria-label", `${card.dataset.title}: ${said.join(", ")}`);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".pictures [data-picture]");
    const card = button?.closest("[data-file]");
    if (card) savePicture(card, button.dataset.picture, card.dataset.file);
  });

  function drawAll() {
    document.querySelectorAll(".intervals").forEach(drawIntervals);
    document.querySelectorAll(".curve").forEach(drawCurve);
    document.querySelectorAll(".matrix").forEach(drawMatrix);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.addEventListener("themechange", drawAll);
  document.addEventListener("htmx:afterSwap", drawAll);
  drawAll();
})();
