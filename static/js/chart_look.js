// What every chart of the workbench shares: the colours of the theme, the ground it stands on, and a picture of it.
"use strict";

window.plumblineLook = (() => {
  // A custom property is read as it was written; a real property is read as the colour it came to in this theme.
  function colour(name, inside) {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    inside.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  // `names`: the custom property of each use.
  const coloursOf = (node, names) => Object.fromEntries(
    Object.entries({ text: "--text", grid: "--line", surface: "--surface", ...names }).map(([use, name]) => [use, colour(name, node)]),
  );

  const axisOf = (colours) => ({ gridcolor: colours.grid, zerolinecolor: colours.grid, linecolor: colours.grid, fixedrange: true });

  const groundOf = (node, colours) => ({
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: colours.text, family: getComputedStyle(node).fontFamily, size: 12 },
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.grid, font: { color: colours.text } },
  });

  // A picture stands alone: with a ground of its own, and with its title.
  function savePicture(node, format, filename) {
    const plot = node.querySelector(".plot");
    const { surface } = coloursOf(node, {});
    const title = { text: node.dataset.title, font: { size: 15 }, x: 0.02 };
    const margin = { ...plot.layout.margin, t: Math.max(44, plot.layout.margin.t + 36) };
    const layout = { ...plot.layout, title, margin, paper_bgcolor: surface, plot_bgcolor: surface };
    const size = { width: 900, height: Math.max(480, plot.layout.height + 60), scale: format === "png" ? 2 : 1 };
    Plotly.downloadImage({ data: plot.data, layout }, { format, filename, ...size });
  }

  return { colour, coloursOf, axisOf, groundOf, savePicture };
})();
