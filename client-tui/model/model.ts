/**
 * All the screen knows, as one immutable value. Views are functions of it; `update` makes the next one from an event and
 * says what to ask the cluster. No clock, no I/O: times come with the events.
 *
 * Everything here is bounded (protocol/limits.ts, the terminal UI): an hour or a week of running holds no more than a minute.
 */
import type { WireReply } from "../../protocol/client-messages.ts";
import type { StatusReport } from "../../protocol/status.ts";
import type { ClusterChange, ClusterConflict, CommandError, ConnectedPeer, Latin1 } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { emptyEditor, type LineEditor } from "../input/line-editor.ts";
import type { PreviewMode } from "../text/preview.ts";

// ---- The model ----------------------------------------------------------------------------------------------------------

export const panes = ["peers", "keys", "feed", "conflicts", "console"] as const;
export type Pane = (typeof panes)[number];

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export type Connection =
  | { readonly state: "connected"; readonly peer: ConnectedPeer; readonly sinceMs: number }
  | { readonly state: "connecting"; readonly why: string; readonly sinceMs: number };

/** One peer, by the address of its HTTP port. */
export interface PeerEntry {
  readonly address: string;
  readonly name: string;
  readonly report: StatusReport | undefined;
  readonly reportAtMs: number;
  /** Why it does not answer; undefined while it does. */
  readonly silent: string | undefined;
}

export interface KeyFolder {
  readonly kind: "folder";
  /** With the colon at its end. */
  readonly path: Latin1;
  readonly depth: number;
  readonly count: number;
  readonly isOpen: boolean;
}
export interface KeyLeaf {
  readonly kind: "key";
  readonly key: Latin1;
  /** What is shown: in a tree without the folders above. */
  readonly name: Latin1;
  readonly depth: number;
}
export type KeyRow = KeyFolder | KeyLeaf | { readonly kind: "more" };

export interface Scan {
  /** Replies of an earlier scan are dropped. */
  readonly generation: number;
  readonly cursor: string;
  readonly state: "idle" | "running" | "done" | "full" | "failed";
  /** Keys this run has yet to find before it stops by itself. */
  readonly wanted: number;
  readonly calls: number;
}

export interface Preview {
  readonly key: Latin1;
  readonly value: Latin1;
  readonly valueBytes: number;
  /** -1: stays; -2: is not there. As of `atMs`. */
  readonly ttlMs: number;
  readonly atMs: number;
  readonly trace: TraceView | undefined;
  readonly error: string | undefined;
  /** Replies that are under way: value, length, ttl, trace. */
  readonly waiting: number;
  /** All have come once. */
  readonly isLoaded: boolean;
}

export interface TraceView {
  readonly state: string;
  readonly origin: string;
  readonly dot: string;
  readonly writtenAt: string;
  readonly ageMs: number;
  readonly holders: readonly { readonly peer: string; readonly holds: string }[];
}

export interface KeysState {
  /** MATCH of the scan; undefined: all. */
  readonly pattern: Latin1 | undefined;
  /** Narrows what is loaded, as typed. */
  readonly filter: LineEditor;
  readonly isFiltering: boolean;
  /** Loaded, sorted by bytes, each once. */
  readonly loaded: readonly Latin1[];
  readonly scan: Scan;
  readonly view: "tree" | "flat";
  readonly open: ReadonlySet<Latin1>;
  /** Of loaded, filter, view and open; made anew when one of them changes. */
  readonly rows: readonly KeyRow[];
  readonly selected: number;
  readonly preview: Preview | undefined;
  readonly mode: PreviewMode;
  readonly previewTop: number;
  readonly showsDetail: boolean;
}

export interface FeedChange {
  readonly change: ClusterChange;
  /** Changes left out just before this one. */
  readonly left: number;
}

export interface FeedState {
  /** Oldest first. */
  readonly changes: readonly FeedChange[];
  readonly isPaused: boolean;
  /** Came while paused. */
  readonly missed: number;
  readonly seen: number;
  readonly left: number;
  readonly filter: LineEditor;
  readonly isFiltering: boolean;
  /** Rows from the newest; 0 follows. */
  readonly selected: number;
  readonly note: string;
}

