// How the curves of runs look: traces, layout and colours for Plotly. What is drawn comes from charts.js.
"use strict";

window.plumblineDrawing = (() => {
  const GIB = 2 ** 30;
  const { colour, axisOf, groundOf, savePicture } = window.plumblineLook;

  // A mean over `share` of the run shows where jumping steps go; 0 leaves them as they are.
  function runningMean(values, share) {
    const window = Math.max(5, Math.round(values.length * share));
    let sum = 0;
    return values.map((value, index) => {
      sum += value;
      if (index >= window) sum -= values[index - window];
      return sum / Math.min(index + 1, window);
    });
  }

  // No step lies between two steps: with few of them Plotly would name some.
  const FEW = 6;
  const whole = (last) => (last < FEW ? { dtick: 1 } : {});

  // One metric against another: the line goes the way of the steps, and the colour says how far along each is.
  function frontier(curve, look) {
    if (!curve.train.x.length) return [];
    const { words, colours } = look;
    const several = look.names.length > 1;
    const marker = several
      ? { size: 7, color: look.colour }
      : { size: 8, color: curve.steps, colorscale: "Viridis", line: { color: colours.text, width: 0.5 },
          colorbar: { title: { text: words.step }, thickness: 10, outlinewidth: 0, ...whole(curve.steps.at(-1)) } };
    return [{
      ...curve.train, mode: "lines+markers", text: curve.steps, name: look.name, showlegend: several,
      hovertemplate: `${words.step} %{text}: %{x:.4g}, %{y:.4g}<extra>${several ? look.short : ""}</extra>`,
      line: { color: several ? look.colour : colours.grid, width: 1 }, marker,
    }];
  }

  // Of one run: steps, mean and held-out figures by their kind. Of several: all of a run in its colour.
  function traces(figure, curve, look) {
    if (figure.dataset.against) return frontier(curve, look);
    const { words, colours } = look;
    const several = look.names.length > 1;
    const noisy = look.share > 0 && curve.train.x.length >= 10;
    const colour = several ? look.colour : colours.train;
    const group = several ? { legendgroup: look.name } : {};
    const found = [];
    if (curve.train.x.length) {
      found.push({
        ...curve.train, ...group, name: several ? look.name : words.train, mode: curve.train.x.length >= 10 ? "lines" : "lines+markers",
        opacity: noisy ? (several ? 0.2 : 0.4) : 1, showlegend: !(several && noisy), line: { color: colour, width: noisy ? 1 : 2 }, marker: { size: 6 },
        ...(several && noisy ? { hoverinfo: "skip" } : {}),
      });
    }
    if (noisy) {
      found.push({
        ...group, x: curve.train.x, y: runningMean(curve.train.y, look.share), name: several ? look.name : words.mean, mode: "lines", line: { color: colour, width: 2.5 },
      });
    }
    if (curve.test.x.length) {
      found.push({
        ...curve.test, ...group, name: several ? `${look.short} ${words.test}` : words.test, mode: "lines+markers", showlegend: !several || !curve.train.x.length,
        line: { color: several ? colour : colours.test, width: 2, dash: "dot" }, marker: { symbol: "diamond", size: 9 },
      });
    }
    if (curve.second.x.length && !several) {
      found.push({
        ...curve.second, name: figure.dataset.secondTitle, mode: curve.second.x.length >= 10 ? "lines" : "lines+markers", yaxis: "y2", line: { color: colours.test, width: 2, dash: "dash" },
        marker: { size: 6 },
      });
    }
    return found;
  }

  const coloursOf = (figure) => window.plumblineLook.coloursOf(figure, { train: "--chart-train", test: "--chart-test" });

  const colourOfLine = (figure, number) => colour(`--chart-${(number % 8) + 1}`, figure);

  // A curve that hardly moves looks as it is: a share that stands still lies between none and all, and the span of other
  // numbers is at least a fiftieth of them.
  const LEAST_SPAN = 0.02;
  function rangeOf(traces, isShare) {
    const values = traces.filter((trace) => !trace.yaxis).flatMap((trace) => trace.y);
    const low = values.reduce((least, value) => Math.min(least, value), Infinity);
    const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
    if (isShare && low === high) return { range: [-0.02, 1.02] };
    const span = LEAST_SPAN * (isShare ? 1 : Math.max(Math.abs(low), Math.abs(high)));
    if (!(high - low < span)) return {};
    const middle = (low + high) / 2;
    return { range: [middle - 0.55 * span, middle + 0.55 * span] };
  }

  function layout(figure, colours, words, lines, found) {
    const { against, againstTitle, second, metric, share } = figure.dataset;
    const axis = axisOf(colours);
    const ground = groundOf(figure, colours);
    const several = lines > 1;
    const last = found.reduce((most, { x }) => Math.max(most, x[x.length - 1]), 0);
    const fromZero = metric === "tokens_per_second" || metric.endsWith("_bytes");
    return {
      height: 260 + (several ? 22 * lines : 0), margin: { l: 52, r: second && !several ? 48 : 12, t: 8, b: 40 }, ...ground,
      hovermode: against ? "closest" : "x unified", hoverlabel: { namelength: -1, ...ground.hoverlabel },
      showlegend: several || !against, legend: { orientation: several ? "v" : "h", y: -0.22, yanchor: "top", x: 0 },
      xaxis: { ...axis, title: { text: againstTitle || words.step, standoff: 4 }, rangemode: against ? "normal" : "tozero", ...(against ? {} : whole(last)), unifiedhovertitle: { text: `${words.step} %{x}` } },
      yaxis: { ...axis, automargin: true, rangemode: fromZero ? "tozero" : "normal", hoverformat: ".4g", ...(fromZero ? {} : rangeOf(found, share)) },
      yaxis2: { ...axis, hoverformat: ".4g", overlaying: "y", side: "right", rangemode: "tozero", showgrid: false, automargin: true, visible: Boolean(second) && !several },
    };
  }

  const download = (figure, format) => savePicture(figure, format, `${figure.closest("[data-file]").dataset.file}-${figure.dataset.metric}`);

  return { GIB, traces, coloursOf, colourOfLine, layout, download };
})();
