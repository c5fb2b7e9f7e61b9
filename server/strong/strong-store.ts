/**
 * Strong keys in the checkpoint, beside the replica's entries and in the same sweeps.
 *
 *   P        the prefixes of strong keys, for good: strings to the end
 *   R        admission, epoch, floor: the record that restores them
 *   r + key  the record that restores this register
 *
 * An entry holds the state as it is when its slice is handed out, which may be newer than the checkpoint's place in the
 * log. The records from there on are replayed over it and end where it is, or beyond: each sets what it speaks of.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { checkpointSliceBytes, strongPrefixBytesMax } from "../../protocol/limits.ts";
import { type CheckpointEntry, StorageFailure } from "../storage/storage.ts";
import type { StrongKeys } from "./strong-keys.ts";

export const strongPrefixesKey = Buffer.from("P");
export const admissionKey = Buffer.from("R");
export const registerPrefix = Buffer.from("r");

export const encodePrefixes = (prefixes: readonly string[]): Buffer => {
  const out = new ByteWriter(64);
  for (const prefix of prefixes) out.string(prefix);
  return out.take();
};

export const decodePrefixes = (bytes: Uint8Array): readonly string[] => {
  const input = new ByteReader(bytes);
  const prefixes: string[] = [];
  while (input.left > 0) prefixes.push(input.string(strongPrefixBytesMax));
  if (prefixes.length === 0) throw new DecodeFault("no prefix of strong keys");
  return prefixes;
};

/** Recovery's end of it (recovery.ts). */
export class StoredStrongKeys {
  readonly #strong: StrongKeys;
  #prefixes: readonly string[] | undefined;

  constructor(strong: StrongKeys) {
    this.#strong = strong;
  }

  prefixes(bytes: Uint8Array): void {
    this.#prefixes = decodePrefixes(bytes);
  }

  restore(bytes: Uint8Array): void {
    this.#strong.restore(bytes);
  }

  checkpointRestored(): void {
    this.#strong.checkpointRestored();
  }

  get hasPrefixes(): boolean {
    return this.#prefixes !== undefined;
  }

  /** A key that was plain may not become strong, nor the reverse: what it held would be gone. Throws StorageFailure. */
  checkPrefixes(directory: string): void {
    const [stored, given] = [this.#prefixes?.join(","), this.#strong.prefixes.join(",")];
    if (stored === undefined || stored === given) return;
    throw new StorageFailure(
      "WRONG_PREFIXES",
      `the cluster of ${directory} was born with --strong-prefix ${stored}, which is for good; ${given} was given`,
    );
  }
}

/** A part of a checkpoint that is not the replica's. */
export interface CheckpointPart {
  /** A sweep begins, at the log's present end. */
  begin(): void;
  /** The next entries; empty when there are no more. The log must be synced before they are written. */
  slice(): readonly CheckpointEntry[];
  /** The last entries, written together with the replica's last. */
  end(): readonly CheckpointEntry[];
}

export class StrongStore implements CheckpointPart {
  readonly #strong: StrongKeys;
  /** Keys to store in the sweep under way. One that is given up leaves the rest to the next. */
  #pending = new Set<string>();

  constructor(strong: StrongKeys) {
    this.#strong = strong;
  }

  begin(): void {
    for (const key of this.#strong.takeChanged()) this.#pending.add(key);
  }

  slice(): readonly CheckpointEntry[] {
    const entries: CheckpointEntry[] = [];
    let bytes = 0;
    for (const key of this.#pending) {
      this.#pending.delete(key);
      const value = this.#strong.storedKey(key);
      entries.push([Buffer.from(`r${key}`, "latin1"), value]);
      bytes += key.length + (value?.length ?? 0);
      if (bytes >= checkpointSliceBytes) break;
    }
    return entries;
  }

  end(): readonly CheckpointEntry[] {
    const admission = this.#strong.storedAdmission();
    const prefixes: CheckpointEntry = [strongPrefixesKey, encodePrefixes(this.#strong.prefixes)];
    return admission === undefined ? [prefixes] : [prefixes, [admissionKey, admission]];
  }
}
