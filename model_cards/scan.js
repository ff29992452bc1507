"use strict";
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => {
        const x = value(a), y = value(b), p = Number(x), q = Number(y);
        const numbers = x !== "" && y !== "" && !Number.isNaN(p) && !Number.isNaN(q);
        return numbers ? p - q : x.localeCompare(y, undefined, { numeric: true });
      };
      const rows = Array.from(body.rows).sort(compare);
      (descending ? rows.reverse() : rows).forEach((row) => body.append(row));
    });
  });
});
const open = () => {
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted && wanted.tagName === "DETAILS") wanted.open = true;
};
addEventListener("hashchange", open);
open();
