/** The Conflicts pane: what concurrent writes displaced, newest first, and the way back. */
import { tuiConflictsMax } from "../../protocol/limits.ts";
import type { ClusterConflict } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { clip, visibleBytes } from "../text/visible.ts";
import { showKey } from "./keys-pane.ts";
import { pageOf } from "./layout.ts";
import { type Model, readOnlyNotice, type Step, step, withNotice } from "./model.ts";
import { charOf, movedTo } from "./movement.ts";

/** Newest first, each once; one that comes again (it was restored) replaces what was known. */
export const withConflicts = (model: Model, conflicts: readonly ClusterConflict[]): Model => {
  const known = model.conflicts.list;
  const byId = new Map<string, ClusterConflict>();
  for (const conflict of [...conflicts].reverse()) byId.set(conflict.id, conflict);
  const changed = known.map((conflict) => byId.get(conflict.id) ?? conflict);
  const knownIds = new Set(known.map(({ id }) => id));
  const added = [...byId.values()].filter(({ id }) => !knownIds.has(id));
  const list = [...added, ...changed].slice(0, tuiConflictsMax);
  // What is selected stays selected.
  const id = model.conflicts.list[model.conflicts.selected]?.id;
  const at = model.conflicts.selected === 0 ? 0 : list.findIndex((conflict) => conflict.id === id);
  return { ...model, conflicts: { list, selected: Math.max(0, at) } };
};

export const withRestored = (model: Model, id: string): Model => ({
  ...model,
  conflicts: {
    ...model.conflicts,
    list: model.conflicts.list.map((conflict) => (conflict.id === id ? { ...conflict, restored: true } : conflict)),
  },
});

export const onConflictsKey = (model: Model, key: KeyPress): Step => {
  const { list, selected } = model.conflicts;
  const conflict = list[selected];
  if (key.name === "enter") return conflict === undefined ? step(model) : showKey(model, conflict.key);
  if (charOf(key) === "r") return conflict === undefined ? step(model) : askRestore(model, conflict);
  const moved = movedTo(key, selected, list.length, pageOf(model.size));
  return step(moved === undefined ? model : { ...model, conflicts: { ...model.conflicts, selected: moved } });
};

const askRestore = (model: Model, { id, key, loser, restored }: ClusterConflict): Step => {
  if (model.readOnly) return readOnlyNotice(model);
  if (restored) return step(withNotice(model, "restored already"));
  const what =
    loser.value === null
      ? "deletes it, as the write that lost did"
      : clip(visibleBytes(loser.value.slice(0, 500)), 400);
  return step({
    ...model,
    dialog: {
      kind: "confirm",
      title: "Restore the loser",
      lines: [`${clip(visibleBytes(key), 60)} becomes, by a new write at every peer:`, "", what],
      purpose: { kind: "restore", id, key },
    },
  });
};
