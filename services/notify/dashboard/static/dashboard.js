// Keeps the page live and its dialogs in order. Everything that is shown comes rendered from the server; nothing here
// makes HTML of data. The charts listen to the events "phoenix:equity" and "phoenix:tick".
(() => {
  "use strict";

  const SILENT_AFTER_MS = 9000; // the server speaks at least every 3 s
  const USED_EVERY_MS = 60000;
  const TOAST_MS = 9000;
  const RETRY_MS = 3000;
  const $ = (selector, root = document) => root.querySelector(selector);
  const body = document.body;

  // --- times in the viewer's own zone, with UTC on hover ---

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  const localise = (root) => {
    const today = new Date().toDateString();
    for (const element of root.querySelectorAll("time[data-at]")) {
      const at = new Date(element.getAttribute("datetime"));
      const shown = at.toDateString() === today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
      if (element.textContent !== shown) element.textContent = shown;
    }
  };

  // --- the stream ---

  const live = $("#live");
  const liveText = live && $("[data-live-text]", live);
  const liveWord = liveText?.textContent;
  let source = null;
  let heardAt = Date.now();
  let retry = null;

  const setLive = (isLive, text) => {
    if (!live) return;
    body.classList.toggle("is-lost", !isLive);
    if (liveText.textContent !== (isLive ? liveWord : text)) liveText.textContent = isLive ? liveWord : text;
  };

  const replace = (part, html) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    localise(fresh.content);
    Idiomorph.morph(part, fresh.content, {
      morphStyle: "innerHTML",
      ignoreActiveValue: true,
      callbacks: { // what a person opened stays open
        beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
      },
    });
    htmx.process(part);
  };

  const heard = () => { heardAt = Date.now(); setLive(true); };

  const disconnect = () => { source?.close(); source = null; clearTimeout(retry); };

  const lost = async () => {
    setLive(false, body.dataset.lost);
    disconnect();
    try {
      const answer = await fetch("/dashboard/session", { cache: "no-store" });
      if (answer.status === 401) return location.reload();
    } catch { /* away: try again */ }
    if (!document.hidden) retry = setTimeout(connect, RETRY_MS);
  };

  const connect = () => {
    disconnect();
    source = new EventSource(body.dataset.events);
    source.onopen = heard;
    source.onerror = lost;
    for (const part of document.querySelectorAll("[data-part]")) {
      source.addEventListener(part.dataset.part, (event) => { heard(); replace(part, event.data); });
    }
    for (const name of ["equity", "tick"]) {
      source.addEventListener(name, (event) => {
        heard();
        document.dispatchEvent(new CustomEvent(`phoenix:${name}`, { detail: JSON.parse(event.data) }));
      });
    }
    source.addEventListener("beat", heard);
    source.addEventListener("ended", () => location.reload());
    source.addEventListener("moved", () => { disconnect(); connect(); });
  };

  const watchSilence = () => {
    if (source && Date.now() - heardAt > SILENT_AFTER_MS) setLive(false, body.dataset.lost);
  };

  // --- dialogs and toasts ---

  const open = (id) => { const dialog = $(id); if (!dialog.open) dialog.showModal(); };

  const tell = (text) => {
    const toast = document.createElement("div");
    toast.className = "toast-card toast-bad";
    toast.dataset.toast = "";
    toast.textContent = `✕ ${text}`;
    $("#toasts").append(toast);
    setTimeout(() => toast.remove(), TOAST_MS);
  };

  const onSwap = (event) => {
    localise(document);
    const target = event.detail.target;
    if (target.id === "dialog-body") open("#dialog");
    if (target.id === "side-body") open("#side");
    if (target.id === "toasts") {
      $("#dialog").close();
      for (const toast of document.querySelectorAll("[data-toast]:not([data-timed])")) {
        toast.dataset.timed = "";
        setTimeout(() => toast.remove(), TOAST_MS);
      }
    }
  };

  const onClick = (event) => {
    const at = (selector) => event.target.closest(selector);
    if (at("[data-theme-switch]")) return window.phoenixSwitchTheme();
    if (at("[data-close]")) return at("dialog").close();
    if (at("[data-dismiss]")) return at("[data-toast]").remove();
    if (event.target.tagName === "DIALOG") return event.target.close(); // the backdrop
    const language = at("[data-language]");
    if (language) {
      const secure = location.protocol === "https:" ? "; secure" : "";
      document.cookie = `phoenix_language=${language.dataset.language}; path=/dashboard; max-age=31536000; samesite=strict${secure}`;
      location.reload();
    }
  };

  // --- only somebody who moves uses the session; an open page alone does not ---

  let usedAt = Date.now();
  const used = () => {
    if (Date.now() - usedAt < USED_EVERY_MS) return;
    usedAt = Date.now();
    fetch("/dashboard/session", { cache: "no-store" })
      .then((answer) => { if (answer.status === 401) location.reload(); })
      .catch(() => setLive(false, body.dataset.lost));
  };

  document.addEventListener("click", onClick);
  document.addEventListener("change", (event) => event.target.matches("[data-submit]") && event.target.form.requestSubmit());
  localise(document);

  if (!body.dataset.events) return; // the login
  document.addEventListener("htmx:afterSwap", onSwap);
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 403) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });
  for (const failure of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(failure, (event) => { if (event.detail.xhr?.status !== 401) tell(body.dataset.failed); });
  }
  for (const activity of ["pointerdown", "keydown", "pointermove", "touchstart"]) {
    document.addEventListener(activity, used, { passive: true });
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
  setInterval(watchSilence, 1000);
  connect();
})();
