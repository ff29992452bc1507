"use strict";
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = Array.from(body.rows, (row) => {
        const text = row.cells[column].dataset.sort;
        return { row, text, number: text === "" ? NaN : Number(text) };
      });
      const collator = new Intl.Collator(undefined, { numeric: true });
      rows.sort((a, b) => {
        const numbers = !Number.isNaN(a.number) && !Number.isNaN(b.number);
        const order = numbers ? a.number - b.number : collator.compare(a.text, b.text);
        return descending ? -order : order;
      });
      body.append(...rows.map((entry) => entry.row));
    });
  });
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  if (!filter) return;
  filter.parentElement.hidden = false;
  const texts = new Map(Array.from(body.rows, (row) => [row, row.textContent.toLowerCase()]));
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, text] of texts) {
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) count += 1;
    }
    shown.textContent = words.length ? `${count} of ${texts.size}` : "";
  });
});
const open = () => {
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  const folded = wanted && wanted.closest("details");
  if (folded && !folded.open) {
    folded.open = true;
    folded.scrollIntoView();
  }
};
addEventListener("hashchange", open);
open();
