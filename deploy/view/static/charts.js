// Draws the charts that the page's data describes, and again as they grow. See deploy/view/charts.py for their form.
(() => {
"use strict";
const COLOURS = { light: ["#1f63c4", "#d9580d", "#1d8a4a", "#8b3fa8", "#b42318", "#5d6b7a", "#a97900", "#0f8b8d"],
  dark: ["#74acf5", "#f39a55", "#5fca85", "#cf9bea", "#ff8e80", "#a3afbd", "#e3b341", "#5ccfd1"] };
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let charts = JSON.parse(document.getElementById("data").textContent).charts;

const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function format(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "%") return `${(100 * value).toFixed(1)} %`;
  if (unit === "problems") return value.toLocaleString("en");
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : size >= 10 ? value.toFixed(1)
    : size >= 0.01 || size === 0 ? value.toFixed(size >= 1 ? 2 : 3) : value.toExponential(1);
  return unit ? `${text} ${unit}` : text;
}

function smoothed(values, weight) {  // corrected for its start, as deploy/shown/plot.py does
  let average = 0, norm = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    norm = weight * norm + (1 - weight);
    return average / norm;
  });
}

function together(series, names) {  // one x for all: [x, column, ...]
  const steps = [...new Set(series.flatMap((line) => line.x))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, at) => [step, at]));
  const columns = series.flatMap((line) => names.map((name) => {
    const column = new Array(steps.length).fill(null);
    if (line[name]) line.x.forEach((step, at) => { column[place.get(step)] = line[name][at]; });
    return column;
  }));
  return [steps, ...columns];
}

function appearance(chart) {  // of each line: colour by run where there are several, else by what it is
  const runs = [...new Set(chart.series.map((line) => line.run))];
  const labels = [...new Set(chart.series.map((line) => line.label))];
  const groups = [...new Set(chart.series.map((line) => line.group))];
  const palette = COLOURS[dark.matches ? "dark" : "light"];
  return chart.series.map((line) => {
    const run = groups.indexOf(line.group), label = labels.indexOf(line.label);
    const several = runs.length > 1;
    return { colour: palette[(several ? run : label) % palette.length],
      dash: DASHES[(several ? label : 0) % DASHES.length],
      name: several ? (labels.length > 1 ? `${line.group}, ${line.label}` : line.group) : line.label };
  });
}

function stageColours(series) {
  const numbers = series.map((line) => Number(line.label.replace("stage ", "")));
  if (numbers.some(Number.isNaN)) return null;
  const most = Math.max(1, ...numbers);
  return numbers.map((stage) => styled(`--heat-${Math.round(5 * stage / most)}`));
}

const VERDICTS = { passed: "#2f9e57", "wrong answer": "#f19038", "runtime error": "#d9480f", "compile error": "#9c36b5",
  timeout: "#5d6b7a", "memory limit": "#8f7a00", "output limit": "#0f8b8d" };

function linesOf(chart) {
  const looks = appearance(chart), weight = chart.kind === "points" ? 0 : Number(smooth.value);
  if (chart.kind === "points") {
    const data = together(chart.series, ["low", "high", "y"]);
    const series = looks.flatMap((look) => [
      { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } },
      { stroke: look.colour, width: 2, dash: look.dash, points: { show: true, size: 8, fill: look.colour }, spanGaps: true },
    ]);
    series.forEach((line) => { line.spanGaps = true; });
    const bands = looks.map((look, at) => ({ series: [3 * at + 2, 3 * at + 1], fill: `${look.colour}26` }));
    return { data, series, bands, shown: looks.map((_, at) => 3 * at + 3), looks };
  }
  if (chart.kind === "stack") {
    const data = together(chart.series, ["y"]), own = stageColours(chart.series);
    looks.forEach((look, at) => { look.colour = own ? own[at] : VERDICTS[look.name] || look.colour; });
    looks.forEach((look, at) => { look.values = data[at + 1].slice(); });
    for (let at = data.length - 2; at > 0; at--) {
      const below = data[at + 1];
      data[at] = data[at].map((value, n) => (value === null && below[n] === null ? null : (value || 0) + (below[n] || 0)));
    }
    const series = looks.map((look) => ({ stroke: look.colour, width: 1, fill: look.colour, points: { show: data[0].length < 2 } }));
    const bands = looks.slice(1).map((look, at) => ({ series: [at + 1, at + 2], fill: looks[at].colour }));
    return { data, series, bands, shown: looks.map((_, at) => at + 1), looks };
  }
  const raw = together(chart.series, ["y"]), few = raw[0].length < 3;
  const data = weight && !few ? [...raw, ...raw.slice(1).map((column) => smoothed(column, weight))] : raw;
  const faint = data.length > raw.length;
  const series = [...looks.map((look) => ({ stroke: faint ? `${look.colour}40` : look.colour, width: faint ? 1 : 2,
    dash: faint ? [] : look.dash, points: { show: few }, spanGaps: true })),
  ...(faint ? looks.map((look) => ({ stroke: look.colour, width: 2, dash: look.dash, points: { show: false }, spanGaps: true })) : [])];
  return { data, series, bands: [], shown: looks.map((_, at) => at + 1), looks, beside: faint ? looks.length : 0 };
}

