/**
 * The status page: reads /status of where it came from every second and shows it. A peer's report and a gateway's become
 * one model, so that there is one page. All text goes in as text: keys, values and names are strangers' words.
 */

const pollMs = 1000;
const fetchMs = 5000;
const historyMax = 120;
const previewBytesMax = 64 * 1024;
const suggestionsMax = 12;

const byId = (id) => document.getElementById(id);

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== undefined && child !== ""));
  return made;
};

const drawn = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

// ---- Words and figures ------------------------------------------------------------------------------------------------

const count = (value) => {
  if (value < 10_000) return Math.round(value).toLocaleString("en");
  const [unit, size] = value < 1e6 ? ["k", 1e3] : value < 1e9 ? ["M", 1e6] : ["G", 1e9];
  return `${(value / size).toFixed(value / size < 100 ? 1 : 0)}${unit}`;
};

const bytes = (value) => {
  let [size, unit] = [value, 0];
  while (size >= 1024 && unit < 4) [size, unit] = [size / 1024, unit + 1];
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
};

const time = (ms) => {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
};

const offset = (ms) => `${ms >= 0 ? "+" : "\u2212"}${time(Math.abs(ms))}`;
const known = (value, form) => (value === null || value === undefined ? undefined : form(value));

// ---- One model of both reports ------------------------------------------------------------------------------------------

const linkTone = (link) => {
  if (link.verdict === "different" || link.state === "down") return "bad";
  if (link.state !== "up" || link.verdict === "no-link") return link.state === "connecting" ? "bad" : "warn";
  return "good";
};

const stateTone = (state) => (state === "up" ? "good" : state === "down" || state === "connecting" ? "bad" : "warn");

const stateOf = (status) => {
  if (status.ready) return "up";
  if (status.loading) return "loading";
  return status.gated ? "catching up" : "not ready";
};

const linksOf = (status) => status.links.map((link) => ({ ...link, from: status.peer.name, to: link.peer }));

const modelOfPeer = (status) => ({
  kind: "peer",
  name: status.peer.name,
  version: status.peer.version,
  uptimeSeconds: status.peer.uptimeSeconds,
  rate: { name: "Commands per second at this peer", value: status.opsPerSecond },
  reports: [status],
  links: linksOf(status),
  alerts: [
    ...status.reasons.map((text) => ({ text: `Not ready: ${text}`, tone: "bad" })),
    ...status.alarms.map((text) => ({ text, tone: "warn" })),
  ],
  tiles: [
    ["Keys", count(status.keys)],
    ["Latency p99", known(status.latency.p99Ms, time), known(status.latency.p50Ms, (ms) => `p50 ${time(ms)}`)],
    ["Memory", bytes(status.memory.usedBytes), status.memory.maxBytes > 0 ? `of ${bytes(status.memory.maxBytes)}` : ""],
    ["Log", bytes(status.log.bytes)],
    ["Clients", count(status.clients.tcp + status.clients.webSocket)],
    ["Conflicts kept", count(status.conflicts.kept)],
    ["Tombstones", count(status.tombstones.count)],
  ],
  peers: status.peers.map(({ name, address }) => {
    const link = status.links.find((each) => each.peer === name);
    const isSelf = name === status.peer.name;
    const state = isSelf ? stateOf(status) : (link?.state ?? "down");
    const why = link?.why ?? "";
    return { name, address, isSelf, state, why, status: isSelf ? status : undefined, link };
  }),
});

