"use strict";
// A run's page: t-SNE with the images of its points.
(() => {
  const { make, json, tile } = fsig;
  const plane = document.querySelector(".plane");
  const sheets = json("sheets"), shown = document.querySelector(".shown");
  const points = [...plane.querySelectorAll("use[data-r]")];
  const at = (p) => [Number(p.getAttribute("x")), Number(p.getAttribute("y"))];
  let current = null;
  const choose = (point) => {
    if (!point || point === current) return;
    current?.classList.remove("on");
    current = point;
    point.classList.add("on");
    const { r, i, t } = point.dataset;
    const text = `${r}, image ${i}`;
    const picture = t === undefined ? [] : [tile(sheets[r], Number(t), 160, text)];
    shown.replaceChildren(...picture, make("p", { textContent: picture.length ? text : `${text}: no image here` }));
  };
  const live = () => points.filter((p) => !p.hasAttribute("display"));
  plane.addEventListener("pointerover", (e) => choose(e.target.closest("use[data-r]")));
  plane.addEventListener("click", (e) => choose(e.target.closest("use[data-r]")));
  plane.addEventListener("focus", () => { if (!current) choose(live()[0]); });
  // An arrow goes to the nearest point within 45 degrees of its direction.
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  plane.addEventListener("keydown", (e) => {
    const way = ways[e.key];
    if (!way) return;
    e.preventDefault();
    if (!current) return choose(live()[0]);
    const [x, y] = at(current);
    let best = null, least = Infinity;
    for (const p of live()) {
      const [dx, dy] = [at(p)[0] - x, at(p)[1] - y];
      const along = dx * way[0] + dy * way[1], across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      const far = along + 2 * across;
      if (p !== current && along > 0 && along >= across && far < least) [best, least] = [p, far];
    }
    choose(best);
  });
  document.querySelectorAll("[data-role]").forEach((box) => box.addEventListener("change", () => {
    points.filter((p) => p.dataset.r === box.dataset.role).forEach((p) =>
      box.checked ? p.removeAttribute("display") : p.setAttribute("display", "none"));
  }));
})();
