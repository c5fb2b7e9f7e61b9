/**
 * A process for the tests: opens a data directory and appends to it, saying after each append, in the file given, which LSN
 * it got. Killed from outside. With `--hold` it only holds the directory open.
 */
import { openSync, writeSync } from "node:fs";
import { openFileStorage } from "../../server/storage/open.ts";
import { bytesOf, peerNamed } from "./support.ts";

const [dir = "", report = ""] = process.argv.slice(2);
const storage = await openFileStorage({ dir, peerName: peerNamed("b"), segmentBytes: 64 * 1024 });
writeSync(1, `open ${process.pid}\n`);
if (report === "--hold") {
  setInterval(() => undefined, 1000);
} else {
  const { log } = storage;
  // A file, not a pipe: a full pipe would not take it, and a killed process's would be lost.
  const reportFd = openSync(report, "w");
  for (;;) {
    for (let i = 0; i < 20; i++) {
      log.rollIfFull(() => bytesOf(`note ${log.nextLsn}`));
      const lsn = log.nextLsn;
      log.append([{ type: 1, bytes: bytesOf(`record ${lsn} ${"x".repeat(lsn % 500)}`) }]);
      writeSync(reportFd, `${lsn}\n`);
    }
    if (log.nextLsn % 3 === 0) void log.sync();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
