// Makes pages live: jobs as they run, moments in the reader's own zone, copy buttons. Text only: nothing becomes HTML.
// @ts-check
const SHAPES = { p: ["●", "pass"], f: ["✕", "fail"], i: ["◌", "invalid"] };
const MOST = 400; // outcomes shown of a job that runs
const EACH = 140, LONGEST = 2500, PAUSE = 900, AGAIN = 3000; // milliseconds: for one outcome, for all that came together, before the answer, before asking anew
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

/** An end of a range, rounded outward. @param {number} x @param {(x: number) => number} round */
const percent = (x, round) => (x > 0 && x < 0.01 ? "under 1" : x > 0.99 && x < 1 ? "over 99" : round(100 * x)) + " %";
/** @param {number} n */
const number = (n) => n.toLocaleString("en");

/** What is known by now, in one line. @param {any} p @param {string} state */
function said(p, state) {
  if (!p) return { waiting: "Others run before it.", running: "Starting…" }[state] || "";
  const words = [p.budget ? `${number(p.calls)} of ${number(p.budget)} calls` : `${number(p.calls)} calls`];
  if (p.failures !== null && p.failures !== undefined) words.push(`${number(p.failures)} failed`);
  if (p.invalid) words.push(`${p.invalid} not judged`);
  if (p.estimate !== null && p.estimate !== undefined) words.push(`so ${percent(p.low, Math.floor)} to ${percent(p.high, Math.ceil)} fail`);
  if (p.doing) words.push(p.doing);
  if (p.question) words.push(`deciding: ${p.question}`);
  if (p.usd) words.push(`$${p.usd.toFixed(p.usd < 0.1 ? 4 : 2)}`);
  return words.join(" · ");
}

// A form that was sent is on its way, and one that is being filled in is not finished: moving to another page by itself
// would take back what the reader just said.
let sent = false, typed = false;
document.addEventListener("submit", (event) => { if (!event.defaultPrevented) { sent = true; typed = false; } });
document.addEventListener("input", (event) => { if (/** @type {Element} */ (event.target).closest("form[method=post]")) typed = true; });
addEventListener("pageshow", () => { sent = false; });

/** Go there, also where only the part of the page differs: what stands there is to be read anew. @param {string} place */
function show(place) {
  const there = new URL(place, location.href), here = there.pathname === location.pathname;
  if (here && there.search === location.search) {
    history.replaceState(null, "", there);
    location.reload();
  } else here ? location.replace(there) : location.assign(there);
}

/** Show it now, or offer it to somebody who is writing. @param {HTMLElement} box @param {string} place @param {string} words */
function offer(box, place, words) {
  if (sent) return;
  if (!typed) return show(place);
  const link = document.createElement("a");
  link.href = place;
  link.textContent = words;
  link.addEventListener("click", (event) => { event.preventDefault(); show(place); });
  (box.querySelector("[data-said]") || box).replaceChildren(link);
}

/** @param {HTMLElement} box */
function follow(box) {
  const line = box.querySelector("[data-said]"), state = box.querySelector("[data-state]");
  const strip = box.querySelector("[data-strip]");
  let told = 0, shown = Promise.resolve(), over = false;
  /** Each outcome comes by itself, however fast the model was: what happens is to be seen. @param {string} outcomes */
  const arrive = (outcomes) => {
    if (outcomes.length < told) { strip?.replaceChildren(); told = 0; }
    const more = outcomes.slice(told, MOST), step = still ? 0 : Math.min(EACH, LONGEST / Math.max(1, more.length));
    told = Math.min(outcomes.length, MOST);
    for (const word of more) {
      shown = shown.then(() => new Promise((next) => {
        const [shape, kind] = SHAPES[word] || ["·", ""], mark = document.createElement("i");
        mark.className = kind;
        mark.textContent = shape;
        strip?.append(mark);
        step ? setTimeout(next, step) : next(undefined);
      }));
    }
  };
  /** @param {any} job */
  const hear = (job) => {
    if (over) return;
    if (line && !line.querySelector("a")) line.textContent = job.message || said(job.progress, job.state);
    if (state) state.textContent = { waiting: "waits for its turn", running: "running", done: "done", failed: "could not be done", stopped: "stopped" }[job.state] || job.state;
    arrive((job.progress && job.progress.strip) || "");
    box.dataset.ready = job.state;
    if (job.question !== null && job.question !== undefined && box.dataset.question !== String(job.question)) {
      const asked = `${job.id}:${job.question}`;
      if (!document.querySelector(`[data-asked="${asked}"]`) && sessionStorage.getItem("asked") !== asked) {
        if (sent) { box.dataset.held = asked; return; }
        if (!typed) sessionStorage.setItem("asked", asked); // once: a page that does not show it shall not come again and again
        offer(box, location.pathname + location.search + location.hash, "Somebody is to say whether an answer is right: show it");
      }
      box.dataset.question = String(job.question);
    }
    if (job.over) {
      over = true;
      const then = job.finding ? box.dataset.then || `/findings/${job.finding}` : location.pathname + location.search + location.hash;
      shown.then(() => setTimeout(() => offer(box, then, { done: "It is done: show what came", stopped: "It was stopped: show what is known" }[job.state] || "It could not be done: show why"), PAUSE));
    }
  };
  return { hear, lost: () => { if (line && !over && !line.querySelector("a")) line.textContent = "The server does not answer; what was drawn is kept. Trying again…"; }, over: () => over };
}

const boxes = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-job]")]).map((box) => ({ id: box.dataset.job || "", ...follow(box) }));
/** @type {EventSource|null} */
let source = null;
let waiting = 0;

/** One stream for all jobs of this page, while somebody sees it: a browser holds few connections to one server. */
function listen() {
  source?.close();
  source = null;
  clearTimeout(waiting);
  const ids = [...new Set(boxes.filter((box) => !box.over()).map((box) => box.id))];
  if (!ids.length || document.visibilityState === "hidden") return;
  const mine = source = new EventSource("/events?" + new URLSearchParams(ids.map((id) => ["job", id])));
  mine.onmessage = (event) => {
    const job = JSON.parse(event.data);
    for (const box of boxes) if (box.id === job.id) box.hear(job);
    if (boxes.every((box) => box.over())) mine.close();
  };
  mine.onerror = () => {
    boxes.forEach((box) => box.lost());
    if (mine.readyState === EventSource.CLOSED) waiting = window.setTimeout(listen, AGAIN); // refused: it does not try again by itself
  };
}
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
listen();

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.getAttribute("datetime") || "");
  if (!isNaN(+at)) { time.setAttribute("title", time.textContent || ""); time.textContent = at.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }); }
}

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("[data-copy]");
  if (!button) return;
  const from = document.getElementById(button.getAttribute("data-copy") || "");
  const say = (/** @type {string} */ words) => {
    const before = button.textContent;
    button.textContent = words;
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  const select = () => { // without TLS a browser gives pages no clipboard: at least what is to be copied is chosen
    if (from) getSelection()?.selectAllChildren(from);
    say(document.execCommand("copy") ? "Copied" : "Press Ctrl-C");
  };
  navigator.clipboard ? navigator.clipboard.writeText((from && from.innerText) || "").then(() => say("Copied"), select) : select();
});

document.documentElement.dataset.ready = "yes";