const modelOfGateway = (status) => {
  const { gateway, peers } = status;
  const reports = peers.flatMap((peer) => (peer.status === null ? [] : [peer.status]));
  const { cache } = gateway;
  const asked = cache === null ? 0 : cache.hits + cache.misses + cache.bypasses;
  return {
    kind: "gateway",
    name: "gateway",
    version: gateway.version,
    uptimeSeconds: gateway.uptimeSeconds,
    rate: { name: "Requests per second at this gateway", value: gateway.requestsPerSecond },
    reports,
    links: reports.flatMap(linksOf),
    alerts: [
      ...status.reasons.map((text) => ({ text: `Not ready: ${text}`, tone: "bad" })),
      ...reports.flatMap((report) =>
        report.alarms.map((text) => ({ text: `${report.peer.name}: ${text}`, tone: "warn" })),
      ),
    ],
    tiles: [
      ["Keys", reports.length === 0 ? undefined : count(Math.max(...reports.map((report) => report.keys)))],
      ["Commands/s", count(reports.reduce((sum, report) => sum + report.opsPerSecond, 0)), "all peers"],
      [
        "Cache hits",
        cache === null ? "off" : asked === 0 ? undefined : `${((100 * cache.hits) / asked).toFixed(1)}%`,
        cache === null ? "" : cache.trusted ? bytes(cache.bytes) : "bypassed",
      ],
      ["TCP connections", gateway.tcpPort === 0 ? "off" : count(gateway.tcpConnections)],
      ["Writes go to", gateway.writesTo ?? "all"],
      ["Conflicts kept", count(Math.max(0, ...reports.map((report) => report.conflicts.kept)))],
    ],
    peers: peers.map(({ name, address, state, why, status: report }) => {
      return { name, address, isSelf: false, state, why, status: report ?? undefined, link: undefined };
    }),
  };
};

/** What may be said of all maps, on the evidence of the reports alone. */
const verdictOf = ({ kind, peers, links, reports }) => {
  const upCount = peers.filter((peer) => peer.state === "up").length;
  const worstMs = Math.max(0, ...links.map((link) => link.lagMs ?? 0));
  const worstOps = Math.max(0, ...links.map((link) => Math.max(link.lagOps, link.behindOps)));
  const behind =
    worstOps === 0 ? "" : `, at most ${count(worstOps)} writes${worstMs > 0 ? ` or ${time(worstMs)}` : ""} behind`;
  if (links.some((link) => link.verdict === "different")) {
    return ["bad", "Diverged", "Maps differ at equal histories. Repair has begun; see DIFF."];
  }
  if (reports.length === 0) return ["bad", "No peer answers", "Nothing is known of the maps."];
  if (peers.length === 1) return ["quiet", "One peer", "There is nobody to agree with."];
  if (upCount < peers.length) {
    const missing = peers.filter((peer) => peer.state !== "up").map((peer) => peer.name);
    return [
      upCount * 2 > peers.length ? "warn" : "bad",
      `${upCount} of ${peers.length} peers`,
      `Without ${missing.join(", ")}${behind}.`,
    ];
  }
  if (links.length > 0 && links.every((link) => link.verdict === "identical")) {
    const all = kind === "gateway" ? "All maps are" : "Every map is equal to this peer's:";
    return ["good", "Identical", `${all} ${kind === "gateway" ? "equal: " : ""}same history, same digest.`];
  }
  return ["good", "Replicating", `All peers are linked${behind}.`];
};

// ---- Drawing it -----------------------------------------------------------------------------------------------------------

