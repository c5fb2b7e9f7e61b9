/**
 * The memory one carried connection is read into, the same for every read. Else node takes 64 KiB for each read, gives back
 * what was too much and leaves the rest to the garbage collector: a fifth of what carrying costs, and caches swept.
 *
 * A write may need the memory for longer than its call: what the system did not take at once is sent later, from where it
 * is. Then that memory is the write's, and the next read gets another. While a writer has unsent bytes already it gets a
 * copy, so that small reads for somebody who does not read keep no more memory than they are long.
 *
 * `net.connect` takes such memory (`onread`); of a server's sockets no option does. `readInto` therefore moves an accepted
 * connection to a socket made the way net makes its own, by an option node has no document for. Where a node lacks what it
 * needs, the socket stays as it is and emits `data`: listen to both.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { Writable } from "node:stream";
import { gatewayBufferBytes, gatewayReadBytesMin } from "../../protocol/limits.ts";

export class ReadBuffer {
  #memory = Buffer.allocUnsafeSlow(gatewayReadBytesMin);
  /** Called with the length of each read, to `writeTo` it. False: no further read until `resume`. */
  handOn: (bytes: number) => boolean = () => true;
  /** For the options of a socket. */
  readonly onread: OnReadOpts = { buffer: () => this.#memory, callback: (bytes) => this.handOn(bytes) };

  /** Writes what was read, once per read. False: `to` has had enough, as of `write`. */
  writeTo(to: Writable, bytes: number): boolean {
    const { length } = this.#memory;
    const read = this.#memory.subarray(0, bytes);
    const isQueued = to.writableLength > 0;
    const isRoomLeft = to.write(isQueued ? Buffer.from(read) : read);
    const isKept = !isQueued && to.writableLength > 0;
    // A read that filled all there was is likely one of many.
    const wanted = bytes === length ? Math.min(length * 4, gatewayBufferBytes) : length;
    if (isKept || wanted > length) this.#memory = Buffer.allocUnsafeSlow(wanted);
    return isRoomLeft;
  }
}

/** What of net's insides this needs. */
interface Handled {
  _handle?: { readonly useUserBuffer?: unknown } | null;
}

/**
 * The connection of a socket just accepted (`pauseOnConnect`, `allowHalfOpen`), read into `buffer`; paused. The given socket
 * is not to be used any more, unless it is what is returned.
 */
export const readInto = (accepted: Socket, buffer: ReadBuffer): Socket => {
  const inside = accepted as Handled;
  const handle = inside._handle;
  if (typeof handle?.useUserBuffer !== "function") return accepted;
  inside._handle = null;
  accepted.destroy();
  const options = {
    handle,
    pauseOnCreate: true,
    allowHalfOpen: true,
    highWaterMark: gatewayBufferBytes,
    onread: buffer.onread,
  };
  // The cast holds: it names only what the types leave out.
  return new Socket(options as SocketConstructorOpts);
};
