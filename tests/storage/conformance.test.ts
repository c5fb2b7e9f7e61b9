import { MemoryStorage } from "../../server/storage/memory-storage.ts";
import { openFileStorage } from "../../server/storage/open.ts";
import { segmentBytes, storageConformance } from "./conformance.ts";
import { peerNamed, storageDirectory } from "./support.ts";

storageConformance("files", (t) => {
  const dir = storageDirectory(t);
  return { open: () => openFileStorage({ dir, peerName: peerNamed("b"), segmentBytes }) };
});

storageConformance("memory", () => {
  const storage = new MemoryStorage({ segmentBytes });
  return {
    open: async () => {
      storage.reopen();
      return storage;
    },
  };
});
