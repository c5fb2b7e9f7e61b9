/** The clients' password in an HTTP request: `Authorization: Bearer PASSWORD`, or Basic. */

/** What a 401 carries. */
export const authorizationChallenge = { "WWW-Authenticate": 'Basic realm="chorus"' } as const;
export const authorizationWanted = "the password of the clients is needed: Authorization: Bearer, or Basic";

/** Basic's user is `default`, or left out. */
export const isAuthorized = (
  header: string | undefined,
  check: (user: string, password: string) => boolean,
): boolean => {
  const [, scheme, given] = /^(Bearer|Basic) +(\S+) *$/i.exec(header ?? "") ?? [];
  if (scheme === undefined || given === undefined) return false;
  if (scheme.toLowerCase() === "bearer") return check("default", given);
  const decoded = Buffer.from(given, "base64").toString("latin1");
  const colonAt = decoded.indexOf(":");
  if (colonAt < 0) return false;
  return check(decoded.slice(0, colonAt) || "default", decoded.slice(colonAt + 1));
};
