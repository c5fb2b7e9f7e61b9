/**
 * What changes keys: the questions that come before, and the commands that come after. Nothing here runs in read-only.
 *
 * An edit keeps the time to live (`SET ... XX KEEPTTL`) and compares first: a value that changed since it was opened is
 * only overwritten when the person says so. A new key never overwrites one (`NX`), nor does a new name (`RENAMENX`). A
 * bulk delete counts what its pattern matches before it asks, goes by SCAN, and stops at Esc.
 */

import type { WireReply } from "../../protocol/client-messages.ts";
import { tuiBulkDeleteBatchKeys, tuiPreviewBytesMax } from "../../protocol/limits.ts";
import type { Latin1 } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { editLine, editorOf, editorText, emptyEditor, insert } from "../input/line-editor.ts";
import { fullCount, parseTtl, plural, ttlText } from "../text/format.ts";
import { parseQuoted, quotedBytes } from "../text/quoted.ts";
import { clip, textToLatin1, visibleBytes } from "../text/visible.ts";
import {
  type ConfirmPurpose,
  type Dialog,
  type Effect,
  type InputPurpose,
  type KeyRow,
  type KeysAfter,
  type Model,
  type Preview,
  type Purpose,
  readOnlyNotice,
  type Step,
  step,
  withNotice,
} from "./model.ts";
import { charOf } from "./movement.ts";
import { replyBytes, replyItems, replyNumber } from "./reply-text.ts";

const bulkScanCount = 5000;
const unchanged: KeysAfter = { added: [], removed: [] };

/** A key as it fits into a title. */
const named = (key: Latin1): string => clip(visibleBytes(key), 40);

const withDialog = (model: Model, dialog: Dialog | undefined): Model => ({ ...model, dialog });

const openInput = (model: Model, title: string, hint: string, text: string, purpose: InputPurpose): Step => {
  if (model.readOnly) return readOnlyNotice(model);
  return step(
    withDialog(model, {
      kind: "input",
      title,
      hint,
      editor: text === "" ? emptyEditor : editorOf(text),
      error: "",
      purpose,
    }),
  );
};

const openConfirm = (model: Model, title: string, lines: readonly string[], purpose: ConfirmPurpose): Step =>
  step(withDialog(model, { kind: "confirm", title, lines, purpose }));

// ---- Opening ------------------------------------------------------------------------------------------------------------

export const openEdit = (model: Model, preview: Preview | undefined, key: Latin1 | undefined): Step => {
  if (key === undefined || preview === undefined || preview.key !== key || !preview.isLoaded) return step(model);
  if (preview.error !== undefined) return step(withNotice(model, preview.error, "bad"));
  if (preview.valueBytes > tuiPreviewBytesMax)
    return step(withNotice(model, "longer than 64 KiB: set it with a client, or SETRANGE a part of it", "bad"));
  const hint =
    preview.ttlMs >= 0
      ? "Enter saves, the time to live stays · \\n \\t \\xHH for bytes"
      : "Enter saves · \\n \\t \\xHH for bytes";
  return openInput(model, `Edit ${named(key)}`, hint, quotedBytes(preview.value), {
    kind: "edit",
    key,
    original: preview.value,
  });
};

export const openCreate = (model: Model, row: KeyRow | undefined): Step => {
  // In a folder a new key most often belongs there.
  const folder =
    row?.kind === "folder" ? row.path : row?.kind === "key" ? row.key.slice(0, row.key.lastIndexOf(":") + 1) : "";
  return openInput(model, "New key", "its name; \\xHH for bytes", quotedBytes(folder), { kind: "create-key" });
};

export const openRename = (model: Model, key: Latin1 | undefined): Step =>
  key === undefined
    ? step(model)
    : openInput(model, `Rename ${named(key)}`, "the new name, which must be free", quotedBytes(key), {
        kind: "rename",
        key,
      });

export const openTtl = (model: Model, key: Latin1 | undefined, preview: Preview | undefined): Step => {
  if (key === undefined) return step(model);
  const now = preview?.key === key && preview.ttlMs >= 0 ? `now ${ttlText(preview.ttlMs)} · ` : "";
  return openInput(model, `Time to live of ${named(key)}`, `${now}90s, 10m, 2h, 7d · none: stays`, "", {
    kind: "ttl",
    key,
  });
};

export const openBulkDelete = (model: Model, row: KeyRow | undefined): Step =>
  openInput(
    model,
    "Delete by pattern",
    "as in SCAN MATCH: * ? [a-z] · counted before anything is deleted",
    row?.kind === "folder" ? `${quotedBytes(row.path)}*` : "",
    { kind: "bulk-delete" },
  );

