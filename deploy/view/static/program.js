// What the mouse or the keyboard is on in a program: a token with its numbers; and what the tokens are shaded by.
(() => {
"use strict";
const card = document.getElementById("token");
const LEVELS = 4;
const NAMES = [["used", "advantage × mask"], ["advantages", "advantage"], ["sampler_logprobs", "sampler, log p"],
  ["learner_logprobs", "learner, log p"], ["reference_logprobs", "reference, log p"], ["values", "value"]];
const numberText = (value) => (value === null || value === undefined ? "–" : value.toFixed(4).replace(/\.?0+$/, "") || "0");

class Program {
  constructor(article) {
    this.article = article;
    this.data = JSON.parse(article.querySelector(".tokens").textContent);
    this.spans = [...article.querySelectorAll("[data-t]")];
    this.order = [...new Set(this.spans.map((span) => Number(span.dataset.t)))];
    this.box = article.querySelector(".program");
    this.now = -1;
    this.box.addEventListener("mouseover", (event) => {
      const span = event.target.closest("[data-t]");
      if (span) this.point(Number(span.dataset.t), span); else this.leave();
    });
    this.box.addEventListener("mouseleave", () => this.leave());
    this.box.addEventListener("blur", () => this.leave());
    this.box.addEventListener("keydown", (event) => this.key(event));
    const by = article.querySelector(".by");
    by.addEventListener("change", () => this.shade(by.value));
    this.shade(by.value);
  }

  values(name) {
    if (name !== "gap") return this.data[name];
    const [learner, sampler] = [this.data.learner_logprobs, this.data.sampler_logprobs];
    return learner && sampler && learner.map((value, n) => (value === null || sampler[n] === null ? null : value - sampler[n]));
  }

  shade(name) {
    const values = name ? this.values(name) : null;
    const largest = Math.max(...(values || []).map((value) => Math.abs(value || 0)), 0);
    for (const span of this.spans) {
      span.classList.remove(...[1, 2, 3, 4].flatMap((n) => [`p${n}`, `n${n}`]));
      const value = values ? values[Number(span.dataset.t)] : null;
      if (value && largest && !span.classList.contains("in")) span.classList.add(`${value > 0 ? "p" : "n"}${Math.ceil(LEVELS * Math.abs(value) / largest)}`);
    }
    this.article.querySelector(".largest").textContent = largest ? `± ${numberText(largest)}` : name ? "nothing to show" : "";
  }

  point(token, span) {
    this.leave();
    this.now = token;
    const own = this.spans.filter((found) => Number(found.dataset.t) === token);
    own.forEach((found) => found.classList.add("here"));
    const text = own.map((found) => found.textContent).join("");
    const head = document.createElement("b"), list = document.createElement("dl");
    head.textContent = JSON.stringify(text);
    for (const [name, label] of NAMES) if (this.data[name]) this.row(list, label, numberText(this.data[name][token]));
    const yes = (name, words) => this.data[name] && this.row(list, words, this.data[name][token] ? "yes" : "no");
    yes("executed", "executed by a test");
    yes("credit", "took the policy loss");
    card.replaceChildren(head, list);
    card.hidden = false;
    const at = (span || own[0]).getBoundingClientRect(), size = card.getBoundingClientRect();
    card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
    card.style.top = `${at.bottom + size.height + 12 < innerHeight ? at.bottom + 8 : Math.max(8, at.top - size.height - 8)}px`;
  }

  row(list, label, value) {
    const term = document.createElement("dt"), told = document.createElement("dd");
    [term.textContent, told.textContent] = [label, value];
    list.append(term, told);
  }

  leave() {
    this.spans.forEach((span) => span.classList.remove("here"));
    card.hidden = true;
  }

  key(event) {
    if (!["ArrowLeft", "ArrowRight", "Escape"].includes(event.key) || !this.order.length) return;
    event.preventDefault();
    if (event.key === "Escape") return this.leave();
    const at = this.order.indexOf(this.now), last = this.order.length - 1;
    const to = event.key === "ArrowRight" ? Math.min(at + 1, last) : at < 0 ? last : Math.max(at - 1, 0);
    const span = this.spans.find((found) => Number(found.dataset.t) === this.order[to]);
    span.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.point(this.order[to], span);
  }
}
document.querySelectorAll("article.trajectory").forEach((article) => new Program(article));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const samples = [...document.querySelectorAll("nav.group .sample")];
  const at = samples.findIndex((link) => link.hasAttribute("aria-current"));
  const link = { p: samples[at - 1], n: samples[at + 1], "[": document.querySelector("nav.group [rel=prev]"),
    "]": document.querySelector("nav.group [rel=next]") }[event.key];
  if (link) location.href = link.href;
});
})();
