// Draws the curves of a run and keeps them up to date while it goes on.
"use strict";

(() => {
  const section = document.getElementById("curves");
  if (!section || !window.Plotly) return;

  const url = section.dataset.progressUrl;
  const PAUSE = 2000;
  const PAUSE_WHEN_WAITING = 6000;
  const LONGEST_PAUSE = 60000;
  const figures = [...section.querySelectorAll("figure[data-metric]")];
  const words = { train: section.dataset.train, mean: section.dataset.mean, test: section.dataset.test, step: section.dataset.step };
  const state = { offset: 0, file: "", over: false, timer: 0, failures: 0, asking: false, lastStep: 0 };
  let curves = {};

  function forget() {
    state.offset = 0;
    state.lastStep = 0;
    curves = Object.fromEntries(
      figures.map((figure) => [figure.dataset.metric, { train: { x: [], y: [] }, test: { x: [], y: [] } }]),
    );
  }

  function take(row) {
    const isTest = row.kind === "eval";
    if (row.kind !== "step" && !isTest) return;
    if (typeof row.step === "number") state.lastStep = row.step;
    const values = { ...row.metrics, tokens_per_second: row.tokens_per_second };
    for (const [metric, curve] of Object.entries(curves)) {
      if (!Number.isFinite(values[metric])) continue;
      const line = isTest ? curve.test : curve.train;
      line.x.push(state.lastStep);
      line.y.push(values[metric]);
    }
  }

  // Single steps jump about; the mean over a twentieth of the run shows where they go. Both are drawn.
  function runningMean(values) {
    const window = Math.max(5, Math.round(values.length / 20));
    let sum = 0;
    return values.map((value, index) => {
      sum += value;
      if (index >= window) sum -= values[index - window];
      return sum / Math.min(index + 1, window);
    });
  }

  function traces(curve, colours) {
    const noisy = curve.train.x.length >= 10;
    const found = [];
    if (curve.train.x.length) {
      found.push({
        ...curve.train, name: words.train, mode: noisy ? "lines" : "lines+markers", opacity: noisy ? 0.4 : 1,
        line: { color: colours.train, width: noisy ? 1 : 2 }, marker: { size: 6 },
      });
    }
    if (noisy) {
      found.push({
        x: curve.train.x, y: runningMean(curve.train.y), name: words.mean, mode: "lines",
        line: { color: colours.train, width: 2.5 },
      });
    }
    if (curve.test.x.length) {
      found.push({
        ...curve.test, name: words.test, mode: "lines+markers",
        line: { color: colours.test, width: 2, dash: "dot" }, marker: { symbol: "diamond", size: 9 },
      });
    }
    return found;
  }

  // A custom property is read as it was written; a real property is read as the colour it came to in this theme.
  function colour(name, inside) {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    inside.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function coloursOf(figure) {
    const names = { text: "--text", grid: "--line", surface: "--surface", train: "--chart-train", test: "--chart-test" };
    return Object.fromEntries(Object.entries(names).map(([use, name]) => [use, colour(name, figure)]));
  }

  function layout(figure, colours) {
    const axis = { gridcolor: colours.grid, zerolinecolor: colours.grid, linecolor: colours.grid, fixedrange: true };
    const family = getComputedStyle(figure).fontFamily;
    return {
      height: 260, margin: { l: 52, r: 12, t: 8, b: 40 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: colours.text, family, size: 12 }, hovermode: "x unified",
      hoverlabel: { bgcolor: colours.surface, bordercolor: colours.grid, font: { color: colours.text } },
      showlegend: true, legend: { orientation: "h", y: -0.22, x: 0 },
      xaxis: { ...axis, title: { text: words.step, standoff: 4 }, rangemode: "tozero" },
      yaxis: { ...axis, automargin: true, rangemode: figure.dataset.metric === "tokens_per_second" ? "tozero" : "normal" },
    };
  }

  // All figures are shown before the first is drawn: how wide each is depends on how many stand in the row.
  function draw() {
    const drawn = new Map(figures.map((figure) => [figure, traces(curves[figure.dataset.metric], coloursOf(figure))]));
    for (const [figure, found] of drawn) figure.hidden = !found.length;
    for (const [figure, found] of drawn) {
      if (found.length) drawOne(figure, found);
    }
  }

  function drawOne(figure, found) {
    const plot = figure.querySelector(".plot");
    Plotly.react(plot, found, layout(figure, coloursOf(figure)), { responsive: true, displayModeBar: false });
    const values = found[found.length - 1].y;
    plot.setAttribute("aria-label", `${figure.dataset.title}: ${Number(values[values.length - 1].toPrecision(4))}`);
  }

  async function ask() {
    if (state.asking || document.hidden) return;
    state.asking = true;
    let pause = LONGEST_PAUSE;
    try {
      const answer = await fetch(`${url}?after=${state.offset}&file=${state.file}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401 || answer.status === 403 || answer.status === 404 || answer.redirected) return;
      if (!answer.ok) throw new Error(String(answer.status));
      pause = update(await answer.json());
      state.failures = 0;
    } catch {
      // The server may be restarting: ask again, ever less often.
      state.failures += 1;
      pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** state.failures);
    } finally {
      state.asking = false;
    }
    if (pause !== null) state.timer = setTimeout(ask, pause);
  }

  // Returns the milliseconds until the next question; null when there is nothing more to come.
  function update(answer) {
    if (answer.restarted) forget();
    state.offset = answer.offset;
    state.file = answer.file;
    answer.rows.forEach(take);
    if (answer.rows.length || answer.restarted) draw();
    if (answer.more) return 0;
    state.over = answer.over;
    section.dataset.over = String(answer.over);
    if (answer.over) return null;
    return answer.state === "running" || answer.state === "cancelling" ? PAUSE : PAUSE_WHEN_WAITING;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden || state.over) return;
    clearTimeout(state.timer);
    ask();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("themechange", draw);
  forget();
  ask();
})();