export const openDelete = (model: Model, key: Latin1 | undefined): Step => {
  if (key === undefined) return step(model);
  if (model.readOnly) return readOnlyNotice(model);
  return openConfirm(model, "Delete", [visibleBytes(key), "", "At every peer."], { kind: "delete", key });
};

// ---- Keys of the keyboard -------------------------------------------------------------------------------------------------

export const onDialogKey = (model: Model, dialog: Dialog, key: KeyPress): Step => {
  if (dialog.kind === "bulk") {
    if (key.name !== "escape") return step(model);
    const done = dialog.step === "deleting" ? `stopped: ${plural(dialog.count, "key")} deleted` : "nothing was deleted";
    return step(withNotice(withDialog(model, undefined), done));
  }
  if (dialog.kind === "confirm") {
    const char = charOf(key).toLowerCase();
    if (char === "y") return onConfirmed(withDialog(model, undefined), dialog.purpose);
    if (char === "n" || char === "q" || key.name === "escape") return step(withDialog(model, undefined));
    return step(model);
  }
  if (key.name === "escape") return step(withDialog(model, undefined));
  if (key.name === "enter") return onInput(model, dialog);
  const editor =
    key.name === "paste" ? insert(dialog.editor, quotedBytes(textToLatin1(key.text))) : editLine(dialog.editor, key);
  return editor === undefined ? step(model) : step(withDialog(model, { ...dialog, editor, error: "" }));
};

const onInput = (model: Model, dialog: Extract<Dialog, { kind: "input" }>): Step => {
  const { purpose } = dialog;
  const text = editorText(dialog.editor);
  const refuse = (error: string): Step => step(withDialog(model, { ...dialog, error }));
  const closed = withDialog(model, undefined);
  if (purpose.kind === "ttl") {
    const ttlMs = parseTtl(text);
    if (ttlMs === undefined) return refuse("expected a time such as 90s, 10m, 2h, 7d, or none");
    const words = ttlMs === 0 ? ["PERSIST", purpose.key] : ["PEXPIRE", purpose.key, String(ttlMs)];
    const done = ttlMs === 0 ? `${named(purpose.key)} stays` : `${named(purpose.key)} expires in ${ttlText(ttlMs)}`;
    return step(closed, write(words, purpose.key, done, ttlMs === 0 ? "it has no time to live" : "it is gone"));
  }
  const bytes = parseQuoted(text);
  if (bytes === undefined) return refuse("a backslash begins \\n \\r \\t \\\\ or \\xHH");
  switch (purpose.kind) {
    case "edit": {
      const { key, original } = purpose;
      if (bytes === original) return step(withNotice(closed, "unchanged"));
      return step(closed, {
        type: "command",
        words: ["GETRANGE", key, "0", String(tuiPreviewBytesMax)],
        purpose: { kind: "edit-check", key, original, value: bytes },
      });
    }
    case "create-key":
      if (bytes === "") return refuse("a key needs a name");
      return openInput(closed, `Value of ${named(bytes)}`, "Enter creates it · \\n \\t \\xHH for bytes", "", {
        kind: "create-value",
        key: bytes,
      });
    case "create-value": {
      const words = ["SET", purpose.key, bytes, "NX"];
      const keys = { added: [purpose.key], removed: [] };
      return step(closed, write(words, purpose.key, `${named(purpose.key)} created`, "there is such a key", keys));
    }
    case "rename": {
      if (bytes === "" || bytes === purpose.key) return refuse("expected another name");
      const keys = { added: [bytes], removed: [purpose.key] };
      return step(
        closed,
        write(
          ["RENAMENX", purpose.key, bytes],
          bytes,
          `renamed to ${named(bytes)}`,
          "there is a key of that name",
          keys,
        ),
      );
    }
    case "bulk-delete":
      if (bytes === "") return refuse("expected a pattern; * is all keys");
      return startBulk(closed, bytes, "counting", 0);
  }
};

const write = (
  words: readonly Latin1[],
  key: Latin1,
  done: string,
  refused: string,
  keys: KeysAfter = unchanged,
): Effect => ({ type: "command", words, purpose: { kind: "write", key, done, refused, keys } });

const overwrite = (key: Latin1, value: Latin1): Effect =>
  write(["SET", key, value, "XX", "KEEPTTL"], key, `${named(key)} saved`, "it is gone; nothing was written");

