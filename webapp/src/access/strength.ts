// The strength of a password, as far as it can be estimated.

export const minPassword = 12; // characters, required by the server

export type Strength = "short" | "name" | "weak" | "fair" | "good";

const common = /(password|passwort|kennwort|qwert[yz]|asdfgh|letmein|welcome|secret|admin|login|pathology|0123|1234|2345|4321|abcd)/gi;

// strengthOf checks for what attackers try first: few distinct characters, the user's name, and
// common words and key sequences.
export function strengthOf(password: string, name: string): Strength {
  const folded = password.normalize("NFC").toLowerCase();
  if ([...password].length < minPassword) return "short";
  const own = name.trim().normalize("NFC").toLowerCase();
  if (own !== "" && folded === own) return "name";
  let rest = folded.replace(common, "*");
  if (own.length > 2) rest = rest.replaceAll(own, "*");
  rest = rest.replace(/(.+?)\1+/gu, "$1"); // repetition adds no strength
  const distinct = new Set(rest).size;
  if ([...rest].length < 9 || distinct < 6) return "weak";
  return [...rest].length >= 16 && distinct >= 9 ? "good" : "fair";
}
