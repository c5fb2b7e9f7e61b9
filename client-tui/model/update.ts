/**
 * The one place where the model changes: an event goes in, the next model and what to ask the cluster come out. Pure, so
 * that every screen a person can reach is reached in tests without a terminal.
 */
import { tuiHistorySecondsMax } from "../../protocol/limits.ts";
import type { Latin1 } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { visibleText } from "../text/visible.ts";
import { onConflictsKey, withConflicts, withRestored } from "./conflicts-pane.ts";
import { onConsoleKey, onConsoleRefused, onConsoleReply, onTypingKey, openConsole } from "./console-pane.ts";
import { differingPeers, reportsOf } from "./convergence.ts";
import { onChanges, onFeedFilterKey, onFeedKey } from "./feed-pane.ts";
import {
  applyToLoaded,
  onFilterKey,
  onKeysKey,
  onKeysRefused,
  onKeysReply,
  previewSelected,
  refreshPreview,
  scanElsewhere,
  showKey,
} from "./keys-pane.ts";
import {
  andThen,
  type Effect,
  type Event,
  type Model,
  type Pane,
  panes,
  type Step,
  step,
  withNotice,
} from "./model.ts";
import { charOf } from "./movement.ts";
import { onPeersKey, withReport, withSilent } from "./peers-pane.ts";
import { replyField, replyItems } from "./reply-text.ts";
import { isRefusal, onBulkReply, onDialogKey, onEditChecked } from "./writes.ts";

const noticeMs = 6000;
const diffEveryMs = 5000;

/** `nowMs`: Unix time of the event. */
export const update = (before: Model, event: Event, nowMs: number): Step => {
  const model = before.nowMs === nowMs ? before : { ...before, nowMs };
  switch (event.type) {
    case "key":
      return onKey(model, event.key);
    case "resized":
      return step({ ...model, size: event.size });
    case "second":
      return onSecond(model);
    case "connected": {
      const { peer } = event;
      const isOther = model.connection.state === "connecting" || model.connection.peer.address !== peer.address;
      const connected: Model = { ...model, connection: { state: "connected", peer, sinceMs: nowMs } };
      return isOther ? andThen(scanElsewhere(connected), refreshPreview) : step(connected);
    }
    case "disconnected":
      return step({ ...model, connection: { state: "connecting", why: visibleText(event.why), sinceMs: nowMs } });
    case "status":
      return step(withReport(model, event.address, event.report));
    case "silent":
      return step(withSilent(model, event.name, event.address, visibleText(event.why)));
    case "changes":
      return onChanges(model, event.changes, event.left);
    case "feed-note":
      return step({ ...model, feed: { ...model.feed, note: visibleText(event.note) } });
    case "conflicts":
      return step(withConflicts(model, event.conflicts));
    case "replied":
      return onReplied(model, event);
    case "refused":
      return onRefused(model, event);
  }
};

// ---- The keyboard -------------------------------------------------------------------------------------------------------

const onKey = (model: Model, key: KeyPress): Step => {
  if (key.ctrl && key.text === "c") return step({ ...model, quits: true });
  if (model.isHelpOpen) {
    const closes = key.name === "escape" || ["?", "q"].includes(charOf(key)) || key.name === "enter";
    return step(closes ? { ...model, isHelpOpen: false } : model);
  }
  if (model.dialog !== undefined) return onDialogKey(model, model.dialog, key);
  if (model.pane === "console" && model.console.isTyping) return onTypingKey(model, key);
  if (model.pane === "keys" && model.keys.isFiltering) return onFilterKey(model, key);
  if (model.pane === "feed" && model.feed.isFiltering) return onFeedFilterKey(model, key);
  switch (charOf(key)) {
    case "q":
      return step({ ...model, quits: true });
    case "?":
      return step({ ...model, isHelpOpen: true });
    case ":":
      return step(openConsole(model));
    default:
  }
  const number = panes[Number(charOf(key)) - 1];
  if (number !== undefined) return toPane(model, number);
  if (key.name === "tab" || key.name === "backtab") {
    const at = panes.indexOf(model.pane) + (key.name === "tab" ? 1 : -1);
    return toPane(model, panes[(at + panes.length) % panes.length] ?? "peers");
  }
  return onPaneKey(model, key);
};

/** Going to the console by number is to read; `:` is to type. */
const toPane = (model: Model, pane: Pane): Step => {
  if (pane === "console")
    return step({
      ...model,
      pane,
      console: { ...model.console, isTyping: false, from: model.pane === "console" ? model.console.from : model.pane },
    });
  const moved = { ...model, pane };
  return pane === "keys" ? andThen(previewSelected(moved), refreshPreview) : step(moved);
};