const onConfirmed = (model: Model, purpose: ConfirmPurpose): Step => {
  switch (purpose.kind) {
    case "delete": {
      const { key } = purpose;
      const keys = { added: [], removed: [key] };
      return step(model, write(["DEL", key], key, `${named(key)} deleted`, "it was gone already", keys));
    }
    case "overwrite":
      return step(model, overwrite(purpose.key, purpose.value));
    case "bulk-delete":
      return startBulk(model, purpose.pattern, "deleting", purpose.count);
    case "restore":
      return step(model, {
        type: "command",
        words: ["CONFLICTS", "RESTORE", purpose.id],
        purpose: { kind: "restore", id: purpose.id },
      });
    case "command":
      return step(
        { ...model, console: { ...model.console, waiting: model.console.waiting + 1 } },
        { type: "command", words: purpose.words, purpose: { kind: "console", words: purpose.words } },
      );
  }
};

// ---- Bulk delete ----------------------------------------------------------------------------------------------------------

const startBulk = (model: Model, pattern: Latin1, doing: "counting" | "deleting", total: number): Step => {
  const generation = model.keys.scan.generation + 1;
  const next: Model = {
    ...withDialog(model, { kind: "bulk", step: doing, pattern, generation, count: 0, total }),
    keys: { ...model.keys, scan: { ...model.keys.scan, generation } },
  };
  return step(next, bulkScan(pattern, "0", doing, generation));
};

const bulkScan = (pattern: Latin1, cursor: string, doing: "counting" | "deleting", generation: number): Effect => ({
  type: "command",
  words: ["SCAN", cursor, "MATCH", pattern, "COUNT", String(bulkScanCount)],
  purpose: { kind: doing === "counting" ? "bulk-count" : "bulk-scan", generation },
});

/** Undefined: stopped meanwhile. */
const bulkOf = (model: Model, generation: number): Extract<Dialog, { kind: "bulk" }> | undefined =>
  model.dialog?.kind === "bulk" && model.dialog.generation === generation ? model.dialog : undefined;

type BulkPurpose = Extract<Purpose, { kind: "bulk-count" | "bulk-scan" | "bulk-delete" }>;

export const onBulkReply = (model: Model, purpose: BulkPurpose, reply: WireReply): Step => {
  const dialog = bulkOf(model, purpose.generation);
  if (dialog === undefined) return step(model);
  const { pattern, generation } = dialog;
  if (purpose.kind === "bulk-delete") {
    const counted = withDialog(model, { ...dialog, count: dialog.count + (replyNumber(reply) ?? 0) });
    return nextDelete(counted, purpose.keys, purpose.cursor, generation, pattern);
  }
  const [cursorReply, keysReply] = replyItems(reply);
  const cursor = replyBytes(cursorReply) ?? "0";
  const keys = replyItems(keysReply).flatMap((item) => replyBytes(item) ?? []);
  if (purpose.kind === "bulk-scan") return nextDelete(model, keys, cursor, generation, pattern);
  const count = dialog.count + keys.length;
  if (cursor !== "0")
    return step(withDialog(model, { ...dialog, count }), bulkScan(pattern, cursor, "counting", generation));
  if (count === 0) return step(withNotice(withDialog(model, undefined), `nothing matches ${named(pattern)}`));
  return openConfirm(
    model,
    `Delete ${plural(count, "key")}`,
    [`that match ${visibleBytes(pattern)}`, "", "At every peer. There is no undo."],
    { kind: "bulk-delete", pattern, count },
  );
};

/** Deletes the keys at hand in batches, then looks for more, then is done. */
const nextDelete = (
  model: Model,
  keys: readonly Latin1[],
  cursor: string,
  generation: number,
  pattern: Latin1,
): Step => {
  if (keys.length > 0) {
    const batch = keys.slice(0, tuiBulkDeleteBatchKeys);
    return step(model, {
      type: "command",
      words: ["UNLINK", ...batch],
      purpose: { kind: "bulk-delete", generation, batch, keys: keys.slice(tuiBulkDeleteBatchKeys), cursor },
    });
  }
  if (cursor !== "0") return step(model, bulkScan(pattern, cursor, "deleting", generation));
  const count = model.dialog?.kind === "bulk" ? model.dialog.count : 0;
  return step(withNotice(withDialog(model, undefined), `${fullCount(count)} deleted`, "good"));
};

// ---- Replies ------------------------------------------------------------------------------------------------------------

export const onEditChecked = (
  model: Model,
  { key, original, value }: Extract<Purpose, { kind: "edit-check" }>,
  reply: WireReply,
): Step => {
  const now = replyBytes(reply) ?? "";
  if (now === original) return step(model, overwrite(key, value));
  return openConfirm(
    model,
    "Overwrite",
    [`${named(key)} changed since you opened it. Now:`, "", visibleBytes(now.slice(0, 500)), "", "Save yours over it?"],
    { kind: "overwrite", key, value },
  );
};

/** A nil or a zero: the condition did not hold. */
export const isRefusal = (reply: WireReply): boolean => reply === null || reply === 0;
