// The drawings but for the timeline: SVG made anew whenever the numbers or the width change.

// A drawing that follows the width of its place.
function chart(title, label, draw) {
  const place = h("div", { class: "chart" });
  const note = h("div", { class: "note" });
  const card = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), note, place);
  let data = null;
  const paint = () => {
    if (!data || !place.clientWidth) return;
    const { node, text } = draw(data, place.clientWidth);
    place.replaceChildren(node);
    put(note, text);
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", `${title}: ${note.textContent}`);
  };
  new ResizeObserver(paint).observe(place);
  return { card, set(numbers) { data = numbers; paint(); } };
}

const HIGH = 170;
const EDGE = { top: 10, right: 12, bottom: 22, left: 46 };

// The frame of a drawing with its axes; `x` and `y` turn values into places.
function frame(width, xs, ys, xText, yText) {
  const right = width - EDGE.right;
  const bottom = HIGH - EDGE.bottom;
  const x = (v) => EDGE.left + (right - EDGE.left) * xs.part(v);
  const top = ys.all[ys.all.length - 1] || 1;
  const y = (v) => bottom - (bottom - EDGE.top) * Math.min(1, v / top);
  const node = s("svg", { viewBox: `0 0 ${width} ${HIGH}`, width, height: HIGH },
    ys.all.map((v) => [
      s("line", { class: "grid", x1: EDGE.left, x2: right, y1: y(v), y2: y(v) }),
      s("text", { class: "axis", x: EDGE.left - 6, y: y(v) + 4, "text-anchor": "end" }, yText(v)),
    ]),
    xs.all.map((v, n) => s("text", {
      class: "axis", x: x(v), y: HIGH - 6, "text-anchor": n === 0 ? "start" : x(v) > right - 14 ? "end" : "middle",
    }, xText(v))));
  return { node, x, y, right, bottom };
}
// Tells what is beneath the pointer.
function pointed(node, find) {
  const on = (event) => {
    const box = node.getBoundingClientRect();
    const lines = find(event.clientX - box.left);
    tip(event.clientX, event.clientY, lines);
  };
  node.addEventListener("pointermove", on);
  node.addEventListener("pointerdown", on);
  node.addEventListener("pointerleave", () => tip(0, 0, null));
}
const timeAxis = (from, until, width) => {
  const { all } = timeSteps(from, until, Math.max(2, Math.floor(width / 90)));
  return { all, part: (v) => (v - from) / Math.max(1e-9, until - from) };
};
const sinceText = (from) => (v) => v - from < 1 ? "0" : duration((v - from) / 1000);

// Results over time, as columns.
const paceChart = () => chart("Results over time", "", (timeline, width) => {
  const { span, cell_ms: cell } = timeline;
  // A few cells make a column: columns are to be seen.
  const wanted = Math.max(1, Math.ceil(timeline.pace.length / Math.max(1, Math.floor((width - 60) / 5))));
  const columns = [];
  for (let at = 0; at < timeline.pace.length; at += wanted) {
    const some = timeline.pace.slice(at, at + wanted);
    columns.push([at, some.reduce((n, c) => n + c[0], 0), some.reduce((n, c) => n + c[1], 0), some.length]);
  }
  const perSecond = (n, cells) => n / Math.max(1e-9, cells * cell / 1000);
  const top = Math.max(...columns.map(([, done, failed, n]) => perSecond(done + failed, n)), 0);
  const [, unit] = rate(top || 1);
  const factor = { "/s": 1, "/min": 60, "/h": 3600 }[unit];
  const all = steps(top * factor, 3);
  const { node, x, y, bottom } = frame(width, timeAxis(span.from, span.until, width), { all }, sinceText(timeline.run.from),
    (v) => count(v) === String(v) || v >= 1 ? String(Number(v.toPrecision(3))) : String(v));
  for (const [at, done, failed, n] of columns) {
    const left = x(span.from + at * cell);
    const w = Math.max(1, x(span.from + (at + n) * cell) - left - 1);
    const yDone = y(perSecond(done, n) * factor);
    const yAll = y(perSecond(done + failed, n) * factor);
    if (done) node.append(s("rect", { class: "done", x: left, y: yDone, width: w, height: Math.max(0.5, bottom - yDone) }));
    if (failed) node.append(s("rect", { class: "failed", x: left, y: yAll, width: w, height: Math.max(1.5, yDone - yAll) }));
  }
  pointed(node, (at) => {
    const found = columns.find(([c, , , n]) => at >= x(span.from + c * cell) && at < x(span.from + (c + n) * cell));
    if (!found) return null;
    const [c, done, failed, n] = found;
    return [`${many(done, "result")}${failed ? `, ${count(failed)} failed` : ""}`,
      `${rate(perSecond(done, n)).join(thin)} from ${clock(span.from + c * cell)} for ${duration(n * cell / 1000)}`];
  });
  const done = timeline.pace.reduce((n, c) => n + c[0], 0);
  const failed = timeline.pace.reduce((n, c) => n + c[1], 0);
  const seconds = (span.until - span.from) / 1000;
  const text = done || failed
    ? `${many(done, "result")} in ${duration(seconds)}, ${rate(done / Math.max(1e-3, seconds)).join(thin)} on average${failed ? `; ${many(failed, "attempt")} failed` : ""}`
    : "no results yet";
  return { node, text };
});

