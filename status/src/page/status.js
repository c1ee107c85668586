// The status page: asks for its state every few seconds and shows it. All that comes from the state
// is set as text, never as markup: clients have a say in some of it.
"use strict";

const EVERY = 3000;
// So long an answer may take, and so old may the newest figures be, before they are called stale.
const PATIENCE = 10000;

const RULES = {
  "rcpt.max_consecutive": "unknown recipients in a row, in one session",
  "rcpt.max_total": "unknown recipients in all, in one session",
  "rcpt.hidden": "recipients hidden behind an unanswered DATA",
  "reset.max_wasted": "transactions for nobody",
  "reset.strict": "any RSET",
  "ledger.streak": "unknown recipients in a row",
  "ledger.max_score": "unknown recipients in all",
  "ledger.listing": "listed already",
  "traps.recipients": "a recipient that never existed",
  "listed.networks": "on your own list",
  "sessions.max_per_client": "too many sessions at once",
  "dnsbl": "on DNS blacklists",
  "smuggling": "a message that servers end at different places",
  "desync": "replies and commands no longer pair",
  "told": "listed by another guard",
};
const VERDICTS = {
  admit: ["admitted", "good"],
  exempt: ["exempt", "soft"],
  observe: ["observed", "soft"],
  close: ["closed", "bad"],
  refuse: ["refused", "bad"],
  detain: ["kept busy", "bad"],
};

const byId = (id) => document.getElementById(id);
const wanted = { filter: "", from: 0 };
let shown = null;
let lostSince = null;
let timer = 0;
let asking = null;

// -- Elements ------------------------------------------------------------------

function element(name, attributes, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const small = (text) => element("small", {}, text);

// Replaces what a part shows, unless that is the same, or somebody is about to copy from it.
const last = new WeakMap();
function fill(part, content, key) {
  const text = JSON.stringify(key);
  if (last.get(part) === text) return;
  const selection = getSelection();
  if (!selection.isCollapsed && part.contains(selection.anchorNode)) return;
  last.set(part, text);
  part.replaceChildren(...content());
}

function rows(table, columns, records, row, none) {
  const body = byId(table).tBodies[0];
  const empty = () => [element("tr", {}, element("td", { colspan: columns, class: "empty" }, none))];
  fill(body, () => (records.length ? records.map(row) : empty()), records.length ? [records, minute()] : none);
}

// -- Words ---------------------------------------------------------------------

const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rough = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = { format: (number) => (number < 1e7 ? exact : rough).format(number) };
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const minute = () => Math.floor(Date.now() / 60000);

function rate(value) {
  if (value === null) return "–";
  return value < 10 ? tenths.format(value) : whole.format(value);
}

function clock(milliseconds) {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime())) return "–";
  const today = date.toDateString() === new Date().toDateString();
  if (today) return date.toLocaleTimeString("en-GB");
  return date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

// A rule's name, which may break behind its dots and underscores.
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
}

// A rule's name, and what it means.
function ruled(rule) {
  const known = Object.hasOwn(RULES, rule);
  return known ? [...breakable(rule), small(RULES[rule])] : breakable(rule);
}

// -- Parts ---------------------------------------------------------------------

