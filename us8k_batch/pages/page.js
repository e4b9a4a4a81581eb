"use strict";
// One sound at a time.
document.addEventListener("play", event => {
  for (const other of document.querySelectorAll("audio"))
    if (other !== event.target) other.pause();
}, true);
// What is folded away on the screen is unfolded on paper.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    fold.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-folded]")) {
    fold.open = false;
    delete fold.dataset.folded;
  }
});
// A map: its large points are chosen by clicking near one, or with the arrow keys, and heard.
for (const map of document.querySelectorAll("[data-map]")) {
  const drawing = map.querySelector("svg.clips"), now = map.querySelector("[data-now]");
  const player = map.querySelector("[data-sound-of-map]");
  const points = [...drawing.querySelectorAll("[role=button]")].map(element => {
    const [x, y] = element.getAttribute("transform").match(/-?[\d.]+/g).map(Number);
    return {element, x, y};
  });
  // On a narrow screen the map is small, and its points are not.
  const grow = () => {
    const size = 1.15 * Math.min(2, Math.max(1, 700 / drawing.clientWidth));
    for (const {element, x, y} of points) element.setAttribute("transform", `translate(${x},${y}) scale(${size})`);
  };
  grow();
  addEventListener("resize", grow);
  let chosen = points[0];
  if (chosen) chosen.element.tabIndex = 0;
  const visible = point => !point.element.parentNode.classList.contains("faded");
  const choose = point => {
    chosen.element.tabIndex = -1;
    chosen.element.classList.remove("chosen");
    chosen = point;
    chosen.element.tabIndex = 0;
    chosen.element.classList.add("chosen");
    chosen.element.focus({preventScroll: true});
    now.textContent = chosen.element.getAttribute("aria-label");
    if (!player) return;
    player.src = `data:${chosen.element.dataset.mime};base64,${chosen.element.dataset.sound}`;
    player.play().catch(() => {});  // a browser may want a click first; the player's own button remains
  };
  drawing.addEventListener("click", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
    const away = point => (point.x - at.x) ** 2 + (point.y - at.y) ** 2;
    const near = points.filter(visible).reduce((a, b) => a && away(a) <= away(b) ? a : b, null);
    if (near) choose(near);
  });
  const ways = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1]};
  drawing.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(chosen);
    }
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    // The nearest one that lies rather this way than another; straying sideways counts double.
    let best = null, least = Infinity;
    for (const point of points.filter(visible)) {
      const along = (point.x - chosen.x) * way[0] + (point.y - chosen.y) * way[1];
      const aside = Math.abs((point.x - chosen.x) * way[1]) + Math.abs((point.y - chosen.y) * way[0]);
      if (point !== chosen && along > 0 && along >= aside && along + 2 * aside < least) {
        best = point;
        least = along + 2 * aside;
      }
    }
    if (best) choose(best);
  });
  for (const button of map.querySelectorAll("button[data-class]"))
    button.addEventListener("click", () => {
      const alone = button.getAttribute("aria-pressed") !== "true";
      for (const other of map.querySelectorAll("button[data-class]"))
        other.setAttribute("aria-pressed", String(alone && other === button));
      for (const group of drawing.querySelectorAll("g[data-class]"))
        group.classList.toggle("faded", alone && group.dataset.class !== button.dataset.class);
    });
}
