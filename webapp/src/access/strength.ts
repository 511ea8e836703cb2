// How good a password is, as far as can be told by looking at it.

export const minPassword = 12; // characters, as the server wants

export type Strength = "short" | "name" | "weak" | "fair" | "good";

const common = /(password|passwort|kennwort|qwert[yz]|asdfgh|letmein|welcome|secret|admin|login|pathology|0123|1234|2345|4321|abcd)/gi;

// strengthOf judges by what guessers try first: few different characters, one's
// own name, the words and rows of keys that many take.
export function strengthOf(password: string, name: string): Strength {
  const folded = password.normalize("NFC").toLowerCase();
  if ([...password].length < minPassword) return "short";
  const own = name.trim().normalize("NFC").toLowerCase();
  if (own !== "" && folded === own) return "name";
  let rest = folded.replace(common, "*");
  if (own.length > 2) rest = rest.replaceAll(own, "*");
  rest = rest.replace(/(.+?)\1+/gu, "$1"); // what is repeated is guessed once
  const distinct = new Set(rest).size;
  if ([...rest].length < 9 || distinct < 6) return "weak";
  return [...rest].length >= 16 && distinct >= 9 ? "good" : "fair";
}
