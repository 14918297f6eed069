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

function order(at = 0) {  // at: which row is the first that is shown
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), level = byId("level").value;
  found = table.rows.filter((row) => (!level || row[1] === level)
    && words.every((word) => row[0].toLowerCase().includes(word)));
  if (sorting.key) {
    const column = KEYS[sorting.key], sign = sorting.down ? -1 : 1;
    found.sort((a, b) => {
      const [one, other] = [a[column], b[column]];
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
    });
  }
  first = Math.min(at, PAGE * Math.floor(Math.max(0, found.length - 1) / PAGE));
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

function pointAt(row, column) {  // of the heat map; what is there is told, and Enter or a click opens it
  const heat = byId("heat");
  heat.at = [Math.min(Math.max(row, 0), heat.height - 1), Math.min(Math.max(column, 0), heat.width - 1)];
  const found = heat.rows[heat.at[0]];
  byId("heat-told").textContent = found ? told(found, heat.at[1]) : "";
}

function openPointed() {
  const row = byId("heat").rows[byId("heat").at[0]];
  if (row && row[10]) location.href = row[10];
}

function followPointer() {
  const heat = byId("heat");
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] };
  heat.at = [0, 0];
  heat.addEventListener("mousemove", (event) => {
    const box = heat.getBoundingClientRect();
    pointAt(Math.floor((event.clientY - box.top) / box.height * heat.height),
      Math.floor((event.clientX - box.left) / box.width * heat.width));
  });
  heat.addEventListener("click", openPointed);
  heat.addEventListener("focus", () => pointAt(...heat.at));
  heat.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (event.key === "Enter") openPointed();
    if (!move) return;
    event.preventDefault();
    pointAt(heat.at[0] + move[0], heat.at[1] + move[1]);
  });
}

function renew(news) {
  table = news;
  const kept = byId("level").value, levels = [...new Set(table.rows.map((row) => row[1]))].filter(Boolean);
  byId("level").replaceChildren(new Option("all levels", ""), ...levels.map((level) => new Option(level, level)));
  byId("level").value = kept;
  byId("level").hidden = levels.length < 2;
  drawHeat();
  if (byId("heat-told").textContent) pointAt(...byId("heat").at);
  order(first);
}

function begin() {
  byId("search").addEventListener("input", () => order());
  byId("level").addEventListener("change", () => order());
  byId("fewer").addEventListener("click", () => { first = Math.max(0, first - PAGE); show(); });
  byId("more").addEventListener("click", () => { first += PAGE; show(); });
  for (const button of byId("problems").querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawHeat(); show(); });
  followPointer();
}

if (byId("problems")) {
  const kept = byId("problem-data");
  begin();
  if (kept) renew(JSON.parse(kept.textContent));
  else follow(document.body.dataset.source, renew);
}
})();
