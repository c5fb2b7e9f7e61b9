/**
 * A whole peer on free ports, alone in its cluster, for tests with real clients. It runs in the test's own process, on a
 * temporary directory.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { loadConfig } from "../../server/config.ts";
import { runPeer } from "../../server/peer.ts";

export interface PeerForTest {
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
  readonly password: string | undefined;
  stop(): Promise<void>;
}

export interface PeerForTestOptions {
  readonly password?: string;
  /** More flags, as typed. */
  readonly flags?: Readonly<Record<string, string | boolean>>;
}

export const startPeerForTest = async (options: PeerForTestOptions = {}): Promise<PeerForTest> => {
  const { password } = options;
  const directory = await mkdtemp(join(tmpdir(), "chorus-test-"));
  const passwordFile = join(directory, "password");
  if (password !== undefined) await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const { config } = loadConfig({
    flags: {
      data: join(directory, "data"),
      tcp: "0",
      http: "0",
      bootstrap: true,
      ...(password === undefined ? {} : { passwordFile }),
      ...options.flags,
    },
    env: {},
  });
  const peer = await runPeer(config, { logger: pino({ level: "silent" }) });
  return {
    host: "127.0.0.1",
    port: peer.tcpPort,
    httpPort: peer.httpPort,
    password,
    stop: async () => {
      await peer.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
};
