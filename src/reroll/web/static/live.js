// Makes pages live: jobs as they run, moments in the reader's own zone, copy buttons. Text only: nothing becomes HTML.
// @ts-check
const SHAPES = { p: ["●", "pass"], f: ["✕", "fail"], i: ["◌", "invalid"] };
const MOST = 400; // outcomes shown of a job that runs
const EACH = 140, LONGEST = 2500, PAUSE = 900; // milliseconds: for one outcome, for all that came together, before the answer
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

/** @param {number} x */
const percent = (x) => (x > 0 && x < 0.01 ? "under 1" : x > 0.99 && x < 1 ? "over 99" : Math.round(100 * x)) + " %";

/** What is known by now, in one line. @param {any} p */
function said(p) {
  if (!p) return "Starting…";
  const words = [p.budget ? `${p.calls} of ${p.budget} calls` : `${p.calls} calls`];
  if (p.failures !== null && p.failures !== undefined) words.push(`${p.failures} failed`);
  if (p.invalid) words.push(`${p.invalid} not judged`);
  if (p.estimate !== null && p.estimate !== undefined) words.push(`so ${percent(p.low)} to ${percent(p.high)} fail`);
  if (p.doing) words.push(p.doing);
  if (p.question) words.push(`deciding: ${p.question}`);
  if (p.usd) words.push(`$${p.usd.toFixed(p.usd < 0.1 ? 4 : 2)}`);
  return words.join(" · ");
}

// A form that was sent is on its way: moving to another page by itself would take back what the reader just said.
let sent = false;
document.addEventListener("submit", (event) => { if (!event.defaultPrevented) sent = true; });
addEventListener("pageshow", () => { sent = false; });

/** @param {HTMLElement} box */
function follow(box) {
  const line = box.querySelector("[data-said]"), state = box.querySelector("[data-state]");
  const strip = box.querySelector("[data-strip]");
  let told = 0, shown = Promise.resolve();
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
  const source = new EventSource(`/jobs/${box.dataset.job}/events`);
  source.onmessage = (event) => {
    const job = JSON.parse(event.data);
    if (line) line.textContent = job.message || said(job.progress);
    if (state) state.textContent = { waiting: "waits for its turn", running: "running", done: "done", failed: "could not be done", stopped: "stopped" }[job.state] || job.state;
    arrive((job.progress && job.progress.strip) || "");
    box.dataset.ready = job.state;
    if (job.question !== null && job.question !== undefined && box.dataset.question !== String(job.question)) {
      const asked = `${job.id}:${job.question}`;
      if (!document.querySelector(`[data-asked="${asked}"]`) && sessionStorage.getItem("asked") !== asked) {
        if (sent) { box.dataset.held = asked; return; }
        source.close();
        sessionStorage.setItem("asked", asked); // once: a page that does not show it shall not come again and again
        location.replace(location.pathname + location.search);
      }
      box.dataset.question = String(job.question);
    }
    if (job.over) {
      source.close();
      if (box.dataset.stay) return;
      const go = () => job.finding ? location.assign(box.dataset.then || `/findings/${job.finding}`) : location.replace(location.pathname + location.search);
      shown.then(() => setTimeout(() => sent || go(), PAUSE));
    }
  };
  source.onerror = () => { if (line) line.textContent = "The server does not answer; what was drawn is kept. Trying again…"; };
}

for (const box of document.querySelectorAll("[data-job]")) follow(/** @type {HTMLElement} */ (box));

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.getAttribute("datetime") || "");
  if (!isNaN(+at)) { time.setAttribute("title", time.textContent || ""); time.textContent = at.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }); }
}

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("[data-copy]");
  if (!button) return;
  const from = document.getElementById(button.getAttribute("data-copy") || "");
  navigator.clipboard.writeText((from && from.innerText) || "").then(() => {
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  });
});

document.documentElement.dataset.ready = "yes";
