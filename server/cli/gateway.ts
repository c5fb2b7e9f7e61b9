/** `chorus gateway`: one gateway as a process. */
import { gatewayCloseMsMax } from "../../protocol/limits.ts";
import type { LoadedGatewayConfig } from "../gateway/config.ts";
import { collectWithoutHelpers } from "./heap.ts";
import { runServiceProcess } from "./service-process.ts";

/** Does not return: the process ends with the gateway. */
export const gatewayCommand = async ({ config }: LoadedGatewayConfig): Promise<void> => {
  collectWithoutHelpers();
  await runServiceProcess({
    what: "gateway",
    bind: config.bind,
    logging: { name: "gateway", logLevel: config.logLevel, logFormat: config.logFormat },
    closeMsMax: config.drainMs + gatewayCloseMsMax,
    // Loaded only now, so that help and mistakes are quick.
    start: async () => (await import("../gateway/gateway.ts")).runGateway(config),
  });
};
