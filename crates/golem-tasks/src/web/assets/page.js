// The page itself: the list of runs, one run, and the way between them.

let leave = () => {};
const badge = (text, kind) => h("span", { class: `badge ${kind || text}` }, words(text));
const stat = (name, value, small) => h("div", {}, h("dt", {}, name), h("dd", {}, value, small ? h("small", {}, small) : null));
const table = (heads, rows) => h("div", { class: "scroll" }, h("table", {},
  h("thead", {}, h("tr", {}, heads.map(([text, kind]) => h("th", { class: kind, scope: "col" }, text)))),
  h("tbody", {}, rows)));

// A menu of parts of which one is seen.
function tabs(parts) {
  const buttons = parts.map((part, n) => h("button", {
    role: "tab", type: "button", id: `tab-${n}`, "aria-controls": `part-${n}`, onclick: () => choose(n),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (n + step + parts.length) % parts.length;
      choose(next);
      buttons[next].focus();
    },
  }, part.name));
  const panels = parts.map((part, n) => h("div", { role: "tabpanel", id: `part-${n}`, "aria-labelledby": `tab-${n}` }, part.node));
  let now = -1;
  function choose(n) {
    now = n;
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", at === n);
      button.tabIndex = at === n ? 0 : -1;
      panels[at].hidden = at !== n;
    });
    if (parts[n].shown) parts[n].shown();
  }
  return { node: h("section", { class: "card wide" }, h("div", { class: "tabs", role: "tablist" }, buttons), panels), choose, now: () => now };
}

// ---- All runs

function runsView() {
  document.title = "Runs – golem-tasks";
  $("where").replaceChildren();
  const place = h("section", { class: "card wide" }, h("p", { class: "empty" }, "Reading the runs…"));
  put($("main"), place);
  let ages = 0;
  const show = ({ runs }) => {
    if (!runs.length) {
      put(place, h("h1", {}, "No runs yet"), h("p", {}, "They appear here by themselves once ", h("code", {}, "golem-tasks run"), " begins one in this database."));
      return;
    }
    const rows = runs.map((run) => {
      const { done, failed, left } = run.tasks;
      const all = done + failed + left;
      const state = run.paused_until ? "paused" : run.state;
      const ended = run.ended ? Date.parse(run.ended) : Date.now();
      const why = run.why && run.why !== "all_done" ? words(run.why) : "";
      return h("tr", { class: "open", onclick: () => { location.hash = `#/run/${encodeURIComponent(run.run)}`; } },
        h("td", {}, h("a", { href: `#/run/${encodeURIComponent(run.run)}` }, run.run)),
        h("td", {}, badge(state), why ? h("span", { class: "dim" }, ` ${why}`) : null),
        h("td", {}, h("span", { class: "mini", role: "img", "aria-label": `${count(done)} of ${count(all)} tasks done` },
          h("i", { class: "done", style: { width: `${100 * done / Math.max(1, all)}%` } }),
          h("i", { class: "failed", style: { width: `${100 * failed / Math.max(1, all)}%` } }))),
        h("td", { class: "num" }, count(done), h("span", { class: "dim" }, ` / ${count(all)}`)),
        h("td", { class: "num" }, failed ? h("span", { class: "badge failed" }, count(failed)) : "0"),
        h("td", { class: "num" }, glm(run.cost)),
        h("td", { class: "num hide-small", title: moment(run.began) }, age(Date.parse(run.began))),
        h("td", { class: "num hide-small" }, run.state === "interrupted" ? "–" : duration((ended - Date.parse(run.began)) / 1000)));
    });
    const heads = [["Run"], ["State"], ["Progress"], ["Tasks", "num"], ["Failed", "num"], ["GLM", "num"], ["Began", "num hide-small"], ["Took", "num hide-small"]];
    const going = runs.filter((run) => run.state === "running" || run.state === "stopping").length;
    put(place, h("h1", {}, "Runs"), h("p", { class: "note" }, `${many(runs.length, "run")}${runs.length === 200 ? ", the newest" : ""}; ${going ? `${count(going)} at work` : "none at work"}`), table(heads, rows));
    clearInterval(ages);
    ages = setInterval(() => show({ runs }), 15000);
  };
  const news = follow("api/events", "runs", show);
  return () => { news.close(); clearInterval(ages); };
}

