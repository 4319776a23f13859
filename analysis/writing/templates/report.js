// Tables sort by the column whose head is clicked (numbers by size, names by their numbers, what has no number last) and
// filter by words; the contents show where one is; what is folded is printed.
"use strict";
function number(text) {
  const found = text.match(/^-?\d[\d.]*/);
  return found ? parseFloat(found[0]) : NaN;
}
function compare(one, other, numeric) {
  if (numeric) {
    return number(one) - number(other);
  }
  return one.localeCompare(other, "en", { numeric: true });
}
function sort(head) {
  const heads = Array.from(head.parentNode.children);
  const column = heads.indexOf(head);
  const down = head.getAttribute("aria-sort") === "ascending";
  const body = head.closest("table").tBodies[0];
  const numeric = head.classList.contains("num");
  const missing = (text) => numeric && Number.isNaN(number(text));
  const rows = Array.from(body.rows).map((row) => [row.cells[column].textContent.trim(), row]);
  rows.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return compare(a, b, numeric) * (down ? -1 : 1);
  });
  heads.forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows.map(([, row]) => row));
}
document.querySelectorAll("th button").forEach((button) => {
  button.addEventListener("click", () => sort(button.parentNode));
});
const LONG = 8;
document.querySelectorAll("table").forEach((table) => {
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length < LONG) return;
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = `filter ${rows.length} rows`;
  field.setAttribute("aria-label", "show the rows that hold all of these words");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
  });
  table.closest(".scroll").before(field);
});
const links = new Map(Array.from(document.querySelectorAll("nav a"), (link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  entries.filter((one) => one.isIntersecting).forEach((one) => {
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(one.target.id).setAttribute("aria-current", "true");
  });
}, { rootMargin: "-10% 0px -80% 0px" });
document.querySelectorAll("section").forEach((section) => seen.observe(section));
const folded = () => Array.from(document.querySelectorAll("details:not([open])"));
let opened = [];
addEventListener("beforeprint", () => {
  opened = folded();
  opened.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