function draw(chart) {
  const figure = document.querySelector(`[data-chart="${CSS.escape(chart.id)}"]`);
  if (!figure) return;
  const box = figure.querySelector(".plot"), legend = figure.querySelector(".legend");
  const before = drawn.get(chart.id);
  const hidden = before ? before.hidden : new Set();
  if (before) before.plot.destroy();
  const { data, series, bands, shown, looks, beside } = linesOf(chart);
  const axis = { stroke: styled("--soft"), font: "12px system-ui, sans-serif", ticks: { show: false },
    grid: { stroke: styled("--line"), width: 1 } };
  const share = chart.unit === "%";
  const stacked = chart.kind === "stack";
  const plot = new uPlot({
    width: box.clientWidth, height: box.clientHeight, legend: { show: true }, padding: [10, 8, 0, 0],
    cursor: { sync: { key: "step" }, y: false, points: { show: !stacked } },
    scales: { x: { time: false, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
      y: { range: (_, low, high) => range(low, high, share, stacked, chart) } },
    axes: [{ ...axis, grid: { show: false }, size: 26, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (share ? `${Math.round(100 * tick)} %` : short(tick))) }],
    series: [{}, ...series], bands,
    hooks: { setLegend: [(self) => tell(self)] },
  }, data, box);
  const values = looks.map((look, at) => look.values || data[shown[at]]);
  const names = [...new Set(looks.map((look) => look.name))];  // the seeds of an arm have one
  const own = names.map((name) => looks.flatMap((look, at) => (look.name === name ? [at] : [])));
  legend.replaceChildren(...own.map((same, at) => {
    const look = looks[same[0]];
    const button = document.createElement("button"), value = document.createElement("b");
    button.append(swatch(look, stacked), document.createTextNode(look.name), value);
    button.setAttribute("aria-pressed", String(!hidden.has(at)));
    button.addEventListener("click", () => {
      hidden.has(at) ? hidden.delete(at) : hidden.add(at);
      draw(chart);
    });
    return button;
  }));
  if (!stacked) hidden.forEach((n) => (own[n] || []).forEach((at) => {
    for (const line of [shown[at], beside ? shown[at] + beside : shown[at]]) plot.setSeries(line, { show: false });
  }));
  function tell(self) {
    const at = self.cursor.idx ?? data[0].length - 1;
    const numbers = legend.querySelectorAll("b");
    own.forEach((same, n) => {
      const found = same.map((line) => {
        let place = at;
        if (self.cursor.idx == null) while (place > 0 && values[line][place] === null) place--;
        return values[line][place];
      }).filter((value) => value !== null && value !== undefined);
      const mean = found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
      if (numbers[n]) numbers[n].textContent = format(mean, chart.unit);
    });
    figure.dataset.step = data[0][at] ?? "";
  }
  tell(plot);
  box.setAttribute("aria-label", `${chart.title}: ${looks.map((look, n) =>
    `${look.name} ${format(values[n].filter((v) => v !== null).at(-1), chart.unit)}`).join(", ")}. The arrow keys go by step.`);
  drawn.set(chart.id, { plot, chart, hidden, steps: data[0] });
  figure.dataset.points = String(data[0].length);
}

function range(low, high, share, stacked, chart) {
  if (low === null || high === null) return [0, 1];
  if (stacked) return [0, share ? 1 : Math.max(high, 1e-9)];
  if (share) return [Math.max(0, low - 0.05 < 0.15 ? 0 : low - 0.05), Math.min(1, high + 0.05)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low >= 0 && low < 0.5 * high ? 0 : low - room, high + room];
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${value / 1e6} M`;
  if (size >= 1e4) return `${value / 1e3} k`;
  return String(Number(value.toPrecision(6)));
}

function swatch(look, stacked) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("viewBox", "0 0 16 8");
  const part = document.createElementNS("http://www.w3.org/2000/svg", stacked ? "rect" : "line");
  const sized = stacked ? { width: 16, height: 8, rx: 2, fill: look.colour }
    : { x1: 0, x2: 16, y1: 4, y2: 4, stroke: look.colour, "stroke-width": 3, "stroke-dasharray": look.dash.join(" ") };
  for (const [name, value] of Object.entries(sized)) part.setAttribute(name, value);
  made.append(part);
  return made;
}

const smooth = document.getElementById("smooth");
const drawAll = () => charts.forEach(draw);
smooth.addEventListener("change", drawAll);
dark.addEventListener("change", drawAll);
for (const box of document.querySelectorAll(".plot")) {
  box.addEventListener("keydown", (event) => {
    const found = drawn.get(box.closest(".chart").dataset.chart);
    if (!found || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    const last = found.steps.length - 1, now = found.plot.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
    const at = Math.min(Math.max(now + (event.key === "ArrowRight" ? 1 : -1), 0), last);
    found.plot.setCursor({ left: found.plot.valToPos(found.steps[at], "x"), top: 10 });
  });
}
const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const found = drawn.get(entry.target.closest(".chart").dataset.chart);
    if (found && Math.abs(found.plot.width - entry.contentRect.width) > 1)
      found.plot.setSize({ width: entry.contentRect.width, height: entry.contentRect.height });
  }
});
document.querySelectorAll(".plot").forEach((box) => sizes.observe(box));
drawAll();

function renew(news) {
  const known = new Set(charts.map((chart) => chart.id));
  if (news.charts.some((chart) => !known.has(chart.id))) { location.reload(); return; }
  charts = news.charts;
  drawAll();
  for (const [name, tiles] of news.figures) {
    const box = [...document.querySelectorAll("section.run")].find((found) => found.dataset.run === name);
    const shown = box ? box.querySelectorAll(".tiles div") : [];
    tiles.forEach(([, value, beside], at) => {
      if (shown[at]) [shown[at].querySelector("b").textContent, shown[at].querySelector("i").textContent] = [value, beside];
    });
  }
}
// A chart that was not there yet comes with the page's next load. A report stands still.
if (window.follow) follow("/api/overview", renew);
})();
