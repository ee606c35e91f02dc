// The tour's sliders: a guess that says its number, and a temperature that one moves and sees.
// @ts-check
for (const slider of document.querySelectorAll("input[data-shows]")) {
  const said = document.getElementById(slider.getAttribute("data-shows") || "");
  slider.addEventListener("input", () => { if (said) said.textContent = `${/** @type {HTMLInputElement} */ (slider).value} %`; });
}
const heat = /** @type {HTMLInputElement|null} */ (document.getElementById("heat"));
if (heat) {
  const box = /** @type {HTMLElement} */ (heat.closest(".heat"));
  let wanted = 0, waiting = 0;
  const look = async () => {
    const mine = ++wanted;
    const reply = await fetch(`/learn/heat?t=${heat.value}&seed=${box.dataset.seed}`);
    if (mine !== wanted || !reply.ok) return;
    const found = await reply.json();
    const bars = document.getElementById("heat-bars"), runs = document.getElementById("heat-runs"), words = document.getElementById("heat-words");
    bars?.replaceChildren(...found.tokens.map((/** @type {any} */ one) => {
      const row = document.createElement("div"), name = document.createElement("code"), meter = document.createElement("progress"), share = document.createElement("span");
      name.textContent = one.token; meter.max = 1; meter.value = one.prob; meter.setAttribute("aria-label", `chance of ${one.token}`); share.textContent = one.prob < 0.005 ? "under 1 %" : `${Math.round(100 * one.prob)} %`;
      row.append(name, meter, share);
      return row;
    }));
    runs?.replaceChildren(...found.outcomes.map((/** @type {string} */ word) => { const mark = document.createElement("i"); mark.className = word; mark.textContent = word === "pass" ? "●" : word === "fail" ? "✕" : "◌"; return mark; }));
    if (words) words.textContent = `${found.wrong} of ${found.outcomes.length} runs at temperature ${found.temperature} failed. ` + (found.rate ? `The model's own probabilities say ${found.rate}.` : "So hot, its answers are too many to read: only runs tell.");
    box.dataset.ready = heat.value;
  };
  heat.addEventListener("input", () => { const said = document.getElementById("heat-said"); if (said) said.textContent = Number(heat.value).toFixed(1); clearTimeout(waiting); waiting = window.setTimeout(look, 120); });
  look();
}