export interface ConflictsState {
  /** Newest first. */
  readonly list: readonly ClusterConflict[];
  readonly selected: number;
}

export interface ConsoleLine {
  readonly text: string;
  readonly kind: "asked" | "reply" | "error" | "note";
}

export interface Completion {
  /** What Tab goes through, and where in it we are. */
  readonly candidates: readonly string[];
  readonly index: number;
  /** The line without the word that is completed. */
  readonly stem: string;
  readonly after: string;
}

export interface ConsoleState {
  readonly editor: LineEditor;
  readonly isTyping: boolean;
  /** Where Esc goes back to. */
  readonly from: Pane;
  readonly lines: readonly ConsoleLine[];
  /** Lines scrolled up from the newest. */
  readonly scrolled: number;
  readonly history: readonly string[];
  /** Into history while going through it; its length: the new line. */
  readonly historyAt: number;
  readonly draft: string;
  readonly completion: Completion | undefined;
  readonly waiting: number;
}

/** What a line of input is for. */
export type InputPurpose =
  | { readonly kind: "edit"; readonly key: Latin1; readonly original: Latin1 }
  | { readonly kind: "create-key" }
  | { readonly kind: "create-value"; readonly key: Latin1 }
  | { readonly kind: "rename"; readonly key: Latin1 }
  | { readonly kind: "ttl"; readonly key: Latin1 }
  | { readonly kind: "bulk-delete" };

export type ConfirmPurpose =
  | { readonly kind: "delete"; readonly key: Latin1 }
  | { readonly kind: "overwrite"; readonly key: Latin1; readonly value: Latin1 }
  | { readonly kind: "bulk-delete"; readonly pattern: Latin1; readonly count: number }
  | { readonly kind: "command"; readonly line: string; readonly words: readonly Latin1[] }
  | { readonly kind: "restore"; readonly id: string; readonly key: Latin1 };

export type Dialog =
  | {
      readonly kind: "input";
      readonly title: string;
      readonly hint: string;
      readonly editor: LineEditor;
      readonly error: string;
      readonly purpose: InputPurpose;
    }
  | {
      readonly kind: "confirm";
      readonly title: string;
      readonly lines: readonly string[];
      readonly purpose: ConfirmPurpose;
    }
  | {
      /** Counting or deleting what a pattern matches; Esc stops it. */
      readonly kind: "bulk";
      readonly step: "counting" | "deleting";
      readonly pattern: Latin1;
      readonly generation: number;
      readonly count: number;
      readonly total: number;
    };

export interface Notice {
  readonly text: string;
  readonly kind: "info" | "good" | "bad";
  readonly atMs: number;
}

export interface Model {
  readonly nowMs: number;
  readonly size: Size;
  readonly readOnly: boolean;
  readonly colors: boolean;
  readonly connection: Connection;
  /** By address, in the order of their names. */
  readonly peers: readonly PeerEntry[];
  readonly selectedPeer: number;
  /** Into the other peers of the selected one. */
  readonly selectedLink: number;
  /** Ops/s of the whole cluster, one a second, oldest first. */
  readonly opsHistory: readonly number[];
  /** Keys that DIFF found, while the digests say that peers differ. */
  readonly differingKeys: { readonly count: number; readonly atMs: number; readonly isMore: boolean } | undefined;
  readonly pane: Pane;
  readonly keys: KeysState;
  readonly feed: FeedState;
  readonly conflicts: ConflictsState;
  readonly console: ConsoleState;
  readonly dialog: Dialog | undefined;
  readonly isHelpOpen: boolean;
  readonly notice: Notice | undefined;
  readonly quits: boolean;
}

// ---- Events and effects -------------------------------------------------------------------------------------------------

