/** The configuration schema as commander options, and what was typed back as setting values. */
import { type Command, Option } from "commander";
import type { SettingDescription, SettingSources } from "../settings.ts";

export const addSettingOptions = <Key extends string>(
  command: Command,
  settings: readonly SettingDescription<Key>[],
  configVariable: string,
): void => {
  for (const { flag, argument, summary, defaultText, repeatable } of settings) {
    const text = `${summary} (default: ${defaultText})`;
    if (argument !== undefined) {
      const option = new Option(`--${flag} <${argument}>`, text);
      if (repeatable === true) option.argParser((value, earlier: string[] = []) => [...earlier, ...value.split(",")]);
      command.addOption(option);
    } else {
      command.addOption(new Option(`--${flag}`, summary));
      // Off again, against a variable or a file that says on.
      command.addOption(new Option(`--no-${flag}`).hideHelp());
    }
  }
  command.addOption(
    new Option("--config <FILE>", `settings as JSON, such as {"tcp": 5002}; ${configVariable} does the same`),
  );
};

/** Only what was typed: commander's own defaults (for `--no-x`) are no wish of anybody. */
export const typedSettings = <Key extends string>(
  command: Command,
  settings: readonly SettingDescription<Key>[],
): SettingSources<Key>["flags"] => {
  const typed: Partial<Record<string, unknown>> = {};
  for (const key of [...settings.map(({ key }) => key), "config"])
    if (command.getOptionValueSource(key) === "cli") typed[key] = command.getOptionValue(key);
  // The cast holds: these are the settings' own keys.
  return typed as SettingSources<Key>["flags"];
};