// ---- One run

function progress(tasks, total, running) {
  const bar = (kind, n) => h("i", { class: kind, style: { width: `${100 * n / Math.max(1, total)}%` } });
  const done = 100 * tasks.done / Math.max(1, total);
  return h("div", { class: "progress", role: "progressbar", "aria-valuenow": Math.floor(done), "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Tasks done" },
    bar("done", tasks.done), bar("failed", tasks.failed), bar("running", running));
}

// A part in percent: never all of them before all are there.
function percents(n, total) {
  const fine = n > 0 && n < total && total > 2000 ? 10 : 1;
  return String(Math.floor(fine * 100 * n / total) / fine);
}

function hero(id) {
  const node = h("section", { class: "card hero wide", "aria-label": "Where the run stands" });
  const samples = [];
  let asked = false;
  // The speed of late: over the last minute, where it was watched for long enough.
  function speed(now, done, began, isOver, ended) {
    samples.push([now, done]);
    while (samples.length > 2 && samples[0][0] < now - 60000) samples.shift();
    const [then, before] = samples[0];
    if (!isOver && now - then >= 5000 && done > before) return 1000 * (done - before) / (now - then);
    return done / Math.max(0.001, ((isOver ? ended : now) - began) / 1000);
  }
  function show(run) {
    const { overview, more } = run;
    const { tasks } = overview;
    const running = overview.tasks_running;
    const known = tasks.done + tasks.failed + tasks.unfinished;
    const total = more.all_known ? Math.max(known, overview.ended ? 0 : more.expected_tasks || 0) : Math.max(more.expected_tasks || 0, known);
    const isTotal = more.all_known || more.expected_tasks !== null;
    const began = Date.parse(overview.started);
    const isOver = overview.state === "ended" || overview.state === "interrupted";
    const now = Date.parse(more.now);
    const ended = overview.ended ? Date.parse(overview.ended) : now;
    const perSecond = speed(now, tasks.done, began, isOver, ended);
    const left = Math.max(0, total - tasks.done - tasks.failed);
    const [speedValue, speedUnit] = rate(perSecond);
    const state = overview.paused_until ? "paused" : overview.state;
    const used = overview.cost_estimate;
    const failedAttempts = overview.providers.reduce((n, p) => n + p.failed_attempts, 0);
    const percent = total ? percents(tasks.done, total) : 0;
    const buttons = h("div", { class: "buttons" });
    if (!DATA) {
      buttons.append(h("a", { href: `api/runs/${encodeURIComponent(id)}/report`, download: `${id}.html` }, "Report"));
      if (site.control && (overview.state === "running" || overview.state === "stopping")) {
        buttons.append(h("button", { type: "button", class: "small danger", disabled: asked || overview.state === "stopping", onclick: async () => {
          if (!confirm(`Cancel run ${id}? It stops in order: running tasks get some seconds, bills are settled, results stay.`)) return;
          asked = true;
          show(run);
          try { await change(`api/runs/${encodeURIComponent(id)}/cancel`); } catch (error) { asked = false; trouble(error.message); }
        } }, asked || overview.state === "stopping" ? "Cancelling…" : "Cancel run"));
      }
    }
    const budget = String(more.budget || "").split(",").map((part) => part.trim().replace("/h", " an hour").replace("/d", " a day")).join(", ");
    const seconds = isOver ? (overview.wall_seconds ?? (ended - began) / 1000) : (now - began) / 1000;
    put(node, 
      h("div", { class: "top" }, h("h1", {}, id), badge(state), h("span", { class: "grow" }), buttons),
      h("div", { class: "sub" }, more.state_words),
      progress(tasks, total, running),
      h("div", { class: "legend" },
        h("span", {}, h("i", { class: "done" }), `${count(tasks.done)} done${tasks.no_result ? `, ${count(tasks.no_result)} without a result` : ""}`),
        tasks.failed ? h("span", {}, h("i", { class: "failed" }), `${count(tasks.failed)} failed`) : null,
        running ? h("span", {}, h("i", { class: "running" }), `${count(running)} running`) : null,
        left - running > 0 ? h("span", {}, h("i", { class: "waiting" }), isTotal ? `${count(left - running)} ${isOver ? "not finished" : "waiting"}` : "more to come") : null),
      h("dl", { class: "stats" },
        stat("Done", `${percent}${thin}%`, ` of ${isTotal ? "" : "at least "}${many(total, "task")}`),
        stat(isOver ? "Speed" : "Speed of late", tasks.done ? String(speedValue) : "–", tasks.done ? ` ${speedUnit}` : ""),
        isOver ? stat("Took", duration(seconds)) : stat("Time left", left === 0 ? duration(0) : isTotal && tasks.done && perSecond > 0 ? `≈${thin}${duration(left / perSecond)}` : "–"),
        isOver ? stat("Ended", overview.ended ? clock(ended, false) : "–", overview.ended ? ` ${date(ended)}` : "") : stat("Running for", duration(seconds)),
        stat("GLM", `${used !== overview.cost ? "~" : ""}${glm(used)}`, budget ? ` of ${budget}` : ""),
        stat("GLM per result", glm(overview.cost_per_result)),
        stat(isOver ? "Providers" : "At work", count(isOver ? overview.providers.length : overview.ready_activities), isOver ? "" : ` ${overview.new_activities ? `and ${count(overview.new_activities)} starting` : overview.ready_activities === 1 ? "provider" : "providers"}`),
        stat("Failed attempts", count(failedAttempts))),
      more.waiting ? h("div", { class: "warn", role: "status" }, more.waiting) : null,
      overview.unsettled && isOver ? h("div", { class: "warn" }, `${many(overview.unsettled, "rental")} not settled: `, h("code", {}, `golem-tasks settle --run-id ${id}`), " asks for the bills.") : null);
    document.title = `${isOver ? "" : `${percent} % `}${id} – golem-tasks`;
  }
  return { node, show };
}

