/**
 * One turn of the event loop, seen from a port.
 *
 * A port runs whatever commands arrived, then calls `finish(connection)`. At the end of the turn the peer appends what
 * was written (one frame), and only then asks each finished connection for its replies and lets them go, in order, when
 * they are as durable as `--fsync` asks. So no reply outruns the log, and a turn costs one append and one send per link.
 */
export interface Releasable {
  /** The seq of this connection's last write at this peer; 0 before its first. */
  readonly lastWriteSeq: number;
  /** Hands over all replies produced so far; called once at the end of the turn. */
  takeOutput(): string;
  /** The replies may go. Called in the order of the turns. */
  release(output: string): void;
}

export interface Turn {
  /** Wall clock, unix ms, read once per turn. */
  nowMs(): number;
  /** The connection has produced replies in this turn (calling it twice in a turn is fine). */
  finish(connection: Releasable): void;
  /**
   * Undefined almost always: the map may be read and written now. Else somebody holds the map still across an await
   * (async-mutex): stop running commands of this connection and go on when it resolves.
   */
  readonly blocked: Promise<void> | undefined;
}
