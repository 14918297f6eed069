const search = document.getElementById("search");
const reason = document.getElementById("reason");
const rows = search ? [...document.getElementById("rows").rows].map((row) => [row, row.textContent.toLowerCase()]) : [];
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [row, text] of rows) {
    const fits = (!reason.value || row.dataset.reason === reason.value) && words.every((word) => text.includes(word));
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("shown").textContent = `${shown.toLocaleString("en")} shown`;
}
if (search) {
  search.addEventListener("input", filter);
  reason.addEventListener("change", filter);
  for (const link of document.querySelectorAll("a[data-reason]")) {
    link.addEventListener("click", () => { reason.value = link.dataset.reason; filter(); });
  }
}