function failuresPart() {
  const node = h("div");
  return { node, set(errors) {
    if (!errors.groups.length) { put(node, h("p", { class: "empty" }, "Nothing has failed.")); return; }
    const rows = errors.groups.map((group) => {
      const { newest } = group;
      const stderr = (newest.stderr || "").trim();
      return h("tr", {}, h("td", { class: "num" }, `${count(group.count)}×`),
        h("td", {}, badge(newest.kind && newest.about === "task" ? newest.kind : newest.about, "failed")),
        h("td", { class: "wrap" }, group.reason || "no reason given", stderr ? h("pre", {}, stderr.split("\n").slice(-6).join("\n")) : null),
        h("td", { class: "num hide-small" }, group.providers ? count(group.providers) : "–"),
        h("td", { class: "num hide-small" }, moment(group.first)), h("td", { class: "num" }, moment(newest.at)));
    });
    const more = errors.groups_in_all - errors.groups.length;
    put(node, table([["Times", "num"], ["Kind"], ["Reason"], ["Providers", "num hide-small"], ["First", "num hide-small"], ["Newest", "num"]], rows),
      more > 0 ? h("p", { class: "note" }, `and ${many(more, "other reason")}`) : null);
  } };
}

function providersPart(look, reload) {
  const node = h("div");
  let sort = ["tasks_done", -1];
  let told = null;
  const columns = [
    ["name", "Provider", "", (p) => [p.name || p.id, told.blocked.includes(p.id) ? badge("blocked", "failed") : null]],
    ["tasks_done", "Results", "num", (p) => count(p.tasks_done)],
    ["failed_attempts", "Failed", "num", (p) => p.failed_attempts ? h("span", { class: "badge failed" }, count(p.failed_attempts)) : "0"],
    ["seconds_per_result", "A result takes", "num", (p) => duration(p.seconds_per_result)],
    ["busy_seconds", "Busy", "num hide-small", (p) => duration(p.busy_seconds)],
    ["price_per_hour", "GLM/h", "num hide-small", (p) => glm(p.price_per_hour)],
    ["cost", "GLM", "num", (p) => glm(p.cost)],
    ["cost_per_result", "GLM/result", "num hide-small", (p) => glm(p.cost_per_result)],
    ["agreements", "Agreements", "num hide-small", (p) => `${count(p.agreements)}${p.rentals_failed ? `, ${count(p.rentals_failed)} failed` : ""}`],
  ];
  function paint() {
    const { providers } = told.run;
    if (!providers.length) { put(node, h("p", { class: "empty" }, "No provider has been dealt with so far.")); return; }
    const [key, way] = sort;
    const value = (p) => key === "name" ? p.name.toLowerCase() : Number(p[key] ?? -1);
    const sorted = [...providers].sort((a, b) => way * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
    const heads = columns.map(([name, text, kind]) => h("th", { class: kind, scope: "col", "aria-sort": name === key ? (way > 0 ? "ascending" : "descending") : null },
      h("button", { type: "button", onclick: () => { sort = [name, name === key ? -way : name === "name" ? 1 : -1]; paint(); } }, text, name === key ? (way > 0 ? " ▲" : " ▼") : "")));
    const act = (p) => {
      const isBlocked = told.blocked.includes(p.id);
      return h("button", { type: "button", class: "small", onclick: async (event) => {
        event.stopPropagation();
        const reason = isBlocked ? null : prompt(`Block ${p.name}? No run of this database signs with it any more. A reason, for yourself:`, "");
        if (!isBlocked && reason === null) return;
        try { await change(`api/providers/${isBlocked ? "unblock" : "block"}`, { provider: p.id, reason }); reload(); } catch (error) { trouble(error.message); }
      } }, isBlocked ? "Unblock" : "Block");
    };
    const control = !DATA && site.control;
    put(node, h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, heads, control ? h("th", {}) : null)),
      h("tbody", {}, sorted.slice(0, 500).map((p) => h("tr", { class: look ? "open" : null, title: p.id, onclick: look ? () => look(p) : null },
        columns.map(([, , kind, cell]) => h("td", { class: kind }, cell(p))), control ? h("td", { class: "num" }, act(p)) : null))))),
      sorted.length > 500 ? h("p", { class: "note" }, `${count(sorted.length - 500)} more aren't shown`) : null);
  }
  return { node, set(data) { told = data; paint(); } };
}

