/**
 * The setting `notify-keyspace-events`, in Redis's letters: K and E for the two kinds of channels, the others for classes
 * of events. Classes of types that Chorus does not have are kept and shown, and mean nothing.
 */

/** What `A` stands for. */
const allClasses = "g$lshzxetd";

/** All that happens here, in both kinds of channels. Redis begins with none, to spare what it costs; see key-events.ts. */
export const notifyFlagsDefault = "AKE";

/** Redis's words for letters that are none. */
export const notifyRefusal = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

/** As CONFIG GET shows them, which is Redis's order; undefined for a letter that is none. */
export const parseNotifyFlags = (flags: string): string | undefined => {
  const given = new Set(flags.replaceAll("A", allClasses));
  const having = (letters: string): string => [...letters].filter((letter) => given.has(letter)).join("");
  for (const letter of given) if (!`${allClasses}nKEm`.includes(letter)) return undefined;
  const classes = having(allClasses) === allClasses ? "A" : having(`${allClasses}n`);
  return classes + having("KEm");
};