/** Changes the text only where it differs, so that a selection survives a second. */
const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const drawTopology = ({ peers, links }) => {
  const svg = byId("topology");
  const [middleX, middleY, radius] = [130, 100, peers.length === 1 ? 0 : 74];
  const placed = peers.map((peer, index) => {
    const angle = (index / peers.length) * 2 * Math.PI - Math.PI / 2;
    const wide = peers.length === 2 ? 0 : radius;
    const x = middleX + (peers.length === 2 ? (index === 0 ? -74 : 74) : Math.cos(angle) * radius * 1.25);
    return { peer, x, y: middleY + Math.sin(angle) * wide + (peers.length === 3 ? 18 : 0) };
  });
  const size = peers.length > 8 ? 13 : 21;
  const edges = [];
  placed.forEach((a, index) => {
    for (const b of placed.slice(index + 1)) {
      const both = links.filter(
        ({ from, to }) => (from === a.peer.name && to === b.peer.name) || (from === b.peer.name && to === a.peer.name),
      );
      const tones = both.map(linkTone);
      const tone = tones.includes("bad") ? "bad" : tones.includes("warn") ? "warn" : tones.length > 0 ? "good" : "none";
      edges.push(drawn("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, "data-tone": tone }));
      const rtts = both.flatMap((link) => (link.rttMs === null ? [] : [link.rttMs]));
      if (rtts.length === 0 || tone !== "good" || peers.length > 5) continue;
      const [x, y, label] = [(a.x + b.x) / 2, (a.y + b.y) / 2, time(Math.min(...rtts))];
      const width = label.length * 6.6 + 6;
      edges.push(
        drawn("rect", { x: x - width / 2, y: y - 8, width, height: 16 }),
        drawn("text", { x, y, class: "edge" }, label),
      );
    }
  });
  const nodes = placed.map(({ peer, x, y }) => {
    const group = drawn("g", { "data-tone": stateTone(peer.state), "data-self": peer.isSelf ? "yes" : "no" });
    const label = peer.name.length > 4 ? { x, y: y + size + 11 } : { x, y };
    group.append(drawn("circle", { cx: x, cy: y, r: size }), drawn("text", label, peer.name));
    return group;
  });
  svg.replaceChildren(...edges, ...nodes);
};

const history = [];
const drawChart = (value) => {
  history.push(value);
  if (history.length > historyMax) history.shift();
  const top = Math.max(10, ...history);
  const [width, height] = [600, 90];
  const points = history.map((each, index) => {
    const x = width - ((history.length - 1 - index) / (historyMax - 1)) * width;
    return `${x.toFixed(1)},${(height - (each / top) * (height - 6)).toFixed(1)}`;
  });
  const line = `M${points.join("L")}`;
  const from = points[0].split(",")[0];
  byId("chart-line").setAttribute("d", points.length > 1 ? line : "");
  byId("chart-area").setAttribute("d", points.length > 1 ? `${line}L${width},${height}L${from},${height}Z` : "");
  setText(byId("rate"), count(value));
  setText(byId("rate-max"), Math.max(...history) > 0 ? `max ${count(Math.max(...history))}` : "");
};

const drawTiles = (tiles) => {
  const list = byId("tiles");
  if (list.children.length !== tiles.length) {
    list.replaceChildren(...tiles.map(() => element("div", {}, element("dt"), element("dd"))));
  }
  tiles.forEach(([name, value, note], index) => {
    const [term, data] = list.children[index].children;
    setText(term, name);
    const text = `${value ?? "–"}|${note ?? ""}`;
    if (data.dataset.text === text) return;
    data.dataset.text = text;
    data.replaceChildren(value ?? "–", note ? element("small", {}, note) : "");
  });
};

const verdictWords = {
  identical: ["good", "identical"],
  syncing: ["quiet", "syncing"],
  "not-compared": ["quiet", "comparing"],
  different: ["bad", "different"],
  "no-link": ["quiet", "no link"],
};

const pill = (tone, text) => element("span", { class: "pill", "data-tone": tone }, text);

/** The worst that any other peer says of its link to this one. */
const linksTo = (model, name) => model.links.filter((link) => link.to === name);
const worst = (values) => (values.length === 0 ? undefined : Math.max(...values));
const lagOf = (links) => {
  const ops = worst(links.map((link) => link.lagOps));
  if (ops === undefined || ops === 0) return ops === undefined ? undefined : "0";
  const ms = worst(links.map((link) => link.lagMs ?? 0));
  return `${count(ops)} op${ops === 1 ? "" : "s"}${ms > 0 ? `, ${time(ms)}` : ""}`;
};

const verdictTo = (model, peer) => {
  const verdicts =
    model.kind === "peer"
      ? peer.link
        ? [peer.link.verdict]
        : []
      : linksTo(model, peer.name).map((link) => link.verdict);
  const order = ["different", "no-link", "syncing", "not-compared", "identical"];
  const [tone, text] = verdictWords[order.find((each) => verdicts.includes(each))] ?? [];
  if (peer.isSelf) return element("span", { class: "none" }, "here");
  return text === undefined ? undefined : pill(tone, text);
};

const columns = {
  peer: [
    ["Lag", ({ link }) => known(link, (each) => lagOf([each]))],
    ["To fetch", ({ link }) => known(link, (each) => count(each.behindOps))],
    ["Round trip", ({ link }) => known(link?.rttMs, time)],
    ["Clock", ({ link }) => known(link?.clockOffsetMs, offset)],
    ["Queue", ({ link }) => known(link?.queuedBytes, bytes)],
  ],
  gateway: [
    ["Keys", ({ status }) => known(status?.keys, count)],
    ["Commands/s", ({ status }) => known(status?.opsPerSecond, count)],
    ["p99", ({ status }) => known(status?.latency.p99Ms, time)],
    ["Lag", ({ name }, model) => lagOf(linksTo(model, name))],
    ["Memory", ({ status }) => known(status?.memory.usedBytes, bytes)],
  ],
};

const drawPeers = (model) => {
  const named = [...columns[model.kind], ["Map", (peer) => verdictTo(model, peer)]];
  const table = byId("peers");
  if (table.tHead.children.length === 0) {
    const names = ["Peer", "State", ...named.map(([name]) => name)];
    table.tHead.append(element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name))));
  }
  const rows = model.peers.map((peer) => {
    const link = /^[A-Za-z0-9.:[\]_-]+$/.test(peer.address)
      ? element("a", { href: `${location.protocol}//${peer.address}/`, rel: "noreferrer" }, peer.name)
      : peer.name;
    const name = element("td", {}, link, element("span", { class: "addr" }, peer.address));
    const why = peer.state === "up" || peer.why === "" ? undefined : element("span", { class: "note" }, peer.why);
    const state = element("td", {}, pill(stateTone(peer.state), peer.state), why);
    const cells = named.map(([column, value]) => {
      return element("td", { "data-name": column }, value(peer, model) ?? element("span", { class: "none" }, "–"));
    });
    return element("tr", { "data-peer": peer.name }, name, state, ...cells);
  });
  table.tBodies[0].replaceChildren(...rows);
};

