// The table of problems: sorted, searched and paged here, with a heat map of start points over time; and the filter of
// settings. A row is [id, level, conditionals, stages, stage, rate, visits, evaluated, last step, heat, address].
(() => {
"use strict";
const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PAGE = 100;
const KEYS = { id: 0, level: 1, conditionals: 2, stage: 4, rate: 5, visits: 6, evaluated: 7, step: 8 };
const byId = (name) => document.getElementById(name);
const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function filterSettings() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of byId("filter").closest("section").querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    count += !row.hidden;
  }
  byId("filtered").textContent = `${count} settings`;
}
if (byId("filter")) byId("filter").addEventListener("input", filterSettings);

let table = { rows: [], steps: 0 }, found = [], first = 0, sorting = { key: "", down: false };

function stages(row) {  // by column of the heat map: the start point stays where it was; -1 before the first visit
  let now = -1;
  return [...row[9]].map((digit) => (now = digit === " " ? now : DIGITS.indexOf(digit)));
}

function colourOf(stage, most) {
  if (stage < 0) return null;
  return colours[most ? Math.min(5, Math.round(5 * stage / most)) : 0];
}
let colours = [];

function strip(context, row, y, height) {
  const cells = stages(row);
  for (let x = 0; x < cells.length; x++) {
    const colour = colourOf(cells[x], row[3]);
    if (colour) { context.fillStyle = colour; context.fillRect(x, y, 1, height); }
  }
}

function drawHeat() {
  colours = [0, 1, 2, 3, 4, 5].map((n) => styled(`--heat-${n}`));
  const canvas = byId("heat"), context = canvas.getContext("2d");
  const ordered = table.rows.slice().sort((a, b) => nearness(a) - nearness(b));
  canvas.rows = ordered;
  canvas.width = Math.max(1, ordered.length ? ordered[0][9].length : 1);
  canvas.height = Math.max(1, ordered.length);
  ordered.forEach((row, y) => strip(context, row, y, 1));
}
const nearness = (row) => stages(row).reduce((sum, stage) => sum + (stage < 0 ? 1.2 : stage / Math.max(1, row[3])), 0);

function told(row, column) {
  const cells = stages(row), step = 1 + Math.floor(column * table.steps / cells.length), stage = cells[column];
  const where = stage < 0 ? "not tried yet" : stage === 0 ? "full generation" : `stage ${stage} of ${row[3]}`;
  return `${row[0]}, step ${step}: ${where}`;
}

function cell(row, text, number) {
  const made = row.insertCell();
  if (number) made.className = "number";
  made.textContent = text ?? "–";
  return made;
}
const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);

function show() {
  const body = byId("problems").tBodies[0];
  const page = found.slice(first, first + PAGE);
  body.replaceChildren(...page.map((entry) => {
    const row = document.createElement("tr");
    const link = document.createElement(entry[10] ? "a" : "span");
    link.textContent = entry[0];
    if (entry[10]) link.href = entry[10];
    row.insertCell().append(link);
    cell(row, entry[1] || "–");
    cell(row, entry[2], true);
    cell(row, entry[4] === 0 ? (entry[3] ? `full (of ${entry[3]})` : "full") : `${entry[4]} of ${entry[3]}`, true);
    const rate = cell(row, "", true), meter = document.createElement("span"), fill = document.createElement("i");
    meter.className = "meter";
    fill.style.width = `${100 * entry[5]}%`;
    meter.append(fill);
    rate.append(meter, percent(entry[5]));
    cell(row, entry[6].toLocaleString("en"), true);
    cell(row, percent(entry[7]), true);
    cell(row, entry[8], true);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [entry[9].length || 1, 1];
    canvas.title = told(entry, entry[9].length - 1);
    strip(canvas.getContext("2d"), entry, 0, 1);
    row.insertCell().append(canvas);
    return row;
  }));
  byId("shown").textContent = `${found.length.toLocaleString("en")} of ${table.rows.length.toLocaleString("en")} problems`;
  byId("part").textContent = found.length > PAGE ? `${first + 1} to ${first + page.length}` : "";
  byId("fewer").hidden = first === 0;
  byId("more").hidden = first + PAGE >= found.length;
}

function order() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), level = byId("level").value;
  found = table.rows.filter((row) => (!level || row[1] === level)
    && words.every((word) => row[0].toLowerCase().includes(word)));
  if (sorting.key) {
    const at = KEYS[sorting.key], sign = sorting.down ? -1 : 1;
    found.sort((a, b) => {
      if (a[at] === null || b[at] === null) return (a[at] === null) - (b[at] === null);
      return sign * (typeof a[at] === "string" ? a[at].localeCompare(b[at]) : a[at] - b[at]);
    });
  }
  first = 0;
  show();
}

function sortBy(button) {
  const key = button.dataset.sort;
  sorting = { key, down: sorting.key === key ? !sorting.down : !["id", "level"].includes(key) };
  for (const head of byId("problems").querySelectorAll("th")) {
    if (head.contains(button)) head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  order();
}

function begin() {
  const levels = [...new Set(table.rows.map((row) => row[1]))].filter(Boolean);
  byId("level").append(...levels.map((level) => new Option(level, level)));
  byId("level").hidden = levels.length < 2;
  byId("search").addEventListener("input", order);
  byId("level").addEventListener("change", order);
  byId("fewer").addEventListener("click", () => { first = Math.max(0, first - PAGE); show(); });
  byId("more").addEventListener("click", () => { first += PAGE; show(); });
  for (const button of byId("problems").querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button));
  const heat = byId("heat");
  const at = (event) => {
    const box = heat.getBoundingClientRect();
    return [heat.rows[Math.floor((event.clientY - box.top) / box.height * heat.height)],
      Math.floor((event.clientX - box.left) / box.width * heat.width)];
  };
  heat.addEventListener("mousemove", (event) => {
    const [row, column] = at(event);
    byId("heat-told").textContent = row ? told(row, Math.min(column, row[9].length - 1)) : "";
  });
  heat.addEventListener("click", (event) => { const [row] = at(event); if (row && row[10]) location.href = row[10]; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawHeat(); show(); });
  drawHeat();
  order();
}

async function load() {
  const kept = byId("problem-data");
  table = kept ? JSON.parse(kept.textContent) : await (await fetch(document.body.dataset.source)).json();
  begin();
}
if (byId("problems")) load().catch(() => { byId("shown").textContent = "the problems cannot be read"; });
})();
