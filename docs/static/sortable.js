// Sorts a table by the column whose head is clicked; a second click reverses the order.
document.addEventListener("DOMContentLoaded", () => {
  const key = (row, column) => {
    const text = row.cells[column]?.textContent.trim() ?? "";
    const number = parseFloat(text.replace(/,/g, "").match(/-?\d+(\.\d+)?/)?.[0]);
    return /^[-+\d]/.test(text) && !isNaN(number) ? number : text;
  };
  for (const head of document.querySelectorAll("table thead th")) {
    head.style.cursor = "pointer";
    head.addEventListener("click", () => {
      const body = head.closest("table").tBodies[0];
      const sign = head.dataset.sorted === "up" ? -1 : 1;
      head.dataset.sorted = sign > 0 ? "up" : "down";
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a, head.cellIndex), key(b, head.cellIndex)];
        const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
        return sign * order;
      });
      body.append(...rows);
    });
  }
});