const onPaneKey = (model: Model, key: KeyPress): Step => {
  switch (model.pane) {
    case "peers":
      return onPeersKey(model, key);
    case "keys":
      return onKeysKey(model, key);
    case "feed":
      return onFeedKey(model, key);
    case "conflicts":
      return onConflictsKey(model, key);
    case "console":
      return onConsoleKey(model, key);
  }
};

// ---- Every second ---------------------------------------------------------------------------------------------------------

const onSecond = (model: Model): Step => {
  const reports = reportsOf(model);
  const ops = reports.reduce((sum, { opsPerSecond }) => sum + opsPerSecond, 0);
  const isOld = model.notice !== undefined && model.nowMs - model.notice.atMs > noticeMs;
  const next: Model = {
    ...model,
    opsHistory: [...model.opsHistory, ops].slice(-tuiHistorySecondsMax),
    ...(isOld ? { notice: undefined } : {}),
  };
  if (model.connection.state !== "connected") return step(next);
  const asked = model.pane === "keys" ? refreshPreview(next) : step(next);
  return andThen(asked, askDifference);
};

/** While digests prove a difference, one of the two peers counts the keys: DIFF is not free, so not every second. */
const askDifference = (model: Model): Step => {
  const differing = differingPeers(reportsOf(model));
  if (differing === undefined)
    return step(model.differingKeys === undefined ? model : { ...model, differingKeys: undefined });
  if (model.differingKeys !== undefined && model.nowMs - model.differingKeys.atMs < diffEveryMs) return step(model);
  const [one, other] = differing;
  const address = model.peers.find(({ name }) => name === one)?.address;
  const ask: Effect = { type: "command", words: ["DIFF", other], purpose: { kind: "diff" } };
  // Until the answer comes nothing is known; the clock is set so that it is asked once.
  const known = model.differingKeys?.count ?? 0;
  const marked = { ...model, differingKeys: { count: known, atMs: model.nowMs, isMore: false } };
  return step(known === 0 ? model : marked, address === undefined ? ask : { ...ask, address });
};

// ---- Replies ------------------------------------------------------------------------------------------------------------

const onReplied = (model: Model, { purpose, reply }: Extract<Event, { type: "replied" }>): Step => {
  switch (purpose.kind) {
    case "scan":
    case "preview":
      return onKeysReply(model, purpose, reply);
    case "edit-check":
      return onEditChecked(model, purpose, reply);
    case "write": {
      if (isRefusal(reply)) return refreshPreview(withNotice(model, purpose.refused, "bad"));
      return onWritten(withNotice(model, purpose.done, "good"), purpose.keys.added[0] ?? purpose.key, purpose.keys);
    }
    case "bulk-count":
    case "bulk-scan":
      return onBulkReply(model, purpose, reply);
    case "bulk-delete":
      return onBulkReply(applyToLoaded(model, { added: [], removed: purpose.batch }), purpose, reply);
    case "console":
      return onConsoleReply(model, purpose.words, reply);
    case "restore":
      return refreshPreview(withNotice(withRestored(model, purpose.id), "restored by a new write", "good"));
    case "fault":
      return step(withNotice(model, purpose.done, "good"));
    case "diff": {
      const count = replyItems(replyField(reply, "keys")).length;
      const isMore = replyField(reply, "truncated") === true || replyField(reply, "truncated") === 1;
      return step({ ...model, differingKeys: { count, atMs: model.nowMs, isMore } });
    }
  }
};

/** The list knows of a write of ours at once; what was made or renamed is selected. */
const onWritten = (
  model: Model,
  key: Latin1,
  keys: { readonly added: readonly Latin1[]; readonly removed: readonly Latin1[] },
): Step => {
  const listed = applyToLoaded(model, keys);
  const shown = keys.added.length > 0 ? showKey(listed, key) : step(listed);
  // What a deleted key showed must not come back with a new key of its name.
  const isGone = keys.removed.includes(shown.model.keys.preview?.key ?? "");
  const cleared = isGone ? { ...shown.model, keys: { ...shown.model.keys, preview: undefined } } : shown.model;
  return andThen({ model: cleared, effects: shown.effects }, refreshPreview);
};

const onRefused = (model: Model, { purpose, error }: Extract<Event, { type: "refused" }>): Step => {
  const why = visibleText(error.message);
  switch (purpose.kind) {
    case "scan":
    case "preview":
      return onKeysRefused(model, purpose, why);
    case "console":
      return onConsoleRefused(model, purpose.words, error);
    case "diff":
      return step({ ...model, differingKeys: undefined });
    case "bulk-count":
    case "bulk-scan":
    case "bulk-delete":
      return step(withNotice({ ...model, dialog: undefined }, why, "bad"));
    case "write":
    case "edit-check":
    case "restore":
    case "fault":
      return step(withNotice(model, error.outcome === "unknown" ? `${why} (it may have happened)` : why, "bad"));
  }
};
