// Picket's pages: live updates, keyboard, copy buttons, times that keep up. No framework; htmx morphs.
"use strict";
(() => {
  const body = document.body;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // The server's clock: results are judged by it, not by this machine's.
  let offset = Number(body.dataset.now || Date.now()) - Date.now();
  const now = () => Date.now() + offset;

  // Times ------------------------------------------------------------------------------------------------------------
  // The same words as `words::coarse` on the server.
  const coarse = (ms) => {
    ms = Math.abs(ms);
    if (ms < 1000) return "less than 1 s";
    if (ms < 60e3) return `${Math.floor(ms / 1000)} s`;
    if (ms < 3600e3) return `${Math.floor(ms / 60e3)} min`;
    if (ms < 2 * 86400e3) return `${Math.floor(ms / 3600e3)} h`;
    return `${Math.floor(ms / 86400e3)} d`;
  };
  const ago = (at) => {
    const age = now() - at;
    if (Math.abs(age) < 1000) return "just now";
    return age > 0 ? `${coarse(age)} ago` : `in ${coarse(age)}`;
  };
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const tick = () => {
    for (const time of all("time[data-at]")) write(time, ago(Number(time.dataset.at)));
    for (const time of all("time[data-since]")) write(time, coarse(Math.max(0, now() - Number(time.dataset.since))));
  };
  setInterval(tick, 1000);

  // Live updates -----------------------------------------------------------------------------------------------------
  const live = byId("live");
  const stream = byId("stream");
  // A page is fetched again at most once a second, however many hints come; and each minute without any, because
  // results grow stale by time alone.
  const PACE = 1000, AT_LEAST = 60e3;
  // EventSource tries again by itself; silence for this long (the server sends something each 15 s) is no stream either.
  const SILENCE = 40e3;
  let fetched = 0, timer = null, running = false, again = false, source = null, heard = 0, asOf = now();

  const setStream = (state) => {
    if (!stream || stream.dataset.state === state) return;
    stream.dataset.state = state;
    body.dataset.stream = state;
    write(stream, { live: "Live", down: "Interrupted", connecting: "Connecting" }[state]);
    if (state === "down") write(byId("as-of-time"), new Date(asOf - offset).toLocaleTimeString());
  };

  const refresh = async () => {
    if (running) { again = true; return; }
    running = true;
    again = false;
    const asked = location.href;
    try {
      const response = await fetch(asked, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
      if (response.status === 401) { location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search)); return; }
      if (!response.ok) throw new Error(String(response.status));
      const text = await response.text();
      // A filter that changed meanwhile has its own answer.
      if (location.href === asked) await htmx.swap({ sourceElement: live, target: live, text, swap: "innerMorph" });
      fetched = Date.now();
      arrived();
    } catch {
      if (source?.readyState !== EventSource.OPEN) setStream("down");
    } finally {
      running = false;
      if (again) schedule();
    }
  };
  const schedule = () => {
    if (timer || document.hidden) return;
    const wait = Math.max(50, fetched + PACE - Date.now());
    timer = setTimeout(() => { timer = null; refresh(); }, wait);
  };

  // What came with the live part: the server's time, the window's title, the menu's badge.
  const arrived = () => {
    const meta = live?.querySelector("[data-now]");
    if (!meta) return;
    offset = Number(meta.dataset.now) - Date.now();
    asOf = now();
    document.title = `${meta.dataset.title} · Picket`;
    const badge = byId("open-alerts");
    if (badge) { write(badge, meta.dataset.openAlerts); badge.hidden = meta.dataset.openAlerts === "0"; }
    tick();
    document.dispatchEvent(new CustomEvent("picket:fresh"));
  };

  const connect = () => {
    if (!body.dataset.live || source || document.hidden) return;
    source = new EventSource(body.dataset.live);
    heard = Date.now();
    const hear = () => { heard = Date.now(); setStream("live"); };
    source.addEventListener("open", hear);
    // The snapshot comes after the page was made or after an interruption: what happened in between is read now.
    source.addEventListener("snapshot", () => { hear(); if (Date.now() - loaded > PACE || fetched) schedule(); });
    source.addEventListener("hint", () => { hear(); schedule(); });
    source.addEventListener("error", () => {
      setStream("down");
      // A refusal (the session ended, say) ends an EventSource for good.
      if (source?.readyState === EventSource.CLOSED) { disconnect(); setTimeout(() => { refresh(); connect(); }, 3000); }
    });
  };
  const disconnect = () => { source?.close(); source = null; };
  const loaded = Date.now();
  if (live) {
    connect();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) { disconnect(); return; }
      connect();
      schedule();
    });
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", (event) => { if (event.persisted) { connect(); schedule(); } });
    setInterval(() => {
      if (document.hidden) return;
      if (Date.now() - Math.max(fetched, loaded) > AT_LEAST) schedule();
      if (source?.readyState === EventSource.CONNECTING && Date.now() - heard > SILENCE) { disconnect(); connect(); }
    }, 5000);
    document.addEventListener("htmx:after:swap", () => arrived());
  }

  // Copy -------------------------------------------------------------------------------------------------------------
  const copy = async (button) => {
    const path = button.dataset.copyCurl;
    const text = path === undefined ? button.dataset.copy
      : `curl -H "Authorization: Bearer $PICKET_TOKEN" "${location.origin}${path}"`;
    const label = button.querySelector("span");
    const before = label.dataset.label ?? label.textContent;
    label.dataset.label = before;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
      button.classList.add("copied");
    } catch {
      // Without HTTPS there is no clipboard: show what to copy.
      prompt("Copy this", text);
    }
    setTimeout(() => { label.textContent = before; button.classList.remove("copied"); }, 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-curl]");
    if (button) copy(button);
  });

  // Keyboard ---------------------------------------------------------------------------------------------------------
  const isTyping = (element) => element.matches?.("input, select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = all("[data-row]");
    const here = rows.indexOf(document.activeElement);
    if (event.key === "Escape") {
      if (document.activeElement !== body) { document.activeElement.blur(); return; }
      const up = document.querySelector("[data-up]") ?? all(".crumbs a").at(-1);
      if (up) location.assign(up.href);
      return;
    }
    if (isTyping(event.target)) return;
    if (event.key === "/") {
      const field = document.querySelector("[data-filter]");
      if (field) { event.preventDefault(); field.focus(); field.select?.(); }
    } else if (event.key === "j" || event.key === "k") {
      const next = event.key === "j" ? Math.min(here + 1, rows.length - 1) : Math.max(here - 1, 0);
      rows[next]?.focus();
      rows[next]?.scrollIntoView({ block: "nearest" });
    }
  });
})();