function settingsPart() {
  const node = h("div");
  return { node, set({ overview, more }) {
    const job = more.job || {};
    const rows = [];
    const add = (name, value) => {
      if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)) return;
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      rows.push(h("tr", {}, h("td", { class: "dim" }, words(name)), h("td", { class: "wrap mono" }, text)));
    };
    add("run", overview.run);
    add("begun", moment(overview.started));
    add("ended", overview.ended && moment(overview.ended));
    add("job", job.job);
    if (job.command) { add("command line", job.command.words.join(" ")); add("in the folder", job.command.folder); }
    add("subnet", job.subnet);
    add("payment", [job.driver, job.network].filter(Boolean).join(" on "));
    add("daemon", job.daemon && (job.daemon.devnet ? `emulated network of ${many(job.daemon.devnet.providers, "provider")}` : job.daemon.url));
    add("requestor", job.daemon && job.daemon.identity);
    for (const [name, value] of Object.entries(job.limits || {})) {
      add(name.replace(/_seconds$/, ""), name.endsWith("_seconds") ? duration(value) : value);
    }
    add("payload", job.payload);
    add("golem-tasks", more.program);
    put(node, h("table", {}, h("tbody", {}, rows)));
  } };
}

// ---- The tasks of a run: a list of any length, of which only what is seen is there

const ROW = 40;
const TALLEST = 8e6;
const PAGE = 100;

