/**
 * Stop signals: the first asks for a clean stop, a later one ends at once.
 *
 * Ctrl-C under npm arrives twice: once from the terminal, once forwarded by npm. So a repeat within half a second is
 * the same wish, not a second one.
 */
const repeatMs = 500;

export const onStopSignals = (first: (signal: NodeJS.Signals) => void, again: () => void): void => {
  let firstAtMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      first(signal);
    } else if (nowMs - firstAtMs > repeatMs) again();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
};
