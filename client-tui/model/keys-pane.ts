/**
 * The Keys pane: what is loaded, what is selected, and its value.
 *
 * Keys come by SCAN, a page at a time, never by KEYS. A selection asks for four things of its key: the first 64 KiB, the
 * length, the time to live, and TRACE; one key at a time, so that holding `j` down asks for few of those it passes.
 */

import type { WireReply } from "../../protocol/client-messages.ts";
import { tuiLoadedKeyBytesMax, tuiLoadedKeysMax, tuiPageKeys, tuiPreviewBytesMax } from "../../protocol/limits.ts";
import type { Latin1 } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { editLine, editorText, emptyEditor, insert } from "../input/line-editor.ts";
import { fullCount } from "../text/format.ts";
import { previewModes } from "../text/preview.ts";
import { textToLatin1, visibleBytes } from "../text/visible.ts";
import { keyRows, mergeKeys, rowId, scanPattern } from "./key-tree.ts";
import { bodyRows, pageOf } from "./layout.ts";
import {
  type Effect,
  type KeyRow,
  type KeysAfter,
  type KeysState,
  type Model,
  type Preview,
  type Purpose,
  type Step,
  step,
  type TraceView,
  withNotice,
} from "./model.ts";
import { charOf, movedTo } from "./movement.ts";
import { replyBytes, replyField, replyItems, replyNumber } from "./reply-text.ts";
import { openBulkDelete, openCreate, openDelete, openEdit, openRename, openTtl } from "./writes.ts";

/** With a pattern most keys do not match: look at many a call. The peer ends a call early rather than stall. */
const patternScanCount = 5000;

// ---- Rows ---------------------------------------------------------------------------------------------------------------

/** Makes the rows anew; what was selected stays selected, wherever it went. */
const withRows = (keys: KeysState): KeysState => {
  const before = keys.rows[keys.selected];
  const rows = keyRows(keys.loaded, {
    view: keys.view,
    open: keys.open,
    filter: textToLatin1(editorText(keys.filter)),
    hasMore: keys.scan.state === "idle" || keys.scan.state === "failed",
  });
  const id = rowId(before);
  const same = id === "" ? -1 : rows.findIndex((row) => rowId(row) === id);
  return { ...keys, rows, selected: same >= 0 ? same : Math.max(0, Math.min(rows.length - 1, keys.selected)) };
};

export const selectedRow = (model: Model): KeyRow | undefined => model.keys.rows[model.keys.selected];

export const selectedKey = (model: Model): Latin1 | undefined => {
  const row = selectedRow(model);
  return row?.kind === "key" ? row.key : undefined;
};

const withKeys = (model: Model, change: Partial<KeysState>): Model => ({
  ...model,
  keys: { ...model.keys, ...change },
});
const withRowsOf = (model: Model, change: Partial<KeysState>): Model => ({
  ...model,
  keys: withRows({ ...model.keys, ...change }),
});

/** After a write of ours, or a change in the feed. */
export const applyToLoaded = (model: Model, { added, removed }: KeysAfter): Model => {
  const gone = new Set(removed.filter((key) => hasKey(model.keys.loaded, key)));
  const fresh = added.filter((key) => !hasKey(model.keys.loaded, key));
  if (gone.size === 0 && fresh.length === 0) return model;
  const kept = gone.size === 0 ? model.keys.loaded : model.keys.loaded.filter((key) => !gone.has(key));
  return withRowsOf(model, { loaded: mergeKeys(kept, fresh, tuiLoadedKeysMax) });
};

