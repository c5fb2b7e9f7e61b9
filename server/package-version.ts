/** This package's version, from its package.json: `../` from the sources, `../../` from dist/. */
import { readFileSync } from "node:fs";

/** `unknown` where no package.json is to be found. */
export const packageVersion = (): string => {
  for (const up of ["../package.json", "../../package.json"]) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as { version?: unknown };
      if (typeof version === "string") return version;
    } catch {
      // The other place.
    }
  }
  return "unknown";
};