/** What a command was sent for; it comes back with the reply. */
export type Purpose =
  | { readonly kind: "scan"; readonly generation: number }
  | { readonly kind: "preview"; readonly key: Latin1; readonly part: "value" | "length" | "ttl" | "trace" }
  | { readonly kind: "edit-check"; readonly key: Latin1; readonly original: Latin1; readonly value: Latin1 }
  | {
      readonly kind: "write";
      readonly key: Latin1;
      readonly done: string;
      readonly refused: string;
      readonly keys: KeysAfter;
    }
  | { readonly kind: "bulk-count"; readonly generation: number }
  | { readonly kind: "bulk-scan"; readonly generation: number }
  | {
      readonly kind: "bulk-delete";
      readonly generation: number;
      readonly batch: readonly Latin1[];
      readonly keys: readonly Latin1[];
      readonly cursor: string;
    }
  | { readonly kind: "console"; readonly words: readonly Latin1[] }
  | { readonly kind: "restore"; readonly id: string }
  | { readonly kind: "fault"; readonly done: string }
  | { readonly kind: "diff" };

/** What a write does to the list of loaded keys. */
export interface KeysAfter {
  readonly added: readonly Latin1[];
  readonly removed: readonly Latin1[];
}

export type Effect =
  | {
      readonly type: "command";
      readonly words: readonly Latin1[];
      readonly purpose: Purpose;
      /** Another peer than the connected one. */
      readonly address?: string;
    }
  /** To the terminal's clipboard. */
  | { readonly type: "copy"; readonly text: string };

export type Event =
  | { readonly type: "key"; readonly key: KeyPress }
  | { readonly type: "resized"; readonly size: Size }
  | { readonly type: "second" }
  | { readonly type: "connected"; readonly peer: ConnectedPeer }
  | { readonly type: "disconnected"; readonly why: string }
  | { readonly type: "status"; readonly address: string; readonly report: StatusReport }
  | { readonly type: "silent"; readonly name: string; readonly address: string; readonly why: string }
  | { readonly type: "changes"; readonly changes: readonly ClusterChange[]; readonly left: number }
  | { readonly type: "feed-note"; readonly note: string }
  | { readonly type: "conflicts"; readonly conflicts: readonly ClusterConflict[] }
  | { readonly type: "replied"; readonly purpose: Purpose; readonly reply: WireReply }
  | { readonly type: "refused"; readonly purpose: Purpose; readonly error: CommandError };

export interface Step {
  readonly model: Model;
  readonly effects: readonly Effect[];
}

export interface ModelOptions {
  readonly size: Size;
  readonly readOnly: boolean;
  readonly colors: boolean;
  readonly nowMs: number;
}

export const step = (model: Model, ...effects: readonly Effect[]): Step => ({ model, effects });

/** Another model, the same effects and more. */
export const andThen = ({ model, effects }: Step, next: (model: Model) => Step): Step => {
  const after = next(model);
  return { model: after.model, effects: [...effects, ...after.effects] };
};

export const withNotice = (model: Model, text: string, kind: Notice["kind"] = "info"): Model => ({
  ...model,
  notice: { text, kind, atMs: model.nowMs },
});

export const readOnlyNotice = (model: Model): Step =>
  step(withNotice(model, "read-only: started with --read-only", "bad"));

export const initialModel = ({ size, readOnly, colors, nowMs }: ModelOptions): Model => ({
  nowMs,
  size,
  readOnly,
  colors,
  connection: { state: "connecting", why: "", sinceMs: nowMs },
  peers: [],
  selectedPeer: 0,
  selectedLink: 0,
  opsHistory: [],
  differingKeys: undefined,
  pane: "peers",
  keys: {
    pattern: undefined,
    filter: emptyEditor,
    isFiltering: false,
    loaded: [],
    scan: { generation: 0, cursor: "0", state: "idle", wanted: 0, calls: 0 },
    view: "tree",
    open: new Set(),
    rows: [],
    selected: 0,
    preview: undefined,
    mode: "auto",
    previewTop: 0,
    showsDetail: true,
  },
  feed: {
    changes: [],
    isPaused: false,
    missed: 0,
    seen: 0,
    left: 0,
    filter: emptyEditor,
    isFiltering: false,
    selected: 0,
    note: "",
  },
  conflicts: { list: [], selected: 0 },
  console: {
    editor: emptyEditor,
    isTyping: false,
    from: "peers",
    lines: [],
    scrolled: 0,
    history: [],
    historyAt: 0,
    draft: "",
    completion: undefined,
    waiting: 0,
  },
  dialog: undefined,
  isHelpOpen: false,
  notice: undefined,
  quits: false,
});
