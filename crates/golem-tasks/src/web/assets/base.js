// The ground of the page: elements, numbers in words, and where the data comes from.

const DATA = (() => {
  const element = document.getElementById("data");
  return element && JSON.parse(element.textContent);
})();
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// An element with attributes and children. Texts become text, never HTML.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Puts these children into an element in place of what it had.
const put = (element, ...children) => {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
};

// Numbers and times for people.
const thin = "\u202f";
const count = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, thin);
const many = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
function glm(amount, digits = 3) {
  const n = Number(amount);
  if (amount === null || amount === undefined || Number.isNaN(n)) return "–";
  if (n === 0) return "0";
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(n))));
  return Math.abs(n) >= 10000 ? count(n) : String(Number(n.toFixed(Math.min(18, Math.max(2, places)))));
}
function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const t = Math.max(0, seconds);
  if (t === 0) return "0" + thin + "s";
  if (t < 0.0995) return `${Number((t * 1000).toPrecision(2))}${thin}ms`;
  if (t < 9.95) return `${Number(t.toPrecision(2))}${thin}s`;
  if (t < 59.5) return `${Math.round(t)}${thin}s`;
  const whole = Math.round(t);
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([length]) => whole >= length);
  const [length, word] = parts[first];
  const [next, small] = parts[first + 1] || [1, ""];
  const rest = Math.floor((whole % length) / next);
  const head = `${Math.floor(whole / length)}${thin}${word}`;
  return rest && small ? `${head} ${rest}${thin}${small}` : head;
}
const rate = (r) => r >= 1 ? [r >= 100 ? count(r) : Number(r.toPrecision(3)), "/s"]
  : r * 60 >= 1 ? [Number((r * 60).toPrecision(3)), "/min"] : [Number((r * 3600).toPrecision(3)), "/h"];
const pad = (n) => String(n).padStart(2, "0");
function clock(ms, withSeconds = true) {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}${withSeconds ? ":" + pad(at.getSeconds()) : ""}`;
}
function day(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
function date(ms) {
  const at = new Date(ms);
  return `${at.getDate()}${thin}${MONTHS[at.getMonth()]}`;
}
const moment = (text) => text ? `${day(Date.parse(text))} ${clock(Date.parse(text))}` : "–";
function age(ms) {
  const past = Date.now() - ms;
  return past < 5000 ? "just now" : `${duration(past / 1000)} ago`;
}
const words = (text) => String(text).replace(/_/g, " ");
const short = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;

// Steps of an axis: few round numbers from 0 to the highest.
function steps(high, wanted) {
  if (!(high > 0)) return [0, 1];
  const raw = high / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const all = [];
  for (let at = 0; at < high + step * 0.999; at += step) all.push(Number(at.toPrecision(12)));
  return all;
}
// Steps of a time axis, in milliseconds.
function timeSteps(from, until, wanted) {
  const sizes = [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
    7200, 10800, 21600, 43200, 86400, 172800, 604800];
  const step = 1000 * (sizes.find((size) => size * 1000 >= (until - from) / wanted) || 604800);
  const all = [];
  for (let at = 0; at <= until - from + 1e-6; at += step) all.push(from + at);
  return { all, step };
}

// Where answers come from: the server, or the report's own data.
let site = DATA ? DATA.site : null;
async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const told = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw Object.assign(new Error(told.error), { advice: told.advice, status: answer.status });
  return told;
}
async function change(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-golem-tasks-change": site.change },
    body: JSON.stringify(body || {}),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error || `the server answered ${answer.status}`);
  return told;
}

// News of the server until it is closed; the state of the connection is shown.
function follow(path, name, on) {
  const source = new EventSource(path);
  source.addEventListener(name, (event) => { trouble(null); linked("live"); on(JSON.parse(event.data)); });
  source.addEventListener("trouble", (event) => {
    const told = JSON.parse(event.data);
    trouble(told.error, told.advice);
  });
  source.onopen = () => linked("live");
  source.onerror = () => { if ($("link").dataset.state !== "over") linked("lost"); };
  return source;
}
function linked(state) {
  const link = $("link");
  link.dataset.state = state;
  link.textContent = { live: "live", lost: "no connection, trying again", over: "ended", none: "" }[state];
}
// What went wrong with an answer; a lost connection is told by its own sign.
function wrong(error) {
  if (error.status) trouble(error.message, error.advice);
}
function trouble(message, advice) {
  const place = $("trouble");
  place.hidden = !message;
  place.textContent = message ? `${message}${advice ? ` – ${advice}` : ""}` : "";
}

// A small note beside the pointer.
function tip(x, y, lines) {
  const place = $("tip");
  if (!lines) { place.hidden = true; return; }
  place.replaceChildren(...lines.map((line, n) => h("div", { class: n ? null : "strong" }, line)));
  place.hidden = false;
  const box = place.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 12 : x + 14;
  const top = y + 16 + box.height > innerHeight ? y - box.height - 12 : y + 14;
  Object.assign(place.style, { left: `${Math.max(4, left)}px`, top: `${Math.max(4, top)}px` });
}

// Light, dark, or as the system has it.
const themes = ["system", "light", "dark"];
function themed(name) {
  const theme = themes.includes(name) ? name : "system";
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const sign = { system: "◐", light: "☀", dark: "☾" }[theme];
  const button = $("theme");
  button.textContent = sign;
  button.title = button.ariaLabel = `Colours: ${theme === "system" ? "as the system has them" : theme}. Changes them.`;
  return theme;
}
const kept = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* kept for this page only */ } },
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