function tasksPart(id) {
  const asked = { status: "", text: "", order: "", provider: "" };
  const rows = h("div", { class: "rows" });
  const ground = h("div", {}, rows);
  const list = h("div", { class: "list", tabindex: "0", role: "listbox", "aria-label": "Tasks" }, ground);
  const note = h("span", { class: "note", role: "status" });
  const only = h("button", { type: "button", class: "small", hidden: true, onclick: () => set({ provider: "" }) });
  let total = 0, pages = new Map(), wanted = 0, chosen = -1, version = 0, timer = 0, known = false;
  const text = h("input", { type: "search", placeholder: "Search data, output, failures…  ( / )", "aria-label": "Search", oninput: () => {
    clearTimeout(timer);
    timer = setTimeout(() => set({ text: text.value }), 250);
  } });
  const select = (label, name, choices) => h("select", { "aria-label": label, onchange: (event) => set({ [name]: event.target.value }) },
    choices.map(([value, shown]) => h("option", { value }, shown)));
  const status = select("State", "status", [["", "all states"], ["done", "done"], ["failed", "failed"], ["running", "running"], ["waiting", "waiting"], ["cancelled", "cancelled"], ["expired", "expired"]]);
  const order = select("Order", "order", [["", "by number"], ["slowest", "slowest first"], ["newest", "newest first"]]);
  const node = h("div", {}, h("div", { class: "filters" }, text, status, order, only, note), list);

  function set(more) {
    Object.assign(asked, more);
    only.hidden = !asked.provider;
    chosen = -1;
    list.scrollTop = 0;
    refresh();
  }
  function refresh() {
    version += 1;
    const old = pages;
    pages = new Map();
    wanted = version;
    load(Math.floor(first() / PAGE), old).then(() => paint());
  }
  const seen = () => Math.max(1, Math.ceil(list.clientHeight / ROW) + 1);
  const height = () => Math.min(TALLEST, total * ROW);
  function first() {
    const most = Math.max(0, total * ROW - list.clientHeight);
    const scroll = total * ROW <= TALLEST ? list.scrollTop : list.scrollTop / Math.max(1, height() - list.clientHeight) * most;
    return Math.min(Math.max(0, total - 1), scroll / ROW);
  }
  async function load(page, before) {
    if (pages.has(page)) return;
    const mine = version;
    if (before && before.has(page)) pages.set(page, before.get(page));
    else pages.set(page, null);
    const query = new URLSearchParams({ ...asked, at: page * PAGE, count: PAGE });
    try {
      const told = await ask(`api/runs/${encodeURIComponent(id)}/tasks?${query}`);
      if (mine !== version) return;
      known = true;
      total = told.total;
      pages.set(page, told.tasks);
      ground.style.height = `${Math.max(height(), list.clientHeight - 2)}px`;
      const isAll = !asked.status && !asked.text.trim() && !asked.provider;
      note.textContent = `${many(total, "task")}${isAll ? "" : " found"}`;
      paint();
    } catch (error) {
      if (mine !== version) return;
      pages.delete(page);
      note.textContent = error.message;
    }
  }
  function paint() {
    const top = first();
    const from = Math.floor(top);
    const made = [];
    for (let n = from; n < Math.min(total, from + seen()); n++) {
      const page = Math.floor(n / PAGE);
      if (!pages.has(page)) load(page);
      const task = (pages.get(page) || [])[n - page * PAGE];
      made.push(row(task, n, (n - top) * ROW));
    }
    if (!total && known) made.push(h("div", { class: "empty" }, asked.text || asked.status || asked.provider ? "No task is like that." : "No tasks yet."));
    rows.replaceChildren(...made);
    list.setAttribute("aria-activedescendant", chosen >= 0 ? `task-${chosen}` : "");
  }
  function row(task, n, top) {
    const attributes = { class: task && !task.name ? "row nameless" : "row", role: "option", id: `task-${n}`, "aria-selected": String(n === chosen), "aria-posinset": n + 1, "aria-setsize": total, style: { top: `${top}px` } };
    if (!task) return h("div", attributes, h("span", { class: "num" }, "…"));
    attributes.onclick = () => { chosen = n; paint(); open(task.task); };
    return h("div", attributes, h("span", { class: "num" }, count(task.task)), h("span", { title: task.name }, task.name || h("span", { class: "dim" }, "–")),
      h("span", {}, badge(task.status === "no_result" ? "no result" : task.status, task.status)),
      h("span", { class: task.failure ? "" : "mono" }, task.failure ? task.failure.message : task.output.split("\n").filter(Boolean).slice(-1)[0] || ""),
      h("span", { class: "dim" }, task.provider || ""), h("span", { class: "num" }, task.took === null ? "" : duration(task.took)));
  }
  function open(task) { taskDialog(id, task); }
  list.addEventListener("scroll", () => requestAnimationFrame(paint), { passive: true });
  list.addEventListener("keydown", (event) => {
    const inView = Math.max(1, seen() - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: inView, PageUp: -inView, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" && chosen >= 0) {
      const task = (pages.get(Math.floor(chosen / PAGE)) || [])[chosen % PAGE];
      if (task) open(task.task);
      return;
    }
    if (step === undefined || !total) return;
    event.preventDefault();
    chosen = Math.min(total - 1, Math.max(0, chosen + step));
    const top = first();
    if (chosen < top || chosen > top + inView - 1) {
      const row = chosen < top ? chosen : chosen - inView + 1;
      const most = Math.max(1, total * ROW - list.clientHeight);
      list.scrollTop = total * ROW <= TALLEST ? row * ROW : row * ROW / most * (height() - list.clientHeight);
    }
    paint();
  });
  new ResizeObserver(() => paint()).observe(list);
  return {
    node, refresh, search: () => text.focus(),
    of(provider) { only.textContent = `of ${provider.name} ×`; set({ provider: provider.id }); },
  };
}

