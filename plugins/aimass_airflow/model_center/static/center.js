// What the pages do beyond htmx: JSON bodies, dialogs, charts, copies, links out of Airflow's frame.
"use strict";

// Forms that change something send JSON: a form of another site cannot.
htmx.defineExtension("json-body", {
  onEvent(name, event) {
    if (name === "htmx:configRequest") event.detail.headers["Content-Type"] = "application/json";
  },
  encodeParameters(xhr, parameters) {
    const body = {};
    for (const [name, value] of parameters.entries()) {
      if (name in body) body[name] = [].concat(body[name], value);
      else body[name] = value;
    }
    return JSON.stringify(body);
  },
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    dialog.showModal();
    htmx.trigger(dialog, "opened");
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
  const out = event.target.closest("a[data-top]");
  if (out && leave(out)) event.preventDefault();
});

// Once something was done the page is out of date: it is loaded again when its dialog is closed.
document.addEventListener("close", (event) => {
  if (event.target.querySelector("[data-acted]")) location.reload();
}, true);

document.addEventListener("acted", (event) => {
  if (!event.target.closest("dialog")) location.reload();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

// Airflow's frame lets nothing out: a page of Airflow itself is opened by the page around.
function leave(link) {
  if (window.parent === window) return false;
  try {
    const base = new URL(parent.document.baseURI).pathname.replace(/\/$/, "");
    const anchor = parent.document.createElement("a");
    anchor.href = base + link.getAttribute("href");
    parent.document.body.append(anchor);
    anchor.click();
    anchor.remove();
    return true;
  } catch {
    return false;
  }
}

async function copyText(button) {
  const pre = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(pre.innerText);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(pre);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

const LINES = ["--blue", "--warn", "--good", "--bad"];
const drawn = new Map();
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function seriesOf(line, place) {
  const shared = { label: line.label, spanGaps: line.kind === "line" };
  if (line.kind === "promoted") return { ...shared, stroke: tone("--good"), paths: () => null, points: { show: true, size: 7, fill: tone("--good") } };
  if (line.kind === "kept") return { ...shared, stroke: tone("--warn"), paths: () => null, points: { show: true, size: 8, width: 2, fill: tone("--card") } };
  if (line.kind === "failed") return { ...shared, stroke: tone("--bad"), paths: () => null, points: { show: false } };
  if (line.kind === "level") return { ...shared, stroke: tone("--edge"), dash: [5, 5], width: 1.3, spanGaps: true, points: { show: false } };
  return { ...shared, stroke: tone(LINES[place % LINES.length]), width: 1.8, points: { show: true, size: 5 } };
}

// Failed nights are crosses: their shape tells them from the others, not their colour alone.
function crosses(data) {
  const place = data.series.findIndex((line) => line.kind === "failed");
  return (plot) => {
    if (place < 0) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = tone("--bad");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([]);
    const r = 4 * devicePixelRatio;
    data.series[place].values.forEach((value, index) => {
      if (value === null) return;
      const x = plot.valToPos(data.x[index], "x", true);
      const y = plot.valToPos(value, "y", true);
      ctx.beginPath();
      ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r);
      ctx.moveTo(x - r, y + r); ctx.lineTo(x + r, y - r);
      ctx.stroke();
    });
    ctx.restore();
  };
}

// Days and hours as they are written everywhere else.
const times = (_plot, splits, _axis, _space, step) =>
  splits.map((at) => new Date(at * 1000).toISOString().slice(...(step >= 86400 ? [5, 10] : [5, 16])).replace("T", " "));

// A baseline that is far away would press all scores into one line: it is drawn where it lies among them.
function span(data) {
  const values = data.series.filter((line) => line.kind !== "level").flatMap((line) => line.values).filter((v) => v !== null);
  if (!data.series.some((line) => line.kind === "promoted" || line.kind === "kept")) return null;
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * 0.12 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

function draw(box) {
  const data = JSON.parse(box.dataset.chart);
  drawn.get(box)?.destroy();
  const axis = { stroke: tone("--quiet"), grid: { stroke: tone("--rule"), width: 1 }, ticks: { stroke: tone("--rule") }, font: "12px system-ui" };
  const legend = 32;
  const plot = new uPlot({
    width: box.clientWidth,
    height: box.clientHeight - legend,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: true, y: false } },
    series: [{ label: "UTC", value: (_, at) => (at === null ? "–" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ")) },
      ...data.series.map(seriesOf).map((line) => ({ ...line, value: (_, v) => (v === null || v === undefined ? "–" : Number(v.toPrecision(4)).toString()) }))],
    scales: { y: { range: (_, low, high) => span(data) ?? uPlot.rangeNum(low, high, 0.1, true) } },
    axes: [{ ...axis, values: times, space: 90 }, { ...axis, size: 64 }],
    hooks: { draw: [crosses(data)] },
  }, [data.x, ...data.series.map((line) => line.values)], box);
  drawn.set(box, plot);
}

const watch = typeof ResizeObserver === "undefined" ? null : new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = drawn.get(target);
    if (plot && plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height: plot.height });
  }
});

function drawAll(root) {
  for (const box of root.querySelectorAll("[data-chart]")) {
    if (drawn.has(box)) continue;
    draw(box);
    watch?.observe(box);
  }
}

if (typeof uPlot !== "undefined") {
  drawAll(document);
  document.addEventListener("htmx:load", (event) => drawAll(event.target));
  document.addEventListener("theme", () => { for (const box of drawn.keys()) draw(box); });
}
