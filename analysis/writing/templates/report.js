// Sort a table by the column whose head is clicked: numbers by size, names by their numbers, what has no number last.
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