// The cost over time against the budget's limits, as steps.
const costChart = () => chart("Cost over time", "", (spending, width) => {
  const lines = [{ name: "in all", className: "line-all", points: spending.points, limit: spending.limit }]
    .concat(spending.windows.map((w) => ({
      name: `in any ${w.window}`, className: `line-${w.window}`, points: w.points, limit: w.limit,
    })));
  const last = (points) => points.length ? Number(points[points.length - 1][1]) : 0;
  const highest = Math.max(0, ...lines.flatMap((line) => line.points.map((p) => Number(p[1]))));
  const limits = lines.map((line) => Number(line.limit)).filter((limit) => limit > 0);
  // A limit far above is said, not drawn: the line would lie on the ground.
  const near = limits.filter((limit) => highest === 0 || limit < highest * 4);
  const top = Math.max(highest, ...near) || 1;
  const from = spending.points[0][0];
  const until = Math.max(from + 1, spending.points[spending.points.length - 1][0]);
  const { node, x, y, right } = frame(width, timeAxis(from, until, width), { all: steps(top, 3) }, sinceText(from), (v) => glm(v, 2));
  for (const line of lines) {
    if (Number(line.limit) > 0 && near.includes(Number(line.limit))) {
      const at = y(Number(line.limit));
      node.append(s("line", { class: `limit ${line.className}`, x1: EDGE.left, x2: right, y1: at, y2: at }),
        s("text", { class: "axis", x: EDGE.left + 4, y: at < EDGE.top + 12 ? at + 13 : at - 4 }, `limit ${line.name}`));
    }
    let path = "";
    let before = null;
    for (const [at, amount] of line.points) {
      path += before === null ? `M${x(at).toFixed(1)} ${y(Number(amount)).toFixed(1)}`
        : `L${x(at).toFixed(1)} ${y(before).toFixed(1)}L${x(at).toFixed(1)} ${y(Number(amount)).toFixed(1)}`;
      before = Number(amount);
    }
    if (line.className === "line-all") {
      node.append(s("path", { class: "area", d: `${path}L${x(until)} ${y(0)}L${x(from)} ${y(0)}Z` }));
    }
    node.append(s("path", { class: `line ${line.className}`, d: path }));
  }
  pointed(node, (at) => lines.map((line) => {
    let value = 0;
    for (const [t, amount] of line.points) if (x(t) <= at) value = amount;
    return `${glm(value, 4)} GLM ${line.name}`;
  }));
  const text = lines.map((line, n) => h("span", { class: `key ${line.className}` },
    `${n ? "; " : ""}${glm(last(line.points))}${line.limit ? ` of ${glm(line.limit)}` : ""} GLM ${line.name}`));
  return { node, text };
});

// The spread of the times that attempts took, as columns that widen with the time.
const timesChart = () => chart("Task times", "", (times, width) => {
  const { columns } = times;
  if (!columns.length) return { node: s("svg", { width, height: HIGH }), text: "no attempt has ended yet" };
  const low = Math.log(columns[0][0]);
  const high = Math.log(columns[columns.length - 1][1]);
  const part = (v) => high === low ? 0.5 : (Math.log(Math.max(v, columns[0][0])) - low) / (high - low);
  const nice = [];
  for (let power = -4; power < 6; power++) for (const n of [1, 2, 5]) nice.push(n * 10 ** power);
  let all = nice.filter((v) => v >= columns[0][0] && v <= columns[columns.length - 1][1]);
  if (all.length < 2) all = [columns[0][0], columns[columns.length - 1][1]];
  while (all.length > Math.max(2, width / 70)) all = all.filter((_, n) => n % 2 === 0);
  const top = Math.max(...columns.map((c) => c[2] + c[3]), 1);
  const { node, x, y, bottom } = frame(width, { all, part }, { all: steps(top, 3) }, duration, (v) => v >= 10000 ? `${v / 1000}k` : String(v));
  for (const [from, until, done, failed] of columns) {
    const left = x(from);
    const w = Math.max(1, x(until) - left - 1);
    if (done) node.append(s("rect", { class: "done", x: left, y: y(done), width: w, height: Math.max(0.5, bottom - y(done)) }));
    if (failed) node.append(s("rect", { class: "failed", x: left, y: y(done + failed), width: w, height: Math.max(1.5, y(done) - y(done + failed)) }));
  }
  for (const [name, value] of [["half", times.p50], ["90 %", times.p90]]) {
    if (value === null || value === undefined) continue;
    node.append(s("line", { class: "mark", x1: x(value), x2: x(value), y1: EDGE.top, y2: bottom }),
      s("text", { class: "axis strong", x: x(value) + 3, y: EDGE.top + (name === "half" ? 8 : 20) }, name));
  }
  pointed(node, (at) => {
    const found = columns.find(([from, until]) => at >= x(from) && at < x(until));
    return found && [`${many(found[2], "result")}${found[3] ? `, ${count(found[3])} failed` : ""}`,
      `in ${duration(found[0])} to ${duration(found[1])}`];
  });
  const text = times.done
    ? `half of the results within ${duration(times.p50)}, 90 % within ${duration(times.p90)}, the longest ${duration(times.longest)}`
    : "no results yet";
  return { node, text };
});
