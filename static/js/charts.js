// Reads what runs have written, draws their curves and keeps them up to date while a run goes on.
"use strict";

(() => {
  const section = document.getElementById("curves");
  if (!section || !window.Plotly) return;

  const { GIB, traces, coloursOf, colourOfLine, layout, download } = window.plumblineDrawing;
  const PAUSE = 2000;
  const PAUSE_WHEN_WAITING = 6000;
  const LONGEST_PAUSE = 60000;
  const figures = [...section.querySelectorAll("figure[data-metric]")];
  const words = { train: section.dataset.train, mean: section.dataset.mean, test: section.dataset.test, step: section.dataset.step };
  // Folded away: what is in it has no width, and is drawn once it is opened.
  const details = section.querySelector("[data-details]");
  const smoothing = document.getElementById("smoothing");

  let revision = 0;

  const empty = () => ({ x: [], y: [] });

  // One run: how far its file has been read, and its numbers by figure. Two figures may show the same metric, one over
  // the steps and one against another metric.
  class Line {
    constructor({ url, name, line }) {
      Object.assign(this, { url, name, short: `#${line}`, failures: 0, asking: false, over: false, timer: 0 });
      this.forget();
    }

    forget() {
      Object.assign(this, { offset: 0, file: "", lastStep: 0 });
      this.curves = new Map(figures.map((figure) => [figure, { train: empty(), test: empty(), second: empty(), steps: [] }]));
    }

    take(row) {
      const isTest = row.kind === "eval";
      if (row.kind !== "step" && !isTest) return;
      if (typeof row.step === "number") this.lastStep = row.step;
      const values = { ...row.metrics, tokens_per_second: row.tokens_per_second };
      for (const name of ["memory_bytes", "gpu_memory_bytes"]) values[name] = Number.isFinite(row[name]) ? row[name] / GIB : undefined;
      for (const [figure, curve] of this.curves) this.takeOne(figure.dataset, curve, values, isTest);
    }

    takeOne({ metric, against, second }, curve, values, isTest) {
      const x = against ? values[against] : this.lastStep;
      if (second && Number.isFinite(values[second])) put(curve.second, x, values[second]);
      if (!Number.isFinite(values[metric]) || !Number.isFinite(x) || (against && isTest)) return;
      put(isTest ? curve.test : curve.train, x, values[metric]);
      if (against) curve.steps.push(this.lastStep);
    }

    // Returns the milliseconds until the next question; null when there is nothing more to come.
    update(answer) {
      if (answer.restarted) this.forget();
      Object.assign(this, { offset: answer.offset, file: answer.file });
      answer.rows.forEach((row) => this.take(row));
      if (answer.rows.length || answer.restarted) draw();
      if (answer.more) return 0;
      this.over = answer.over;
      section.dataset.over = String(lines.every((line) => line.over));
      if (answer.over) return null;
      return answer.state === "running" || answer.state === "cancelling" ? PAUSE : PAUSE_WHEN_WAITING;
    }

    async ask() {
      if (this.asking || document.hidden) return;
      this.asking = true;
      let pause = LONGEST_PAUSE;
      try {
        const answer = await fetch(`${this.url}?after=${this.offset}&file=${this.file}`, { headers: { Accept: "application/json" } });
        if (answer.status === 401 || answer.status === 403 || answer.status === 404 || answer.redirected) return;
        if (!answer.ok) throw new Error(String(answer.status));
        pause = this.update(await answer.json());
        this.failures = 0;
      } catch {
        // The server may be restarting: ask again, ever less often.
        this.failures += 1;
        pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** this.failures);
      } finally {
        this.asking = false;
      }
      if (pause !== null) this.timer = setTimeout(() => this.ask(), pause);
    }
  }

  const lines = [...section.querySelectorAll("[data-line]")].map(({ dataset }) => new Line(dataset));

  function put(line, x, y) {
    line.x.push(x);
    line.y.push(y);
  }

  function tracesOf(figure) {
    const look = { words, colours: coloursOf(figure), share: smoothing ? Number(smoothing.value) / 100 : 0.05, names: lines.map((line) => line.name) };
    return lines.flatMap((line, number) =>
      traces(figure, line.curves.get(figure), { ...look, name: line.name, short: line.short, colour: colourOfLine(figure, number) }));
  }

  // All figures are shown before the first is drawn: how wide each is depends on how many stand in the row.
  function draw() {
    const drawn = new Map(figures.map((figure) => [figure, tracesOf(figure)]));
    for (const [figure, found] of drawn) figure.hidden = !found.length;
    if (details) details.hidden = ![...drawn].some(([figure, found]) => found.length && details.contains(figure));
    for (const [figure, found] of drawn) {
      if (found.length && !(details && !details.open && details.contains(figure))) drawOne(figure, found);
    }
    section.querySelector("[data-tools]").hidden = figures.every((figure) => figure.hidden);
  }

  function drawOne(figure, found) {
    const plot = figure.querySelector(".plot");
    // The same arrays have grown: only another number tells Plotly so.
    const look = { ...layout(figure, coloursOf(figure), words, lines.length, found), datarevision: (revision += 1) };
    Plotly.react(plot, found, look, { responsive: true, displayModeBar: false });
    const values = (found.findLast((trace) => !trace.yaxis) || found[0]).y;
    plot.setAttribute("aria-label", `${figure.dataset.title}: ${Number(values[values.length - 1].toPrecision(4))}`);
  }

  // The browser keeps how much is smoothed; a page without storage begins with a twentieth of the run.
  function rememberSmoothing() {
    const shown = document.getElementById("smoothing_shown");
    const show = () => { shown.textContent = `${smoothing.value} %`; };
    try {
      smoothing.value = localStorage.getItem("smoothing") ?? smoothing.value;
    } catch { /* forbidden: nothing is remembered */ }
    show();
    smoothing.addEventListener("input", () => {
      show();
      draw();
      try {
        localStorage.setItem("smoothing", smoothing.value);
      } catch { /* as above */ }
    });
  }

  section.addEventListener("click", (event) => {
    const button = event.target.closest("[data-picture]");
    if (button) download(button.closest("figure"), button.dataset.picture);
  });
  details?.addEventListener("toggle", () => { if (details.open) draw(); });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const line of lines.filter(({ over }) => !over)) {
      clearTimeout(line.timer);
      line.ask();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("themechange", draw);
  if (smoothing) rememberSmoothing();
  lines.forEach((line) => line.ask());
})();