const hasKey = (loaded: readonly Latin1[], key: Latin1): boolean => {
  let low = 0;
  let high = loaded.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((loaded[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return loaded[low] === key;
};

/** Is this a key the list would show, had it been there when it was scanned? */
export const belongsToList = (model: Model): boolean =>
  model.keys.pattern === undefined && model.keys.scan.state === "done";

/** Goes to a key, whether it was loaded or not. */
export const showKey = (model: Model, key: Latin1): Step => {
  const open = new Set(model.keys.open);
  for (let at = key.indexOf(":"); at >= 0; at = key.indexOf(":", at + 1)) open.add(key.slice(0, at + 1));
  const shown = withRowsOf(model, {
    loaded: mergeKeys(model.keys.loaded, [key], tuiLoadedKeysMax),
    filter: emptyEditor,
    isFiltering: false,
    open,
  });
  const selected = shown.keys.rows.findIndex((row) => row.kind === "key" && row.key === key);
  return previewSelected({ ...withKeys(shown, { selected: Math.max(0, selected) }), pane: "keys" });
};

// ---- Scanning -----------------------------------------------------------------------------------------------------------

const scanEffect = ({ pattern, scan }: KeysState): Effect => ({
  type: "command",
  words:
    pattern === undefined
      ? ["SCAN", scan.cursor, "COUNT", String(tuiPageKeys)]
      : ["SCAN", scan.cursor, "MATCH", pattern, "COUNT", String(patternScanCount)],
  purpose: { kind: "scan", generation: scan.generation },
});

/** From the beginning; what was loaded is let go. */
export const startScan = (model: Model, pattern: Latin1 | undefined): Step => {
  const generation = model.keys.scan.generation + 1;
  const next = withRowsOf(model, {
    pattern,
    loaded: [],
    scan: { generation, cursor: "0", state: "running", wanted: tuiPageKeys, calls: 0 },
  });
  return step(next, scanEffect(next.keys));
};

export const loadMore = (model: Model): Step => {
  const { scan } = model.keys;
  if (scan.state === "running" || scan.state === "done") return step(model);
  if (scan.state === "full")
    return step(withNotice(model, `${fullCount(model.keys.loaded.length)} keys are loaded; narrow with /`, "bad"));
  const next = withRowsOf(model, { scan: { ...scan, state: "running", wanted: tuiPageKeys } });
  return step(next, scanEffect(next.keys));
};

/** Another peer has other cursors: go through it from the start, what is loaded stays. */
export const scanElsewhere = (model: Model): Step => {
  const { scan, loaded } = model.keys;
  if (scan.generation === 0) return startScan(model, undefined);
  const next = { ...scan, generation: scan.generation + 1, cursor: "0" };
  if (scan.state === "done" || loaded.length >= tuiLoadedKeysMax) return step(withKeys(model, { scan: next }));
  const running = withRowsOf(model, { scan: { ...next, state: "running", wanted: tuiPageKeys } });
  return step(running, scanEffect(running.keys));
};

const onScanned = (model: Model, generation: number, reply: WireReply): Step => {
  const { scan, loaded } = model.keys;
  if (generation !== scan.generation || scan.state !== "running") return step(model);
  const [cursorReply, keysReply] = replyItems(reply);
  const cursor = replyBytes(cursorReply) ?? "0";
  const found = replyItems(keysReply).flatMap((item) => replyBytes(item) ?? []);
  const merged = mergeKeys(loaded, found, tuiLoadedKeysMax);
  const wanted = scan.wanted - (merged.length - loaded.length);
  const isFull = merged.length >= tuiLoadedKeysMax || bytesOf(merged) > tuiLoadedKeyBytesMax;
  const state = cursor === "0" ? "done" : isFull ? "full" : wanted <= 0 ? "idle" : "running";
  const next = withRowsOf(model, { loaded: merged, scan: { ...scan, cursor, wanted, state, calls: scan.calls + 1 } });
  const shown = previewSelected(next);
  return state === "running" ? step(shown.model, ...shown.effects, scanEffect(next.keys)) : shown;
};

const bytesOf = (keys: readonly Latin1[]): number => keys.reduce((sum, key) => sum + key.length, 0);

// ---- Preview ------------------------------------------------------------------------------------------------------------

const previewEffects = (key: Latin1): Effect[] => {
  const ask = (part: Extract<Purpose, { kind: "preview" }>["part"], ...words: readonly Latin1[]): Effect => ({
    type: "command",
    words,
    purpose: { kind: "preview", key, part },
  });
  return [
    ask("value", "GETRANGE", key, "0", String(tuiPreviewBytesMax - 1)),
    ask("length", "STRLEN", key),
    ask("ttl", "PTTL", key),
    ask("trace", "TRACE", key),
  ];
};

const emptyPreview = (key: Latin1, atMs: number): Preview => ({
  key,
  value: "",
  valueBytes: 0,
  ttlMs: -1,
  atMs,
  trace: undefined,
  error: undefined,
  waiting: 0,
  isLoaded: false,
});

/** Asks for the selected key unless it is shown, or another is under way (its last reply asks again). */
export const previewSelected = (model: Model): Step => {
  const key = selectedKey(model);
  const { preview } = model.keys;
  if (key === undefined || preview?.key === key || isPending(preview)) return step(model);
  return ask(withKeys(model, { previewTop: 0 }), emptyPreview(key, model.nowMs));
};

const ask = (model: Model, preview: Preview): Step => {
  const effects = previewEffects(preview.key);
  return step(withKeys(model, { preview: { ...preview, waiting: effects.length } }), ...effects);
};

const isPending = (preview: Preview | undefined): boolean => preview !== undefined && preview.waiting > 0;

/** The same key again: it may have changed. What is shown stays until the new parts come. */
export const refreshPreview = (model: Model): Step => {
  const key = selectedKey(model);
  const { preview } = model.keys;
  if (key === undefined || isPending(preview)) return step(model);
  return preview?.key === key ? ask(model, preview) : previewSelected(model);
};

const onPreviewPart = (
  model: Model,
  purpose: Extract<Purpose, { kind: "preview" }>,
  change: Partial<Preview>,
): Step => {
  const { preview } = model.keys;
  if (preview?.key !== purpose.key) return previewSelected(model);
  const waiting = Math.max(0, preview.waiting - 1);
  const isLoaded = preview.isLoaded || waiting === 0;
  return previewSelected(withKeys(model, { preview: { ...preview, ...change, waiting, isLoaded } }));
};

const traceOf = (reply: WireReply): TraceView | undefined => {
  if (reply === null) return undefined;
  const text = (name: string): string => visibleBytes(replyBytes(replyField(reply, name)) ?? "?");
  const holders = replyField(reply, "holders");
  const pairs =
    typeof holders === "object" && holders !== null && !Array.isArray(holders) && "map" in holders
      ? (holders.map as readonly (readonly [WireReply, WireReply])[])
      : [];
  return {
    state: text("state"),
    origin: text("origin"),
    dot: text("dot"),
    writtenAt: text("written-at"),
    ageMs: replyNumber(replyField(reply, "age-ms")) ?? 0,
    holders: pairs.map(([peer, holds]) => ({
      peer: visibleBytes(replyBytes(peer) ?? "?"),
      holds: visibleBytes(replyBytes(holds) ?? "?"),
    })),
  };
};

// ---- Replies ------------------------------------------------------------------------------------------------------------

export const onKeysReply = (
  model: Model,
  purpose: Extract<Purpose, { kind: "scan" | "preview" }>,
  reply: WireReply,
): Step => {
  if (purpose.kind === "scan") return onScanned(model, purpose.generation, reply);
  switch (purpose.part) {
    case "value":
      return onPreviewPart(model, purpose, { value: replyBytes(reply) ?? "", error: undefined });
    case "length":
      return onPreviewPart(model, purpose, { valueBytes: replyNumber(reply) ?? 0 });
    case "ttl":
      return onPreviewPart(model, purpose, { ttlMs: replyNumber(reply) ?? -1, atMs: model.nowMs });
    case "trace":
      return onPreviewPart(model, purpose, { trace: traceOf(reply) });
  }
};

export const onKeysRefused = (
  model: Model,
  purpose: Extract<Purpose, { kind: "scan" | "preview" }>,
  why: string,
): Step => {
  if (purpose.kind === "preview") return onPreviewPart(model, purpose, { error: why });
  if (purpose.generation !== model.keys.scan.generation) return step(model);
  const next = withRowsOf(model, { scan: { ...model.keys.scan, state: "failed" } });
  return step(withNotice(next, `SCAN: ${why}`, "bad"));
};

// ---- Keys of the keyboard -------------------------------------------------------------------------------------------------

/** While the filter is typed: it narrows what is loaded at once; Enter asks the peer. */
export const onFilterKey = (model: Model, key: KeyPress): Step => {
  const { keys } = model;
  if (key.name === "escape") return previewSelected(withRowsOf(model, { filter: emptyEditor, isFiltering: false }));
  if (key.name === "enter") {
    const text = textToLatin1(editorText(keys.filter));
    const closed = withKeys(model, { isFiltering: false });
    if (text === "" && keys.pattern !== undefined) return startScan(closed, undefined);
    // All is loaded, so what is shown is what there is.
    if (text === "" || belongsToList(model)) return previewSelected(closed);
    return startScan(closed, scanPattern(text));
  }
  if (key.name === "up" || key.name === "down") return moveTo(model, key) ?? step(model);
  const filter =
    key.name === "paste" ? insert(keys.filter, key.text.replaceAll(/\p{Cc}+/gu, " ")) : editLine(keys.filter, key);
  return filter === undefined ? step(model) : previewSelected(withRowsOf(model, { filter }));
};

const moveTo = (model: Model, key: KeyPress): Step | undefined => {
  const { keys } = model;
  const selected = movedTo(key, keys.selected, keys.rows.length, pageOf(model.size));
  return selected === undefined ? undefined : previewSelected(withKeys(model, { selected }));
};

const toggleFolder = (model: Model, path: Latin1, isOpen: boolean): Step => {
  const open = new Set(model.keys.open);
  if (isOpen) open.add(path);
  else open.delete(path);
  return step(withRowsOf(model, { open }));
};

const onEnter = (model: Model): Step => {
  const row = selectedRow(model);
  if (row?.kind === "folder") return toggleFolder(model, row.path, !row.isOpen);
  if (row?.kind === "more") return loadMore(model);
  return row === undefined ? step(model) : refreshPreview(model);
};

/** Left closes the folder one is in, and goes to it. */
const onLeft = (model: Model): Step => {
  const { rows, selected } = model.keys;
  const row = rows[selected];
  if (row === undefined || row.kind === "more") return step(model);
  if (row.kind === "folder" && row.isOpen) return toggleFolder(model, row.path, false);
  for (let at = selected - 1; at >= 0; at--) {
    const above = rows[at];
    if (above?.kind === "folder" && above.depth < row.depth) return step(withKeys(model, { selected: at }));
  }
  return step(model);
};

const scrollPreview = (model: Model, lines: number): Step =>
  step(withKeys(model, { previewTop: Math.max(0, model.keys.previewTop + lines) }));

const onEscape = (model: Model): Step => {
  const { keys } = model;
  if (keys.scan.state === "running") return step(withRowsOf(model, { scan: { ...keys.scan, state: "idle" } }));
  if (editorText(keys.filter) !== "" || keys.pattern !== undefined) {
    const cleared = withRowsOf(model, { filter: emptyEditor });
    return keys.pattern === undefined ? previewSelected(cleared) : startScan(cleared, undefined);
  }
  return step(withKeys(model, { previewTop: 0 }));
};

export const onKeysKey = (model: Model, key: KeyPress): Step => {
  const { keys } = model;
  if (key.ctrl && key.text === "d") return openDelete(model, selectedKey(model));
  switch (key.name) {
    case "enter":
      return onEnter(model);
    case "escape":
      return onEscape(model);
    case "delete":
      return openDelete(model, selectedKey(model));
    case "left":
      return onLeft(model);
    case "right":
      return selectedRow(model)?.kind === "folder" ? toggleFolder(model, folderPath(model), true) : step(model);
    default:
  }
  switch (charOf(key)) {
    case "h":
      return onLeft(model);
    case "l":
      return selectedRow(model)?.kind === "folder" ? toggleFolder(model, folderPath(model), true) : step(model);
    case "/":
      return step(withKeys(model, { isFiltering: true }));
    case "m":
      return loadMore(model);
    case "r":
      return startScan(withKeys(model, { preview: undefined }), keys.pattern);
    case "v":
      return step(withRowsOf(model, { view: keys.view === "tree" ? "flat" : "tree" }));
    case "p": {
      const at = previewModes.indexOf(keys.mode);
      return step(withKeys(model, { mode: previewModes[(at + 1) % previewModes.length] ?? "auto", previewTop: 0 }));
    }
    case "d":
      return step(withKeys(model, { showsDetail: !keys.showsDetail }));
    case "J":
      return scrollPreview(model, 1);
    case "K":
      return scrollPreview(model, -1);
    case " ":
      return scrollPreview(model, Math.max(1, Math.floor(bodyRows(model.size) / 2)));
    case "e":
      return openEdit(model, keys.preview, selectedKey(model));
    case "n":
      return openCreate(model, selectedRow(model));
    case "R":
      return openRename(model, selectedKey(model));
    case "t":
      return openTtl(model, selectedKey(model), keys.preview);
    case "B":
      return openBulkDelete(model, selectedRow(model));
    case "y": {
      const copied = selectedKey(model);
      return copied === undefined ? step(model) : copy(model, copied, "key");
    }
    case "Y":
      return keys.preview === undefined ? step(model) : copy(model, keys.preview.value, "value");
    default:
      return moveTo(model, key) ?? step(model);
  }
};

const folderPath = (model: Model): Latin1 => {
  const row = selectedRow(model);
  return row?.kind === "folder" ? row.path : "";
};

const copy = (model: Model, latin1: Latin1, what: string): Step =>
  step(withNotice(model, `${what} sent to the terminal's clipboard`), { type: "copy", text: latin1 });