const show = (status) => {
  const model = status.gateway === undefined ? modelOfPeer(status) : modelOfGateway(status);
  const [tone, word, why] = verdictOf(model);
  const who = model.kind === "peer" ? ["peer ", element("b", {}, model.name)] : [element("b", {}, "gateway")];
  byId("who").replaceChildren(...who);
  setText(byId("about"), `version ${model.version}, up ${time(model.uptimeSeconds * 1000)}`);
  byId("verdict").dataset.tone = tone;
  setText(byId("verdict"), word);
  setText(byId("verdict-why"), why);
  setText(byId("rate-name"), model.rate.name);
  document.title = `${word} · ${model.name} · Chorus`;
  const alerts = byId("alerts");
  alerts.hidden = model.alerts.length === 0;
  const text = JSON.stringify(model.alerts);
  if (alerts.dataset.text !== text) {
    alerts.dataset.text = text;
    alerts.replaceChildren(...model.alerts.map((alert) => element("p", { "data-tone": alert.tone }, alert.text)));
  }
  drawTopology(model);
  drawChart(model.rate.value);
  drawTiles(model.tiles);
  drawPeers(model);
};

// ---- Once a second -----------------------------------------------------------------------------------------------------------

let seenAt = 0;

const poll = async () => {
  try {
    const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(fetchMs) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(await answer.json());
    seenAt = Date.now();
    document.body.classList.remove("lost");
    byId("live").dataset.state = "live";
    setText(byId("live"), "live");
    setText(byId("seen"), `as of ${new Date(seenAt).toLocaleTimeString()}`);
  } catch (error) {
    document.body.classList.add("lost");
    byId("live").dataset.state = "lost";
    const since = seenAt === 0 ? "" : ` for ${time(Date.now() - seenAt)}`;
    setText(
      byId("live"),
      error instanceof TypeError || error.name === "TimeoutError" ? `no answer${since}` : String(error.message),
    );
  }
};

