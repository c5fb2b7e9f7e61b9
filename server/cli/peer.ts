/** `chorus peer`: one peer as a process. */
import { peerCloseMsMax } from "../../protocol/limits.ts";
import type { LoadedConfig } from "../config.ts";
import type { RunPeer } from "../running-peer.ts";
import { collectWithoutHelpers, heapIsSet, runAgainWithHeap } from "./heap.ts";
import { runServiceProcess } from "./service-process.ts";

export type { RunningPeer } from "../running-peer.ts";

/** Does not return: the process ends with the peer. */
export const runPeerProcess = async ({ config }: LoadedConfig, runPeer: RunPeer): Promise<void> => {
  if (!heapIsSet(config.heapMb)) process.exit(await runAgainWithHeap(config.heapMb));
  collectWithoutHelpers();
  await runServiceProcess({
    what: `peer ${config.name}`,
    bind: config.bind,
    logging: config,
    closeMsMax: peerCloseMsMax,
    start: () => runPeer(config),
  });
};

/** The command: server/peer.ts is loaded only now, so that help and mistakes are quick. */
export const peerCommand = async (loaded: LoadedConfig): Promise<void> => {
  const { runPeer } = await import("../peer.ts");
  await runPeerProcess(loaded, runPeer);
};
