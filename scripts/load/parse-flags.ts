/** `parseArgs` for our scripts: flags only, and what is typed wrong is a CommandFailure with exit code 2 and a suggestion. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { didYouMean, usageFailure } from "../../server/cli/failure.ts";

export const parseFlags = <Flags extends NonNullable<ParseArgsConfig["options"]>>(
  given: readonly string[],
  flags: Flags,
): ReturnType<typeof parseArgs<{ options: Flags }>>["values"] => {
  try {
    return parseArgs({ args: [...given], options: flags }).values;
  } catch (error) {
    const words = error instanceof Error ? error.message.replace(/\. To specify .*$/, "") : String(error);
    const unknown = /^Unknown option '--([^']+)'/.exec(words)?.[1];
    throw usageFailure(words + (unknown === undefined ? "" : didYouMean(unknown, Object.keys(flags))));
  }
};
