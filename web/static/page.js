// The pages work without this script. It updates progress, shows the figures of a point, and gives the reason for a missing picture.
"use strict";

// -- the reason in place of a picture that cannot be drawn; set up in the head, before the first picture is requested

document.addEventListener("error", async (event) => {
  const picture = event.target;
  if (!(picture instanceof HTMLImageElement)) return;
  const answer = await fetch(picture.src).catch(() => null);
  const plain = answer && !answer.ok && (answer.headers.get("content-type") || "").startsWith("text/plain");
  const reason = document.createElement("span");
  reason.className = "missing";
  reason.textContent = plain ? await answer.text() : "no picture: the server did not answer";
  picture.replaceWith(reason);
}, true);

// -- the figures of a point, while the pointer or the focus is on it

function showFigures(point) {
  const plot = point.closest(".plot");
  const tip = plot.querySelector(".tip");
  tip.textContent = point.getAttribute("aria-label");
  tip.hidden = false;
  const marker = point.querySelector(".marker").getBoundingClientRect();
  const frame = plot.getBoundingClientRect();
  const middle = marker.x + marker.width / 2 - frame.x;
  const left = Math.max(0, Math.min(middle - tip.offsetWidth / 2, frame.width - tip.offsetWidth));
  const above = marker.y - frame.y - tip.offsetHeight - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above >= 0 ? above : marker.bottom - frame.y + 8}px`;
}

function hideFigures() {
  for (const tip of document.querySelectorAll(".tip")) tip.hidden = true;
}

for (const event of ["pointerover", "focusin"]) {
  document.addEventListener(event, ({ target }) => {
    const point = target.closest?.(".point");
    if (point) showFigures(point);
  });
}
for (const event of ["pointerout", "focusout"]) {
  document.addEventListener(event, ({ target }) => {
    if (target.closest?.(".point")) hideFigures();
  });
}
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") hideFigures();
});

// -- live progress: a small JSON moves the bars; when it changes, the part of the page that depends on it is loaded again

const PAUSE = 1000;

function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function moveBars(runs) {
  for (const run of runs) {
    for (const place of document.querySelectorAll(`[data-progress="${CSS.escape(run.id)}"]`)) {
      place.querySelector("progress").value = run.done;
      place.querySelector("[data-said]").textContent = `${count(run.done)} of ${count(run.expected)}`;
    }
  }
}

// The lines that the reader hides, so that a renewed chart hides them as well.
function unticked() {
  return [...document.querySelectorAll("#live input[data-line]:not(:checked)")].map((box) => [
    box.closest("figure").querySelector("[id]").id,
    box.dataset.line,
  ]);
}

async function renew() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const kept = unticked();
  for (const where of ["#live", ".progress-line .state"]) {
    const old = document.querySelector(where);
    const made = fresh.querySelector(where);
    if (old && made) old.replaceWith(document.adoptNode(made));
  }
  for (const [chart, line] of kept) {
    const box = document.getElementById(chart)?.closest("figure").querySelector(`input[data-line="${line}"]`);
    if (box) box.checked = false;
  }
}

function busy() {
  const live = document.getElementById("live");
  return live.contains(document.activeElement) || live.querySelector(".point:hover") !== null;
}

async function follow() {
  const said = document.getElementById("said");
  let seen = null; // the page may be older than the first answer, which therefore renews it
  let first = null;
  let nextRenewal = 0;
  for (;;) {
    const address = document.getElementById("live")?.dataset.live;
    if (!address) return;
    await new Promise((resume) => setTimeout(resume, PAUSE));
    if (document.hidden) continue;
    try {
      const answer = await fetch(address);
      const text = await answer.text();
      if (!answer.ok) throw new Error(JSON.parse(text).error);
      const found = JSON.parse(text);
      if (found.workers) {
        said.textContent = "";
      } else {
        const runs = found.runs || [found];
        moveBars(runs);
        const done = runs.reduce((sum, run) => sum + run.done, 0);
        first ||= { done, at: performance.now() };
        const rate = (done - first.done) / ((performance.now() - first.at) / 1000);
        said.textContent = rate > 0 ? `${rate.toPrecision(2)} images/s` : "waiting for workers";
      }
      const began = performance.now();
      if (text !== seen && began >= nextRenewal && !busy()) {
        await renew();
        seen = text;
        // A report over many rows is slow to read: leave the database to the workers for five times as long.
        nextRenewal = performance.now() + 5 * (performance.now() - began);
      }
    } catch (error) {
      said.textContent = `cannot update: ${error.message || "the server does not answer"}`;
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  follow().then(() => {
    const said = document.getElementById("said");
    if (said) said.textContent = "";
  });
});
