// Brings the figures of a report to life: hover, tap, keys, arms, brush, and the best use of a budget.
// Without it the page shows the same figures and tables. It reads only what the page holds.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const NEAR = 16; // px from a point at which it is meant
  const DRAG = 6; // px from which a press is a brush
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const arms = new Map(data.arms.map((arm) => [arm.key, arm]));
  const hidden = new Set();
  const tip = document.getElementById("tip");
  const status = document.getElementById("brushed");
  const clear = document.getElementById("clear");
  let pinned = false;

  const make = (parent, tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return parent.appendChild(node);
  };
  const text = (parent, tag, words) => {
    const node = document.createElement(tag);
    node.textContent = words;
    return parent.appendChild(node);
  };
  const flops = (value) => {
    const [mantissa, power] = value.toExponential(1).split("e");
    return mantissa.replace(/\.0$/, "") + "e" + Number(power);
  };
  const say = (value) => {
    if (value >= 1e13) return flops(value);
    for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]])
      if (value >= size * 0.9995) return Number((value / size).toPrecision(3)) + letter;
    return String(Number(value.toPrecision(3)));
  };
  const words = (name, value) => {
    if (typeof value !== "number") return value === null ? "–" : String(value);
    if (name === "C") return flops(value) + " FLOP";
    if (name === "N" || name === "D") return say(value);
    if (name === "loss") return value.toFixed(4);
    if (name === "residual") return (value > 0 ? "+" : "") + value.toFixed(2) + "\u00a0%";
    return String(Number(value.toPrecision(6)));
  };

  // Every point of every figure, by the run that it is.
  const plots = [...document.querySelectorAll("svg[data-name]")].map((svg) => {
    const points = [];
    for (const group of svg.querySelectorAll("g[data-runs]")) {
      const runs = group.dataset.runs.split(" ");
      const marks = [...group.querySelectorAll("use")];
      if (marks.length !== runs.length) continue; // some lie outside of the frame: which, is not known
      marks.forEach((mark, i) => {
        const x = Number(mark.getAttribute("x")), y = Number(mark.getAttribute("y"));
        points.push({ mark, x, y, arm: group.dataset.arm, id: group.dataset.arm + ":" + runs[i], run: runs[i] });
      });
    }
    points.sort((a, b) => a.x - b.x || a.y - b.y);
    const frame = JSON.parse(svg.dataset.frame);
    const over = make(svg, "g", { class: "over" });
    return { svg, points, frame, over, rings: make(over, "g", {}), best: make(over, "g", {}), at: -1 };
  });
  const seen = (point) => !hidden.has(point.arm);

  // One run: its name, where it is, what it had, and a ring around it in every figure.
  function show(plot, point, x, y) {
    const arm = arms.get(point.arm);
    const row = arm && arm.runs[point.run];
    if (!row) return;
    tip.replaceChildren();
    text(tip, "strong", row[0]);
    if (data.arms.length > 1) text(tip, "span", arm.label);
    const list = tip.appendChild(document.createElement("dl"));
    arm.columns.forEach((name, i) => {
      if (i === 0 || row[i] === null) return;
      text(list, "dt", name);
      text(list, "dd", words(name, row[i]));
    });
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    const left = x + 16 + width > innerWidth ? Math.max(4, x - width - 16) : x + 16;
    tip.style.left = left + scrollX + "px";
    tip.style.top = Math.max(4, Math.min(y - height / 2, innerHeight - height - 4)) + scrollY + "px";
    for (const other of plots) {
      other.rings.replaceChildren();
      for (const same of other.points)
        if (same.id === point.id && seen(same))
          make(other.rings, "circle", { class: "ring", cx: same.x, cy: same.y, r: 6 });
    }
  }
  function hide() {
    tip.hidden = true;
    pinned = false;
    for (const plot of plots) { plot.rings.replaceChildren(); plot.at = -1; }
  }
  const place = (plot, event) =>
    new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.svg.getScreenCTM().inverse());
  function nearest(plot, event) {
    const here = place(plot, event), scale = plot.svg.getScreenCTM().a;
    let best = null, least = NEAR / scale;
    for (const point of plot.points) {
      const away = Math.hypot(point.x - here.x, point.y - here.y);
      if (away < least && seen(point)) { best = point; least = away; }
    }
    return best;
  }
  function step(plot, move) {
    const shown = plot.points.filter(seen);
    if (!shown.length) return;
    plot.at = Math.max(0, Math.min(shown.length - 1, move(plot.at, shown.length)));
    const point = shown[plot.at], box = point.mark.getBoundingClientRect();
    show(plot, point, box.left + box.width / 2, box.top + box.height / 2);
  }

  // A brush in one figure picks runs in all.
  function pick(ids) {
    for (const plot of plots)
      for (const point of plot.points) point.mark.classList.toggle("dim", ids !== null && !ids.has(point.id));
    clear.hidden = ids === null;
    const n = ids === null ? 0 : ids.size;
    status.textContent = ids === null ? "" : n + (n === 1 ? " run" : " runs") + " selected in every figure";
  }

  const KEYS = {
    ArrowRight: (at) => at + 1, ArrowDown: (at) => at + 1, ArrowLeft: (at) => at - 1,
    ArrowUp: (at) => at - 1, Home: () => 0, End: (at, n) => n - 1,
  };
  for (const plot of plots) {
    const { svg } = plot;
    if (!plot.points.length) continue;
    svg.setAttribute("tabindex", "0");
    let from = null, box = null;
    svg.addEventListener("pointermove", (event) => {
      if (from) {
        const to = place(plot, event);
        if (!box && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > DRAG) {
          hide();
          box = make(plot.over, "rect", { class: "brush" });
        }
        if (box) {
          const start = place(plot, from);
          box.setAttribute("x", Math.min(start.x, to.x));
          box.setAttribute("y", Math.min(start.y, to.y));
          box.setAttribute("width", Math.abs(to.x - start.x));
          box.setAttribute("height", Math.abs(to.y - start.y));
          return;
        }
      }
      if (pinned) return;
      const point = nearest(plot, event);
      if (point) show(plot, point, event.clientX, event.clientY);
      else hide();
    });
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      from = event;
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointerup", (event) => {
      if (box) {
        const a = place(plot, from), b = place(plot, event);
        const inside = (v, p, q) => v >= Math.min(p, q) && v <= Math.max(p, q);
        const ids = plot.points.filter((p) => seen(p) && inside(p.x, a.x, b.x) && inside(p.y, a.y, b.y));
        pick(ids.length ? new Set(ids.map((p) => p.id)) : null);
        box.remove();
      } else {
        const point = nearest(plot, event);
        hide();
        if (point) { show(plot, point, event.clientX, event.clientY); pinned = true; }
      }
      from = box = null;
    });
    svg.addEventListener("pointerleave", () => { if (!pinned) hide(); });
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      if (event.key in KEYS) { step(plot, KEYS[event.key]); event.preventDefault(); }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { hide(); pick(null); }
  });
  clear.addEventListener("click", () => pick(null));

  // Arms on and off, in every figure.
  for (const box of document.querySelectorAll("input[data-toggle]"))
    box.addEventListener("change", () => {
      const key = box.dataset.toggle;
      if (box.checked) hidden.delete(key);
      else hidden.add(key);
      hide();
      for (const group of document.querySelectorAll(`[data-arm="${key}"]`))
        group.style.display = box.checked ? "" : "none";
    });

  // The best use of a budget, between the computes at which the page knows it.
  const slider = document.getElementById("budget");
  function between(grid, values, at) {
    const after = grid.findIndex((c) => c >= at);
    const first = Math.max(0, Math.min((after < 0 ? grid.length : after) - 2, grid.length - 4));
    const near = [...grid.keys()].slice(first, first + 4); // a cubic through four neighbours, in logarithms
    const here = Math.max(grid[0], Math.min(at, grid.at(-1)));
    const weight = near.map((i) =>
      near.reduce((w, j) => (j === i ? w : (w * (here - grid[j])) / (grid[i] - grid[j])), 1));
    return values[0].map((_, k) => near.some((i) => values[i][k] === null) ? null
      : Math.exp(near.reduce((sum, i, n) => sum + weight[n] * Math.log(values[i][k]), 0)));
  }
  const pixel = ([scale, low, high, first, last], value) => {
    const share = scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return share < -0.001 || share > 1.001 ? null : first + share * (last - first);
  };
  function mark(plot, arm, best) {
    const { shows, x, y } = plot.frame;
    if (!shows || (plot.frame.arm && plot.frame.arm !== arm.key)) return;
    const [across, up] = shows.map((name) => best[name]);
    const cx = pixel(x, across[0]), cy = pixel(y, up[0]);
    if (cx === null || cy === null) return;
    const group = make(plot.best, "g", { "data-arm": arm.key, class: "best", style: `--arm:var(--${arm.ink.slice(1)},${arm.ink})` });
    if (hidden.has(arm.key)) group.style.display = "none";
    const clip = (axis, value) => {
      const ends = [axis[1], axis[2]];
      return pixel(axis, Math.min(Math.max(value, Math.min(...ends)), Math.max(...ends)));
    };
    if (across[1] && across[1] !== across[2])
      make(group, "line", { x1: clip(x, across[1]), x2: clip(x, across[2]), y1: cy, y2: cy });
    if (up[1] && up[1] !== up[2])
      make(group, "line", { x1: cx, x2: cx, y1: clip(y, up[1]), y2: clip(y, up[2]) });
    make(group, "circle", { cx, cy, r: 5 });
  }
  function move() {
    const at = Number(slider.value), C = 10 ** at;
    const said = flops(C) + " FLOP";
    document.getElementById("budget-said").textContent = said;
    slider.setAttribute("aria-valuetext", said);
    for (const plot of plots) plot.best.replaceChildren();
    for (const arm of data.arms) {
      const row = document.querySelector(`tr[data-best="${arm.key}"]`);
      if (!arm.best || !row) continue;
      const found = { C: [C, C, C] };
      for (const name of ["N", "D", "loss"]) found[name] = between(arm.best.C, arm.best[name], at);
      const span = (name) => found[name][1] === null ? "not bounded"
        : words(name, found[name][1]) + "–" + words(name, found[name][2]);
      const ratio = Number((found.D[0] / found.N[0]).toPrecision(3));
      const beyond = C / arm.largest;
      const cells = [words("N", found.N[0]), span("N"), words("D", found.D[0]), span("D"), String(ratio),
        words("loss", found.loss[0]), span("loss"),
        beyond > 1.01 ? say(beyond) + " times the largest run" : "within the runs"];
      [...row.cells].slice(1).forEach((cell, i) => { cell.textContent = cells[i]; });
      for (const plot of plots) mark(plot, arm, found);
    }
  }
  if (slider) {
    slider.addEventListener("input", move);
    move();
  }

  for (const button of document.querySelectorAll("button[data-copy]"))
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(source); // a file:// page may not write: the reader presses Ctrl+C
        button.textContent = "selected: press Ctrl+C";
      }
    });
  for (const node of document.querySelectorAll("[data-alive]")) node.hidden = false;
})();
