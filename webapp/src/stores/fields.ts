// The fields of the store form: from the record to text, and back to a request.

import type { Store, StorePatch } from "../api/types";
import { shortDuration } from "../time";

export type Field = keyof Store;
export type Values = Partial<Record<Field, string | boolean>>;

const durations: Field[] = ["settle", "hide_after", "drop_after", "keep_trash"];
const schedules: Field[] = ["schedule", "verify"];
const lists: Field[] = ["include", "exclude"];
const texts: Field[] = ["label", "root", "password_file", "incoming", "time_zone", "host", "queue", "endpoint", "case_pattern", "case_source", "background", "origin", "mode"];
const ticks: Field[] = ["public", "hide_labels", "convert"];

// valuesOf are the values of the form for a store.
export function valuesOf(store: Partial<Store>): Values {
  const values: Values = {};
  for (const name of texts) values[name] = (store[name] as string | null | undefined) ?? "";
  for (const name of [...durations, ...schedules]) values[name] = store[name] ? shortDuration(store[name] as string) : "";
  for (const name of lists) values[name] = ((store[name] as string[] | null | undefined) ?? []).join("\n");
  for (const name of ticks) values[name] = store[name] === true;
  // Rounded, because 0.07 × 100 is 7.000000000000001.
  values.max_missing = typeof store.max_missing === "number" ? String(Number((store.max_missing * 100).toPrecision(12))) : "";
  values.quota = typeof store.quota === "number" ? String(store.quota / 1e9) : "";
  values.verify_rate = typeof store.verify_rate === "number" ? String(store.verify_rate / 1e6) : "";
  return values;
}

// patchOf is the difference between two states of the form, as it is sent. An empty field is reset
// to its default.
export function patchOf(before: Values, after: Values): StorePatch {
  const patch: StorePatch = {};
  for (const [key, value] of Object.entries(after)) {
    const name = key as Field;
    const was = before[name] ?? "";
    if (typeof value === "boolean") {
      if (value !== (was === true)) patch[name] = value;
      continue;
    }
    const text = lists.includes(name) ? linesOf(value).join("\n") : value.trim();
    if (text === was) continue;
    patch[name] = text === "" ? null : sent(name, text);
  }
  return patch;
}

function sent(name: Field, text: string): string | number | string[] {
  if (lists.includes(name)) return linesOf(text);
  // Text that is not a number is sent unchanged: the server reports the error.
  if (name === "max_missing") return Number.isFinite(Number(text)) ? Number((Number(text) / 100).toPrecision(12)) : text;
  if (name === "quota") return Number.isFinite(Number(text)) ? Math.round(Number(text) * 1e9) : text;
  if (name === "verify_rate") return Number.isFinite(Number(text)) ? Math.round(Number(text) * 1e6) : text;
  return text;
}

function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

// fieldErrors groups the errors of the server by field; "" holds errors of fields that the form
// does not have.
export function fieldErrors(errors: string[], fields: Field[]): Map<Field | "", string> {
  const found = new Map<Field | "", string>();
  for (const error of errors) {
    const match = /^(?:body\.)?([a-z_]+)(?:\[\d+\])?: (.*)$/s.exec(error);
    const name = match && fields.includes(match[1] as Field) ? (match[1] as Field) : "";
    const words = name ? match![2]! : error.replace(/^body(\.|: )/, "");
    found.set(name, found.has(name) ? `${found.get(name)}; ${words}` : words);
  }
  return found;
}
