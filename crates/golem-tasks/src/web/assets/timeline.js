// The timeline: a lane for each provider, with its rentals as bands and its attempts on them. A canvas, for there may be many.

const LANE = 24;
const HEAD = 24;

function timelineChart(zoom) {
  const canvas = h("canvas", { tabindex: "0", role: "img" });
  const place = h("div", { class: "lanes" }, canvas);
  const note = h("div", { class: "note" });
  const whole = h("button", { type: "button", class: "small", onclick: () => zoom && zoom(null) }, "whole run");
  const buttons = h("div", { class: "buttons", hidden: !zoom },
    h("button", { type: "button", class: "small", title: "Zoom in (+)", "aria-label": "Zoom in", onclick: () => by(0.5, 0) }, "+"),
    h("button", { type: "button", class: "small", title: "Zoom out (-)", "aria-label": "Zoom out", onclick: () => by(2, 0) }, "−"),
    h("button", { type: "button", class: "small", "aria-label": "Earlier", onclick: () => by(1, -0.5) }, "←"),
    h("button", { type: "button", class: "small", "aria-label": "Later", onclick: () => by(1, 0.5) }, "→"),
    whole);
  const legend = h("div", { class: "legend", "aria-hidden": "true" },
    [["done", "results"], ["running", "running"], ["failed", "failed"], ["other", "cancelled or lost"], ["rented", "rented, idle"], ["asked", "asked for, starting"]]
      .map(([kind, text]) => h("span", {}, h("i", { class: kind }), text)));
  const card = h("section", { class: "card wide", "aria-label": "Timeline" },
    h("div", { class: "title" }, h("h2", {}, "Timeline"), buttons), note, legend, place);
  let data = null;
  let drag = null;
  let width = 0;
  const left = () => width < 560 ? 96 : 168;
  const x = (ms) => left() + (width - left() - 8) * (ms - data.span.from) / Math.max(1e-9, data.span.until - data.span.from);
  const time = (px) => data.span.from + (px - left()) / Math.max(1, width - left() - 8) * (data.span.until - data.span.from);

  function by(factor, shift) {
    if (!zoom || !data) return;
    const { span, run } = data;
    const length = (span.until - span.from) * factor;
    const middle = (span.from + span.until) / 2 + (span.until - span.from) * shift;
    let from = Math.max(run.from, middle - length / 2);
    const until = Math.min(run.until, from + length);
    from = Math.max(run.from, until - length);
    if (until - from >= run.until - run.from - 1) zoom(null);
    else if (until - from >= 5) zoom({ from, until });
  }

  function paint() {
    if (!data || !place.clientWidth) return;
    width = place.clientWidth;
    const height = HEAD + Math.max(1, data.lanes.length) * LANE + 4;
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const c = canvas.getContext("2d");
    c.scale(dense, dense);
    const colours = Object.fromEntries(["text", "dim", "line", "done", "failed", "running", "other", "rented", "asked", "card"].map((name) => [name, colour(name)]));
    c.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    c.textBaseline = "middle";
    const { all } = timeSteps(data.span.from, data.span.until, Math.max(2, Math.floor((width - left()) / 90)));
    for (const at of all) {
      c.fillStyle = colours.line;
      c.fillRect(Math.round(x(at)), HEAD - 4, 1, height);
      c.fillStyle = colours.dim;
      const text = data.span.from - data.run.from < 1 ? sinceText(data.run.from)(at) : clock(at);
      const w = c.measureText(text).width;
      c.fillText(text, Math.min(x(at) + 3, width - w - 2), 10);
    }
    c.save();
    c.beginPath();
    c.rect(left(), 0, width - left() - 8, height);
    c.clip();
    data.lanes.forEach((lane, n) => {
      const y = HEAD + n * LANE;
      for (const [asked, approved, ready, ended, failure] of lane.stays) {
        const end = x(ended === null ? data.span.until : ended);
        const begin = x(asked);
        const works = ready === null ? end : x(ready);
        c.fillStyle = approved === null && ended !== null ? colours.failed : colours.asked;
        c.fillRect(begin, y + 9, Math.max(1.5, works - begin), 6);
        if (ready !== null) {
          c.fillStyle = colours.rented;
          c.fillRect(works, y + 4, Math.max(1.5, end - works), 16);
        }
        if (failure) {
          c.fillStyle = colours.failed;
          c.fillRect(Math.max(begin, end - 2), y + 2, 3, 20);
        }
      }
      // Attempts of one script overlap: what came to nothing lies beneath, and failures on top.
      const kinds = [["cancelled", "other", 15, 5], ["lost", "other", 4, 16], [null, "running", 4, 16], ["done", "done", 4, 16], ["failed", "failed", 15, 5]];
      for (const [kind, name, top, high] of kinds) {
        c.fillStyle = colours[name];
        for (const [, , from, until, outcome] of lane.pieces) {
          if (outcome !== kind) continue;
          const w = x(until === null ? data.span.until : until) - x(from);
          c.fillRect(x(from), y + top, Math.max(1, w > 3 ? w - 1 : w), high);
          if (kind === "failed") c.fillRect(Math.max(x(from), x(until) - 3), y + 4, 3, 16);
        }
      }
      const cell = x(data.span.from + data.cell_ms) - x(data.span.from);
      for (const [at, busy, done, failed, other] of lane.cells) {
        const px = x(data.span.from + at * data.cell_ms);
        const high = Math.max(done || failed || other ? 3 : 1, 16 * busy);
        c.fillStyle = done || !failed ? (done || !other ? colours.done : colours.other) : colours.failed;
        c.fillRect(px, y + 20 - high, Math.max(1, cell), high);
        const lost = failed + other;
        if (lost) {
          c.fillStyle = failed ? colours.failed : colours.other;
          const part = Math.max(3, high * lost / Math.max(1, done + lost));
          c.fillRect(px, y + 20 - high, Math.max(1.5, cell), Math.min(high, part));
        }
      }
    });
    c.restore();
    data.lanes.forEach((lane, n) => {
      const y = HEAD + n * LANE;
      c.fillStyle = colours.text;
      let name = lane.name || lane.id;
      while (name.length > 2 && c.measureText(name).width > left() - 10) name = name.slice(0, -2) + "…";
      c.fillText(name, 0, y + 12);
      c.fillStyle = colours.line;
      c.fillRect(0, y + LANE - 0.5, width, 0.5);
    });
    if (drag && drag.now !== null) {
      c.globalAlpha = 0.18;
      c.fillStyle = colours.running;
      c.fillRect(Math.min(drag.from, drag.now), HEAD - 4, Math.abs(drag.now - drag.from), height);
      c.globalAlpha = 1;
    }
    const attempts = data.lanes.reduce((sum, lane) => sum + lane.attempts, 0);
    const zoomed = data.span.from - data.run.from > 1 || data.run.until - data.span.until > 1;
    const parts = [many(data.lanes.length + data.left_out, "provider"), many(attempts, "attempt")];
    if (data.left_out) parts.push(`${count(data.left_out)} with less work aren't drawn`);
    parts.push(zoomed ? `${clock(data.span.from)} to ${clock(data.span.until)}` : `from ${day(data.run.from)} ${clock(data.run.from)}`);
    if (!data.one_by_one) parts.push(`a column stands for ${duration(data.cell_ms / 1000)}, its height for how busy it was`);
    note.textContent = parts.join("; ");
    canvas.setAttribute("aria-label", `Timeline: ${note.textContent}. Plus, minus, arrows and 0 zoom.`);
    whole.disabled = !zoomed;
  }

  // What lies beneath the pointer.
  function beneath(px, py) {
    const n = Math.floor((py - HEAD) / LANE);
    const lane = data && py >= HEAD && data.lanes[n];
    if (!lane) return null;
    const lines = [`${lane.name} (${lane.id.slice(0, 10)}…)`];
    if (px < left()) return lines.concat(`${many(lane.attempts, "attempt")}, ${many(lane.stays.length, "rental")}`);
    const at = time(px);
    const rank = (piece) => ({ done: 3, failed: 2, lost: 1, cancelled: 0 })[piece[4]] ?? 3;
    const piece = [...lane.pieces].reverse().sort((a, b) => rank(b) - rank(a)).find(([, , from, until]) => x(from) - 1 <= px && px <= Math.max(x(from) + 2, x(until === null ? data.span.until : until)));
    if (piece) {
      const [task, number, from, until, outcome] = piece;
      lines.push(`task ${task}, attempt ${number}: ${outcome || "running"}`, `from ${clock(from)} for ${duration(((until ?? data.span.until) - from) / 1000)}`);
    }
    const place = Math.floor((at - data.span.from) / data.cell_ms);
    const cell = lane.cells.find(([c]) => c === place);
    if (cell) {
      const [, busy, done, failed, other] = cell;
      lines.push(`${many(done, "result")}${failed ? `, ${count(failed)} failed` : ""}${other ? `, ${count(other)} cancelled or lost` : ""}; busy ${Math.round(busy * 100)} %`,
        `from ${clock(data.span.from + place * data.cell_ms)} for ${duration(data.cell_ms / 1000)}`);
    }
    const stay = lane.stays.find(([asked, , , ended]) => asked <= at && at <= Math.max(ended ?? Infinity, asked + 3 * data.cell_ms));
    if (stay) {
      const [asked, approved, ready, ended, failure] = stay;
      lines.push(`rented ${clock(asked)} to ${ended === null ? "now" : clock(ended)}${ready ? `, ready after ${duration((ready - asked) / 1000)}` : approved ? ", never ready" : ", not approved"}`);
      if (failure) lines.push(short(failure, 160));
    }
    return lines;
  }

  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = spot(event);
    if (drag) {
      drag.now = Math.min(width - 8, Math.max(left(), px));
      paint();
    }
    tip(event.clientX, event.clientY, drag && drag.now !== null ? null : beneath(px, py));
  });
  canvas.addEventListener("pointerleave", () => tip(0, 0, null));
  canvas.addEventListener("pointerdown", (event) => {
    const [px] = spot(event);
    if (!zoom || event.pointerType === "touch" || px < left()) return;
    drag = { from: px, now: null };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => {
    const done = drag;
    drag = null;
    if (done && done.now !== null && Math.abs(done.now - done.from) > 6) {
      const [from, until] = [time(Math.min(done.from, done.now)), time(Math.max(done.from, done.now))];
      zoom({ from, until });
    } else if (data) paint();
  });
  canvas.addEventListener("dblclick", () => zoom && zoom(null));
  canvas.addEventListener("keydown", (event) => {
    const act = { "+": [0.5, 0], "=": [0.5, 0], "-": [2, 0], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25], 0: [1e9, 0] }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    by(...act);
  });
  new ResizeObserver(paint).observe(place);
  return { card, set(timeline) { if (!drag) { data = timeline; paint(); } }, paint: () => data && paint() };
}