async function taskDialog(id, task) {
  const dialog = $("detail");
  let told;
  try { told = await ask(`api/runs/${encodeURIComponent(id)}/tasks/${task}`); } catch (error) { wrong(error); return; }
  const value = (v) => typeof v === "string" ? v : JSON.stringify(v, null, 1);
  const isThere = (v) => v !== null && v !== undefined && v !== "";
  const output = (name, o) => o && o.bytes ? [h("h3", {}, name, h("span", { class: "dim" }, ` ${many(o.bytes, "byte")}${o.cut ? ", the first MiB of them" : ""}${o.is_text ? "" : ", not text"}`)), h("pre", { tabindex: "0" }, o.text)] : null;
  const attempts = told.attempts.map((a) => h("tr", {}, h("td", { class: "num" }, a.number), h("td", {}, badge(a.outcome || "running")), h("td", {}, a.provider || "–"),
    h("td", { class: "num" }, moment(a.started)), h("td", { class: "num" }, duration(a.took)),
    h("td", { class: "wrap" }, a.failure || "", a.stderr.bytes && a.outcome !== "done" ? h("pre", {}, a.stderr.text.trim().split("\n").slice(-6).join("\n")) : null)));
  put(dialog,
    h("div", { class: "title" }, h("h2", {}, `Task ${told.task} `, badge(told.status === "no_result" ? "no result" : told.status, told.status)),
      h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
    told.failure ? h("p", {}, told.failure.message) : null,
    isThere(told.data) ? [h("h3", {}, "Data"), h("pre", { tabindex: "0" }, value(told.data))] : null,
    isThere(told.result) ? [h("h3", {}, "Result"), h("pre", { tabindex: "0" }, value(told.result))] : null,
    output("Standard output", told.stdout), output("Standard error", told.stderr),
    ...[h("h3", {}, "Attempts"), told.attempts.length ? table([["", "num"], ["Outcome"], ["Provider"], ["Began", "num"], ["Took", "num"], ["Failure"]], attempts) : h("p", { class: "empty" }, "It hasn't been tried.")].flat());
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  if (!dialog.open) dialog.showModal();
}

// ---- A run, live or in a report

function runView(id) {
  const api = `api/runs/${encodeURIComponent(id)}`;
  put($("where"), DATA ? "report" : h("a", { href: "#/" }, "all runs"));
  const top = hero(id);
  const [pace, cost, times] = [paceChart(), costChart(), timesChart()];
  let part = null;
  const timeline = timelineChart(DATA ? null : (wanted) => { part = wanted; charts(); });
  const failures = failuresPart();
  const settings = settingsPart();
  let errorsSeen = () => {}, providersSeen = () => {};
  const tasks = DATA ? null : tasksPart(id);
  const providers = providersPart(DATA ? null : (p) => { menu.choose(0); tasks.of(p); }, () => providersSeen());
  const parts = [{ name: "Failures", node: failures.node, shown: () => errorsSeen() }, { name: "Providers", node: providers.node, shown: () => providersSeen() }, { name: "Settings", node: settings.node }];
  if (tasks) parts.unshift({ name: "Tasks and results", node: tasks.node, shown: () => tasks.refresh() });
  let menu = null;
  const rest = DATA ? parts.map((one) => h("section", { class: "card wide" }, h("h2", {}, one.name), one.node)) : (menu = tabs(parts)).node;
  put($("main"), top.node, h("div", { class: "grid3" }, pace.card, cost.card, times.card), timeline.card, ...[rest].flat());
  painters = [() => timeline.paint()];
  const drawn = (told) => {
    pace.set(told.timeline);
    times.set(told.times);
    cost.set(told.spending);
    timeline.set(told.timeline);
  };
  if (DATA) {
    top.show(DATA.run);
    drawn(DATA.charts);
    failures.set(DATA.errors);
    providers.set(DATA.providers);
    settings.set(DATA.run);
    return () => {};
  }
  // What takes the server longer is asked for now and then, while the run changes and somebody looks.
  let stale = true, busy = false, gone = false, isOver = false;
  async function charts() {
    if (gone) return;
    const range = part ? `?from=${Math.round(part.from * 1000)}&until=${Math.round(part.until * 1000)}` : "";
    try { drawn(await ask(`${api}/charts${range}`)); } catch (error) { wrong(error); }
  }
  errorsSeen = async () => { try { failures.set(await ask(`${api}/errors`)); } catch (error) { wrong(error); } };
  providersSeen = async () => { try { providers.set(await ask(`${api}/providers`)); } catch (error) { wrong(error); } };
  const shown = [() => tasks.refresh(), errorsSeen, providersSeen, () => {}];
  async function again() {
    if (gone || busy || !stale || document.hidden) return;
    busy = true;
    stale = false;
    await charts();
    if (menu.now() >= 0) await shown[menu.now()]();
    busy = false;
  }
  let last = 0;
  const news = follow(`${api}/events`, "run", (run) => {
    top.show(run);
    settings.set(run);
    stale = true;
    isOver = run.overview.state === "ended";
    if (isOver) linked("over");
    if (!last || isOver) { last = 1; again(); }
  });
  menu.choose(0);
  const timer = setInterval(again, 2500);
  document.onvisibilitychange = again;
  return () => { gone = true; news.close(); clearInterval(timer); };
}

// ---- The way between them

let painters = [];
let theme = themed(kept.get("golem-tasks-theme"));
$("theme").onclick = () => {
  theme = themed(themes[(themes.indexOf(theme) + 1) % themes.length]);
  kept.set("golem-tasks-theme", theme);
  painters.forEach((paint) => paint());
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => painters.forEach((paint) => paint()));

function go() {
  leave();
  painters = [];
  trouble(null);
  if ($("detail").open) $("detail").close();
  const [, where, id] = location.hash.split("/");
  leave = where === "run" && id ? runView(decodeURIComponent(id)) : runsView();
  scrollTo(0, 0);
}
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) return;
  const search = document.querySelector("input[type=search]");
  if (search) { event.preventDefault(); search.focus(); }
});

(async () => {
  if (DATA) {
    linked("none");
    $("foot").textContent = `Report of ${moment(DATA.site.made)} by golem-tasks ${DATA.site.version}. It asks nobody, and needs no network.`;
    leave = runView(DATA.site.run);
    return;
  }
  try { site = await ask("api/site"); } catch (error) { trouble(error.message, error.advice); return; }
  $("foot").textContent = `golem-tasks ${site.version}; runs in ${site.place}`;
  addEventListener("hashchange", go);
  if (site.run && !location.hash) history.replaceState(null, "", `#/run/${encodeURIComponent(site.run)}`);
  go();
})();
