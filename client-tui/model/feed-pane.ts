/** The Feed pane: changes as they come, bounded. Paused, the list stands still and what comes meanwhile is counted. */
import { tuiFeedChangesMax, tuiFeedKeyBytesMax } from "../../protocol/limits.ts";
import type { ClusterChange } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { editLine, editorText, emptyEditor, insert } from "../input/line-editor.ts";
import { textToLatin1 } from "../text/visible.ts";
import { applyToLoaded, belongsToList, refreshPreview, showKey } from "./keys-pane.ts";
import { pageOf } from "./layout.ts";
import { andThen, type FeedChange, type FeedState, type Model, type Step, step } from "./model.ts";
import { charOf, movedTo } from "./movement.ts";

const withFeed = (model: Model, change: Partial<FeedState>): Model => ({
  ...model,
  feed: { ...model.feed, ...change },
});

/** Oldest first: those whose key or origin contains the filter. */
export const shownChanges = (feed: FeedState): readonly FeedChange[] => {
  const filter = editorText(feed.filter);
  if (filter === "") return feed.changes;
  const bytes = textToLatin1(filter);
  return feed.changes.filter(({ change }) => change.key.includes(bytes) || change.origin.startsWith(filter));
};

export const onChanges = (model: Model, changes: readonly ClusterChange[], left: number): Step => {
  const { feed } = model;
  const seen = feed.seen + changes.length;
  const leftInAll = feed.left + left;
  const counted = feed.isPaused
    ? withFeed(model, { seen, left: leftInAll, missed: feed.missed + changes.length + left })
    : withFeed(model, { ...appended(feed, changes, left), seen, left: leftInAll });
  return followKeys(counted, changes);
};

const appended = (
  feed: FeedState,
  changes: readonly ClusterChange[],
  left: number,
): Pick<FeedState, "changes" | "selected"> => {
  const fresh = changes.slice(-tuiFeedChangesMax).map((change, index) => ({
    change,
    left: index === 0 ? left : 0,
  }));
  const next = { ...feed, changes: bounded([...feed.changes, ...fresh]) };
  // Who has scrolled up reads: the row under the cursor stays the same change.
  const moved = feed.selected === 0 ? 0 : feed.selected + shownChanges({ ...feed, changes: fresh }).length;
  return { changes: next.changes, selected: Math.max(0, Math.min(shownChanges(next).length - 1, moved)) };
};

/** By count, and by the bytes of their keys, which may be long. */
const bounded = (changes: readonly FeedChange[]): readonly FeedChange[] => {
  let bytes = 0;
  let from = changes.length;
  while (from > 0 && changes.length - from < tuiFeedChangesMax) {
    bytes += changes[from - 1]?.change.key.length ?? 0;
    if (bytes > tuiFeedKeyBytesMax) break;
    from--;
  }
  return changes.slice(from);
};

/** The list of keys and the value in view follow what changes. */
const followKeys = (model: Model, changes: readonly ClusterChange[]): Step => {
  const added: string[] = [];
  const removed: string[] = [];
  let touchesPreview = false;
  for (const { type, key } of changes) {
    if (key === model.keys.preview?.key) touchesPreview = true;
    if (type === "delete" || type === "expired") removed.push(key);
    else added.push(key);
  }
  const listed = belongsToList(model) ? applyToLoaded(model, lastWord(changes, added, removed)) : model;
  return touchesPreview && model.pane === "keys" ? refreshPreview(listed) : step(listed);
};

/** A key that came and went in one batch counts as it ended. */
const lastWord = (
  changes: readonly ClusterChange[],
  added: readonly string[],
  removed: readonly string[],
): { readonly added: readonly string[]; readonly removed: readonly string[] } => {
  if (added.length === 0 || removed.length === 0) return { added, removed };
  const last = new Map(changes.map(({ type, key }) => [key, type]));
  const isGone = (key: string): boolean => last.get(key) === "delete" || last.get(key) === "expired";
  const keys = [...last.keys()];
  return { added: keys.filter((key) => !isGone(key)), removed: keys.filter(isGone) };
};

export const onFeedFilterKey = (model: Model, key: KeyPress): Step => {
  if (key.name === "escape") return step(withFeed(model, { filter: emptyEditor, isFiltering: false, selected: 0 }));
  if (key.name === "enter") return step(withFeed(model, { isFiltering: false }));
  const { filter } = model.feed;
  const next = key.name === "paste" ? insert(filter, key.text.replaceAll(/\p{Cc}+/gu, " ")) : editLine(filter, key);
  return step(next === undefined ? model : withFeed(model, { filter: next, selected: 0 }));
};

export const onFeedKey = (model: Model, key: KeyPress): Step => {
  const { feed } = model;
  const shown = shownChanges(feed);
  if (key.name === "escape")
    return step(withFeed(model, { filter: emptyEditor, selected: 0, isPaused: false, missed: 0 }));
  if (key.name === "enter") {
    const chosen = shown[shown.length - 1 - feed.selected];
    return chosen === undefined ? step(model) : andThen(showKey(model, chosen.change.key), refreshPreview);
  }
  switch (charOf(key)) {
    case " ":
    case "p":
      return step(withFeed(model, { isPaused: !feed.isPaused, missed: 0 }));
    case "/":
      return step(withFeed(model, { isFiltering: true }));
    case "x":
      return step(withFeed(model, { changes: [], selected: 0, missed: 0, seen: 0, left: 0 }));
    default: {
      // The newest is at the bottom, and is number 0.
      const at = shown.length - 1 - feed.selected;
      const moved = movedTo(key, Math.max(0, at), shown.length, pageOf(model.size));
      return step(moved === undefined ? model : withFeed(model, { selected: Math.max(0, shown.length - 1 - moved) }));
    }
  }
};
