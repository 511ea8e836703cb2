// The two fields for a new password.

import { t } from "../strings";
import { h } from "../ui/dom";
import { field, passwordInput } from "./field";
import { minPassword, strengthOf } from "./strength";

export interface NewPassword {
  rows: HTMLElement[];
  value: string;
  // check reports whether the password is acceptable, and shows the problem if not.
  check(): boolean;
  wrong(words: string): void;
}

// revokeTokens is a checkbox to revoke all API tokens of the user along with the old password.
export function revokeTokens(): { row: HTMLElement; checked(): boolean } {
  const tick = h("input", { type: "checkbox", id: "revoke-tokens" });
  const row = h("div", { class: "field tick-field" }, tick, h("div", null, h("label", { for: tick.id }, t.access.revokeTokens), h("p", { class: "hint" }, t.access.revokeTokensHint)));
  return { row, checked: () => tick.checked };
}

// newPassword asks for a password twice and rates it. name returns the name of the user, which the
// password must not be.
export function newPassword(name: () => string, caption: string = t.access.newPassword): NewPassword {
  const words = h("span", { class: "strength-words" });
  const meter = h("meter", { class: "strength", min: 0, max: 3, low: 2, high: 3, optimum: 3, value: 0, "aria-hidden": "true" });
  const hint = h("div", { class: "strength-row", role: "status" }, meter, words);
  const first = field(caption, passwordInput("password", "new-password"), hint);
  const second = field(t.access.passwordAgain, passwordInput("password-again", "new-password"));
  const show = (): void => {
    const value = first.control.value;
    const strength = value === "" ? null : strengthOf(value, name());
    const missing = minPassword - [...value].length;
    meter.value = strength === null ? 0 : { short: 0.5, name: 0.5, weak: 1, fair: 2, good: 3 }[strength];
    words.textContent = strength === null ? t.access.passwordHint(minPassword) : strength === "short" ? t.access.strength.short(missing) : t.access.strength[strength];
    first.wrong("");
    second.wrong("");
  };
  first.control.addEventListener("input", show);
  second.control.addEventListener("input", () => second.wrong(""));
  show();
  return {
    rows: [first.row, second.row],
    get value() {
      return first.control.value;
    },
    check() {
      const strength = strengthOf(first.control.value, name());
      const bad = strength === "short" || strength === "name";
      const differ = !bad && first.control.value !== second.control.value;
      first.wrong(bad ? (strength === "short" ? t.access.passwordHint(minPassword) : t.access.strength.name) : "");
      second.wrong(differ ? t.access.passwordsDiffer : "");
      if (bad) first.control.focus();
      else if (differ) second.control.focus();
      return !bad && !differ;
    },
    wrong: (text) => first.wrong(text),
  };
}
