/**
 * What a command answers with, apart from how it is written.
 *
 * A command handler calls these methods in the order of the reply; three writers turn them into RESP2, RESP3 and the
 * plain lines of `nc` (see resp.ts and text.ts). All strings are latin1: one character is one byte, so any bytes pass.
 */
export interface ReplyWriter {
  /** Protocol version spoken: 2, 3, or 0 for plain text. */
  readonly protocol: 0 | 2 | 3;
  /** Error replies written so far, for whoever counts them; that one may set it back. */
  errors: number;
  /** The last of them. */
  readonly lastError: string;
  /** A status such as `OK` or `QUEUED`. */
  simple(text: string): void;
  /** First word is the machine-readable code: `ERR syntax error`, `WRONGTYPE ...`. */
  error(text: string): void;
  /** Safe integers as numbers, others as bigint. */
  integer(value: number | bigint): void;
  bulk(value: string): void;
  /** RESP2 `$-1`, RESP3 `_`, plain `(nil)`. */
  nil(): void;
  /** RESP2 `*-1` (an aborted EXEC), RESP3 `_`. */
  nilArray(): void;
  /** Announces `count` replies that follow. */
  array(count: number): void;
  /** Announces `count` pairs: in RESP2 a flat array of twice as many. */
  map(count: number): void;
  /** RESP3 set; an array in RESP2. */
  set(count: number): void;
  /** RESP3 double; a bulk string in RESP2. */
  double(value: number): void;
  /** RESP3 boolean; 1 or 0 in RESP2. */
  boolean(value: boolean): void;
  /** RESP3 verbatim text (`=`), a bulk string in RESP2. INFO answers with it. */
  verbatim(text: string): void;
}