const beat = async () => {
  if (!document.hidden) await poll();
  setTimeout(beat, pollMs);
};
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
beat();

// ---- Looking up a key -----------------------------------------------------------------------------------------------------------

/** Of what was typed, or of a key that came from the list: latin1 when it was not UTF-8. */
const pathOf = (key) => {
  // A browser takes these two for steps in a path, however they are written.
  if (key === "." || key === "..") return `/get?key=${key}`;
  return `/kv/${typeof key === "string" ? encodeURIComponent(key) : percentOf(atob(key.base64))}`;
};
const percentOf = (binary) =>
  [...binary].map((char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");

const asText = (value) => {
  const cut = value.subarray(0, previewBytesMax);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(cut, { stream: value.length > cut.length });
    if (!/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text)) return text;
  } catch {
    // Not UTF-8.
  }
  const lines = [];
  for (let at = 0; at < Math.min(cut.length, 4096); at += 16) {
    const row = [...cut.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const plain = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${plain}`);
  }
  return lines.join("\n");
};

const fact = (name, value) => element("span", {}, `${name} `, element("b", {}, value));

/** Only the newest question's answer is shown. */
let asked = 0;

const lookUp = async (key) => {
  const found = byId("found");
  const mine = ++asked;
  const startedAt = performance.now();
  const say = (...nodes) => {
    if (mine === asked) found.replaceChildren(...nodes);
  };
  try {
    const answer = await fetch(pathOf(key), { cache: "no-store", signal: AbortSignal.timeout(fetchMs) });
    if (answer.status === 404) return say(element("p", {}, "There is no such key."));
    if (!answer.ok) {
      const { error } = await answer.json();
      return say(element("p", { "data-tone": "bad" }, `${error.code}: ${error.message}`));
    }
    const value = new Uint8Array(await answer.arrayBuffer());
    const { headers } = answer;
    const ttl = headers.get("X-Chorus-TTL");
    const cache = headers.get("X-Cache");
    const peer = headers.get("X-Chorus-Peer");
    const shown = asText(value);
    say(
      element("pre", { tabindex: "0" }, shown === "" ? "(empty)" : shown),
      element(
        "div",
        { class: "facts" },
        fact("size", bytes(value.length)),
        value.length > previewBytesMax ? fact("shown", `the first ${bytes(previewBytesMax)}`) : "",
        ttl === null ? "" : fact("expires in", time(Number(ttl) * 1000)),
        fact("version", (headers.get("ETag") ?? "").replaceAll('"', "")),
        peer === null ? "" : fact("from", `peer ${peer}`),
        cache === null ? "" : fact("cache", cache),
        fact("took", time(performance.now() - startedAt)),
      ),
    );
  } catch (error) {
    say(element("p", { "data-tone": "bad" }, `No answer: ${error.message}`));
  }
};

const suggest = async (prefix) => {
  const list = byId("keys");
  try {
    const url = `/kv?prefix=${encodeURIComponent(prefix)}&limit=${suggestionsMax}`;
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(fetchMs) });
    if (!answer.ok || byId("key").value !== prefix) return;
    const { keys } = await answer.json();
    list.replaceChildren(
      ...keys.slice(0, suggestionsMax).map((key) => {
        const button = element("button", { type: "button" }, typeof key === "string" ? key : `base64:${key.base64}`);
        button.addEventListener("click", () => {
          if (typeof key === "string") byId("key").value = key;
          lookUp(key);
        });
        return button;
      }),
    );
  } catch {
    list.replaceChildren();
  }
};

let typing;
byId("key").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => suggest(byId("key").value), 250);
});
byId("key").addEventListener("focus", () => suggest(byId("key").value), { once: true });
byId("look").addEventListener("submit", (event) => {
  event.preventDefault();
  lookUp(byId("key").value);
});
