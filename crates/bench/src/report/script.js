"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const show = (event, text) => {
    tip.textContent = text;
    tip.classList.add("on");
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const above = event.clientY + 18 + box.height > innerHeight;
    tip.style.left = left + "px";
    tip.style.top = (above ? event.clientY - box.height - 12 : event.clientY + 18) + "px";
  };
  const hide = () => tip.classList.remove("on");
  const inside = (svg, event) => {
    const point = new DOMPoint(event.clientX, event.clientY);
    return point.matrixTransform(svg.getScreenCTM().inverse());
  };
  const seconds = (ms) => ms < 1000 ? Math.round(ms) + " ms" : ms < 120000 ? (ms / 1000).toFixed(1) + " s" : (ms / 60000).toFixed(1) + " min";

  for (const node of document.querySelectorAll("[data-tip]")) {
    node.addEventListener("pointermove", (event) => show(event, node.dataset.tip));
    node.addEventListener("pointerleave", hide);
  }

  const cdf = document.querySelector("svg.cdf");
  if (cdf && data.cdf) {
    const c = data.cdf;
    const cursor = document.createElementNS(cdf.namespaceURI, "path");
    cursor.id = "cursor";
    cdf.append(cursor);
    const within = (waits, ms) => {
      let low = 0, high = waits.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (waits[middle] <= ms) low = middle + 1; else high = middle;
      }
      return waits.length ? (100 * low / waits.length).toFixed(1) : "-";
    };
    cdf.addEventListener("pointermove", (event) => {
      const x = inside(cdf, event).x;
      if (x < c.from || x > c.to) return hide();
      const part = (x - c.from) / (c.to - c.from);
      const ms = part <= c.low_part ? part / c.low_part * c.log_from_ms
        : c.log_from_ms * Math.exp((part - c.low_part) / (1 - c.low_part) * Math.log(c.max_ms / c.log_from_ms));
      cursor.setAttribute("d", `M${x} ${c.top}V${c.floor}`);
      show(event, `ready within ${seconds(ms)}\n` + c.curves.map((k) => `${k.name}: ${within(k.waits, ms)} %`).join("\n"));
    });
    cdf.addEventListener("pointerleave", () => { hide(); cursor.setAttribute("d", ""); });
  }

  const map = document.querySelector("svg.map");
  if (map && data.map) {
    const m = data.map, step = m.cell + m.gap;
    const corner = (h, n) => [h[3] + n % h[5] * step, h[4] + Math.floor(n / h[5]) * step];
    map.addEventListener("pointermove", (event) => {
      const at = inside(map, event);
      for (const h of m.hosts) {
        const column = Math.floor((at.x - h[3]) / step), row = Math.floor((at.y - h[4]) / step);
        const n = row * h[5] + column;
        if (column < 0 || row < 0 || column >= h[5] || n >= h[6].length) continue;
        const apps = h[7][n].map((a) => data.apps[a]).join(", ");
        return show(event, `${h[0]}, GPU ${n} (${h[1]}, ${h[2]})\n` + (h[6][n] ? `${h[6][n]} of 1000 promised: ${apps}` : "free"));
      }
      hide();
    });
    map.addEventListener("pointerleave", hide);
    const lit = document.getElementById("lit");
    for (const row of document.querySelectorAll("tr[data-app]")) {
      const app = Number(row.dataset.app);
      row.addEventListener("pointerenter", () => {
        let d = "";
        for (const h of m.hosts) h[7].forEach((apps, n) => {
          if (!apps.includes(app)) return;
          const [x, y] = corner(h, n);
          d += `M${x} ${y}h${m.cell}v${m.cell}h-${m.cell}z`;
        });
        lit.setAttribute("d", d);
      });
      row.addEventListener("pointerleave", () => lit.setAttribute("d", ""));
    }
  }
})();