function line(points) {
  const svg = drawn("svg", { class: "line", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(drawn("line", { class: "base", x1: 0, x2: 100, y1: 30, y2: 30 }));
  const top = Math.max(1, ...points.map((point) => point ?? 0));
  const width = 100 / 39;
  const start = 100 - (points.length - 1) * width;
  let run = [];
  const end = () => {
    if (run.length > 1) {
      const along = run.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L");
      svg.append(drawn("path", { class: "area", d: `M${run[0][0].toFixed(2)} 30L${along}L${run.at(-1)[0].toFixed(2)} 30Z` }));
      svg.append(drawn("path", { class: "stroke", d: `M${along}` }));
    }
    run = [];
  };
  points.forEach((point, index) => {
    if (point === null) end();
    else run.push([start + index * width, 29 - (point / top) * 27]);
  });
  end();
  return svg;
}

function figure(name, value, beside, points) {
  const box = document.querySelector(`[data-figure="${name}"]`);
  const content = () => [box.firstElementChild, element("dd", {}, value, small(beside)), line(points)];
  fill(box, content, [value, beside, points]);
}

function showFigures({ figures, lines }) {
  if (!figures) return;
  const total = (counter) => `${whole.format(counter.total)} in all`;
  figure("open", whole.format(figures.open), `up for ${span(figures.uptime_s)}`, lines.open);
  for (const name of ["sessions", "messages", "rejected", "acted"]) {
    figure(name, rate(figures[name].per_minute), total(figures[name]), lines[name]);
  }
  // Workers count them at different times.
  const remembered = Math.max(figures.listings, figures.remembered);
  figure("listings", whole.format(figures.listings), `of ${whole.format(remembered)} known`, lines.listings);
}

function showRules({ rules, figures }) {
  const most = Math.max(1, ...rules.map((rule) => rule.acted.total));
  const row = (rule) => {
    const bar = element("i", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${(100 * rule.acted.total) / most}%`;
    return element("tr", {},
      element("td", {}, ...ruled(rule.rule), ...(rule.acted.total ? [bar] : [])),
      element("td", { class: "number" }, rate(rule.acted.per_minute)),
      element("td", { class: "number" }, whole.format(rule.acted.total)),
      element("td", { class: "number" }, whole.format(rule.observed)));
  };
  rows("rules", 4, rules, row, figures ? "None yet." : "Not known yet.");
}

function showListings({ listings, figures, log, now_ms }) {
  const row = (listing) => {
    const ends = listing.until * 1000;
    const times = listing.times > 1 ? [small(`${listing.times} times in a row`)] : [];
    return element("tr", {},
      element("td", { class: "client" }, listing.client.replace(/(?<=\.\d+)\/32$|\/128$/, "")),
      element("td", {}, ...ruled(listing.reason), ...times),
      element("td", {}, `in ${span((ends - now_ms) / 1000)}`, small(clock(ends))));
  };
  const none = listings.total ? "Nobody like that is listed." : "Nobody that the records name.";
  rows("listed", 3, listings.rows, row, log ? none : "Not known: the page was given no access log.");

  let note = `${whole.format(listings.total)} known by name, from the records.`;
  if (figures && figures.listings > listings.total) {
    note = `${whole.format(listings.total)} of ${whole.format(figures.listings)} known by name: those that have a record in the access log.`;
  }
  if (listings.crowded_out) note += ` ${whole.format(listings.crowded_out)} more did not fit.`;
  byId("listed-note").textContent = note;

  const { from, matching, per_page: size } = listings;
  wanted.from = from;
  byId("pages").hidden = matching <= size;
  const to = Math.min(matching, from + size);
  byId("place").textContent = `${whole.format(from + 1)} to ${whole.format(to)} of ${whole.format(matching)}`;
  byId("first").disabled = byId("previous").disabled = from === 0;
  byId("next").disabled = byId("last").disabled = to >= matching;
}

function showVerdicts({ verdicts, acted, log }) {
  const row = (record) => {
    const known = Object.hasOwn(VERDICTS, record.verdict);
    const [word, tone] = known ? VERDICTS[record.verdict] : [record.verdict, "soft"];
    const messages = `${record.messages} ${record.messages === 1 ? "message" : "messages"}`;
    const beside = `${record.rejected} unknown${record.messages ? `, ${messages}` : ""}`;
    return element("tr", {},
      element("td", {}, clock(record.start ?? NaN)),
      element("td", { class: "client" }, record.client),
      element("td", {}, element("span", { class: tone }, word), ...(record.rule ? [element("small", {}, ...breakable(record.rule))] : [])),
      element("td", {}, `${record.tried} tried`, small(beside)));
  };
  const chosen = byId("acted").checked ? acted : verdicts;
  rows("verdicts", 4, chosen, row, log ? "None yet." : "Not known: the page was given no access log.");
  byId("verdicts-note").textContent = "Sessions that have ended, the newest first.";
}

// -- The state of the state ----------------------------------------------------

function notices(state) {
  const found = [];
  if (lostSince) found.push(["Out of touch.", `The program behind this page has not answered since ${clock(lostSince)}. What is shown is of that time.`]);
  if (!state) return found;
  const { envoy, log, figures } = state;
  if (envoy.fault) {
    const seen = envoy.read_ms ? ` The figures are of ${clock(envoy.read_ms)}.` : "";
    found.push(["Envoy is away.", `${envoy.place} since ${clock(envoy.fault_since_ms)}: ${envoy.fault}.${seen}`]);
  }
  if (log?.fault) found.push(["The records cannot be read.", `${log.fault}. Listed clients and verdicts are of before ${clock(log.fault_since_ms)}.`]);
  if (figures?.attack_workers) found.push(["An attack is under way.", `${whole.format(figures.attack_workers)} of the workers see it; limits are tightened.`]);
  for (const trouble of state.troubles) {
    const when = trouble.of_late ? " of late" : "";
    found.push([`${trouble.means}.`, `${trouble.metric} counts ${whole.format(trouble.count)}${when}.`]);
  }
  return found;
}

function standing(state) {
  if (lostSince) return ["lost", "Out of touch"];
  if (!state) return ["looking", "Looking"];
  if (state.envoy.fault) return ["away", "Envoy is away"];
  if (!state.envoy.read_ms) return ["looking", "Looking for Envoy"];
  return state.now_ms - state.envoy.read_ms > PATIENCE ? ["away", "Stale"] : ["live", "Live"];
}

function showStanding(state) {
  const [name, word] = standing(state);
  const place = byId("state");
  place.dataset.state = name;
  document.body.classList.toggle("stale", name === "away" || name === "lost");
  // It is read out when it changes, so it is left alone when it does not.
  if (byId("state-word").textContent !== word) byId("state-word").textContent = word;
  byId("as-of").textContent = state?.envoy.read_ms ? `as of ${clock(state.envoy.read_ms)}` : "";
  const told = notices(state);
  const notice = ([head, text]) => element("p", { class: "card notice" }, element("strong", {}, head), ` ${text}`);
  fill(byId("notices"), () => told.map(notice), told);
}

function showSources({ envoy, log }) {
  const lines = [`Sessions, rates and rules: /stats/prometheus of ${envoy.place}. Rates are those of the last minute, lines those of the last ten.`];
  if (log) {
    const faulty = log.faulty ? ` ${whole.format(log.faulty)} of its lines are none.` : "";
    lines.push(`Listed clients and verdicts: the records in ${log.place}, as far as sessions have ended.${faulty}`);
  }
  fill(byId("sources"), () => lines.map((text) => element("p", {}, text)), lines);
}

function show(state) {
  shown = state;
  showStanding(state);
  if (!state) return;
  showFigures(state);
  showListings(state);
  showRules(state);
  showVerdicts(state);
  showSources(state);
}

// -- Asking --------------------------------------------------------------------

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  const late = setTimeout(() => mine.abort(), PATIENCE);
  try {
    const query = new URLSearchParams({ filter: wanted.filter, from: wanted.from });
    const answer = await fetch(`status.json?${query}`, { signal: mine.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const state = await answer.json();
    if (mine !== asking) return;
    lostSince = null;
    show(state);
  } catch {
    // A question that was overtaken by another one is no sign of anything.
    if (mine !== asking) return;
    lostSince ??= Date.now();
    showStanding(shown);
  } finally {
    clearTimeout(late);
  }
  // Who does not look need not be told.
  if (!document.hidden) timer = setTimeout(ask, EVERY);
}

function turn(from) {
  wanted.from = Math.max(0, from);
  ask();
}

byId("first").addEventListener("click", () => turn(0));
byId("previous").addEventListener("click", () => turn(wanted.from - shown.listings.per_page));
byId("next").addEventListener("click", () => turn(wanted.from + shown.listings.per_page));
byId("last").addEventListener("click", () => turn(shown.listings.matching));
byId("acted").addEventListener("change", () => shown && showVerdicts(shown));
byId("filter").addEventListener("input", (event) => {
  wanted.filter = event.target.value;
  clearTimeout(timer);
  timer = setTimeout(() => turn(0), 200);
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
ask();
