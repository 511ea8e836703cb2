// Errors of the server about users as text.

import { Problem } from "../api/client";
import { t } from "../strings";
import { formatSeconds } from "../time";

// problemWords is the text of an error. Too many attempts include the time to wait.
export function problemWords(err: unknown): string {
  if (!(err instanceof Problem)) return t.error.title;
  if (err.status === 429) return t.access.tooMany(err.retryAfter ? formatSeconds(err.retryAfter) : "");
  return err.errors.length > 0 ? err.errors.map(withoutField).join(" ") : err.detail;
}

// logInWords is problemWords for logging in with name and password.
export function logInWords(err: unknown): string {
  if (err instanceof Problem && err.status === 401) return t.access.wrongPassword;
  if (err instanceof Problem && err.status === 403) return t.access.disabled;
  if (err instanceof Problem && err.status === 404) return t.access.noLogIn;
  return problemWords(err);
}

function withoutField(words: string): string {
  const text = words.replace(/^(body\.)?[a-z_.]+: /, "");
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, ".")}`;
}
