// Keeps every answer in this browser until the server has said that this very answer is stored.
"use strict";

(() => {
  const banner = document.getElementById("outbox");
  if (!banner) return;

  const PREFIX = `plumbline.outbox.${banner.dataset.user}.`;
  const SHORTEST = 2000;
  const LONGEST = 60000;
  const PATIENCE = 30000;
  const words = banner.dataset;
  const part = (name) => banner.querySelector(`[data-${name}]`);

  // Answers of this page alone, for browsers that keep no data.
  const memory = new Map();
  const refused = new Map();
  const underway = new Map();
  let pause = SHORTEST;
  let timer = 0;
  let due = 0;
  let expired = false;
  let failed = false;

  function keep(answer) {
    memory.set(answer.client_key, answer);
    try {
      localStorage.setItem(PREFIX + answer.client_key, JSON.stringify(answer));
    } catch {
      // The banner says so while the answer is waiting.
    }
  }

  function drop(key) {
    memory.delete(key);
    refused.delete(key);
    try {
      localStorage.removeItem(PREFIX + key);
    } catch {
      // Nothing was kept.
    }
  }

  function isKept(key) {
    try {
      return localStorage.getItem(PREFIX + key) !== null;
    } catch {
      return false;
    }
  }

  function names() {
    try {
      return Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    } catch {
      // What is in memory still goes out.
      return [];
    }
  }

  // Oldest first. One entry an answer, so that two tabs never overwrite one another's.
  function waiting() {
    const found = new Map(memory);
    for (const name of names()) {
      try {
        const answer = JSON.parse(localStorage.getItem(name));
        if (answer && answer.client_key && answer.url) found.set(answer.client_key, answer);
      } catch {
        // One that cannot be read stays where it is, and holds up no other.
      }
    }
    return [...found.values()].sort((one, other) => one.saved_at - other.saved_at);
  }

  function cookie(name) {
    const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }

  // What became of one attempt: stored (with the next card), refused (4xx), expired (signed out), or failed: `alone` if
  // somebody has answered, so that another answer may do better.
  async function post(answer) {
    const body = new URLSearchParams({
      assignment: answer.assignment, side: answer.side, client_key: answer.client_key,
      note: answer.note || "", seconds: answer.seconds ?? "",
    });
    let response;
    let text;
    try {
      response = await fetch(answer.url, {
        method: "POST", body, credentials: "same-origin", redirect: "manual", cache: "no-store",
        // The token is read at each attempt: signing in again makes a new one.
        headers: { "X-CSRFToken": cookie(words.cookie), "HX-Request": "true", "HX-Target": "card" },
        signal: AbortSignal.timeout(PATIENCE),
      });
      text = await response.text();
    } catch {
      return { outcome: "failed" };
    }
    if (response.type === "opaqueredirect") return { outcome: "expired" };
    // A 200 from a hotel's login page or a proxy is no receipt; the header with the key is.
    if (response.ok) {
      const receipt = response.headers.get("X-Judgment-Stored");
      return receipt === answer.client_key ? { outcome: "stored", html: text } : { outcome: "failed", alone: true };
    }
    if (response.status >= 500 || response.status === 429 || response.status === 408) {
      return { outcome: "failed", alone: true };
    }
    const problem = window.plumbline.problemIn(text);
    // The page of the cross-site check says so: the token is of a session that has ended.
    if (response.status === 401 || problem?.matches("[data-expired]")) return { outcome: "expired", problem };
    // A 403 without words of ours is of somebody in between, and ours is a refusal like others.
    if (response.status === 403 && !problem) return { outcome: "failed", alone: true };
    return { outcome: "refused", problem };
  }

  function send(answer) {
    if (underway.has(answer.client_key)) return underway.get(answer.client_key);
    const attempt = post(answer).then((result) => {
      underway.delete(answer.client_key);
      expired = result.outcome === "expired";
      failed = result.outcome === "failed" || expired;
      if (result.outcome === "stored") {
        pause = SHORTEST;
        drop(answer.client_key);
        document.dispatchEvent(new CustomEvent("outbox:stored", { detail: { answer, html: result.html } }));
      } else if (result.outcome === "refused") {
        refused.set(answer.client_key, result.problem);
        document.dispatchEvent(new CustomEvent("outbox:refused", { detail: { answer } }));
      }
      show();
      return result;
    });
    underway.set(answer.client_key, attempt);
    return attempt;
  }

  // All that wait, one after the other. One that the server fails at holds up no other; where nobody answers, or the
  // session has ended, the attempt is over. The pause before the next one doubles.
  async function sendAll() {
    clearTimeout(timer);
    timer = 0;
    let left = false;
    for (const answer of waiting()) {
      if (refused.has(answer.client_key)) continue;
      const { outcome, alone } = await send(answer);
      if (outcome !== "failed" && outcome !== "expired") continue;
      left = true;
      if (!alone) break;
    }
    if (left) later();
    else show();
  }

  function later() {
    clearTimeout(timer);
    due = Date.now() + pause;
    timer = setTimeout(sendAll, pause);
    pause = Math.min(pause * 2, LONGEST);
    show();
  }

  function show() {
    const answers = waiting();
    // An answer on its way for the first time is no news.
    const worth = failed || refused.size > 0 || answers.some((answer) => !underway.has(answer.client_key));
    banner.hidden = !answers.length || !worth;
    if (banner.hidden) return;
    const n = answers.length;
    part("count").textContent = n === 1 ? words.one : words.many.replace("%s", n);
    part("detail").textContent = detail(answers);
    const problem = refused.size ? [...refused.values()][0] : null;
    part("refusal").replaceChildren(...(problem ? [problem] : []));
    banner.classList.toggle("bad", refused.size > 0);
    part("discard").hidden = refused.size === 0;
    part("login").hidden = !expired;
  }

  function detail(answers) {
    if (expired) return words.expired;
    if (answers.some((answer) => !isKept(answer.client_key))) return words.lost;
    if (underway.size) return words.sending;
    if (timer) return words.again.replace("%s", Math.max(1, Math.round((due - Date.now()) / 1000)));
    return "";
  }

  part("retry").addEventListener("click", () => {
    refused.clear();
    pause = SHORTEST;
    sendAll();
  });

  part("discard").addEventListener("click", () => {
    if (!window.confirm(words.confirm)) return;
    for (const key of [...refused.keys()]) drop(key);
    show();
    document.dispatchEvent(new CustomEvent("outbox:discarded"));
  });

  window.addEventListener("online", sendAll);
  setInterval(() => {
    if (!banner.hidden) show();
  }, 1000);

  window.plumbline.outbox = {
    // Keeps the answer first, sends it then.
    async put(answer) {
      keep({ ...answer, saved_at: Date.now() });
      const result = await send(answer);
      if (result.outcome === "failed" || result.outcome === "expired") later();
      return result;
    },
    has: (assignment) => waiting().some((answer) => String(answer.assignment) === String(assignment)),
    sendAll,
    show,
  };
})();
