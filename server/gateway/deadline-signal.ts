/**
 * A signal that is aborted with another one, or after a time. Not AbortSignal.any: what that makes stays attached to a
 * signal that lives as long as the process, and a peer that is away is dialed for days.
 */
export const deadlineSignal = (
  signal: AbortSignal,
  afterMs: number,
): { readonly signal: AbortSignal; readonly release: () => void } => {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = setTimeout(abort, afterMs);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  return {
    signal: controller.signal,
    release: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    },
  };
};
