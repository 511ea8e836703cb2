import { expect, test } from "vitest";

import type { Task } from "../api/types";
import { continues } from "./item";
import { Speed } from "./speed";
import type { UploadImage, UploadView } from "./types";
import { taskOf, verdictOf } from "./verdict";

const view = (values: Partial<UploadView>): UploadView => ({
  id: "u", store: "s", state: "received", offset: 9, length: 9, sent_as: "a.tiff", modified: null, file_name: "a.tiff", sha256: "00", verdict: "slide", reason: null, image: null, conversion: null, own: true, owner: null, created_at: "", updated_at: "", expires_at: "", ...values,
});
const image = (values: Partial<UploadImage>): UploadImage => ({ id: "i", state: "available", reason: null, filed: true, known: false, ...values });

for (const { name, of, want } of [
  { name: "one that is being sent", of: { state: "uploading" }, want: null },
  { name: "one that the store has not noticed", of: {}, want: null },
  { name: "one that may be seen and is not filed", of: { image: image({ filed: false }) }, want: { kind: "good", final: false, slide: "i" } },
  { name: "a slide", of: { image: image({}) }, want: { kind: "good", final: true, words: "The slide is in the store." } },
  { name: "a known slide", of: { image: image({ known: true }), file_name: "a (2).tiff" }, want: { kind: "good", words: /^This slide was already in the store/ } },
  { name: "a slide whose name was in use", of: { image: image({}), file_name: "a (2).tiff" }, want: { words: "The slide is in the store. Another file has this name, so this one was renamed to a (2).tiff." } },
  { name: "a broken file", of: { verdict: "broken", reason: "The file is incomplete." }, want: { kind: "bad", final: false, words: "The file is incomplete.", slide: null, state: "broken" } },
  { name: "a broken file on its way to quarantine", of: { verdict: "broken", reason: "The file is incomplete.", image: image({ state: "broken", reason: "The file is incomplete." }) }, want: { kind: "bad", final: false, state: "broken" } },
  { name: "a broken file in quarantine", of: { verdict: "broken", reason: "The file is incomplete.", image: image({ state: "quarantined", reason: "The file is incomplete." }) }, want: { kind: "bad", final: true, words: "The file is incomplete.", slide: "i", state: "quarantined" } },
  { name: "an image that is being converted", of: { verdict: "unsupported", reason: "no", conversion: "pending", image: image({ state: "quarantined" }) }, want: { kind: "good", final: false, slide: null } },
  { name: "a converted image", of: { verdict: "unsupported", reason: "no", conversion: "done", image: image({}) }, want: { kind: "good", final: true, slide: "i", words: /^The image was converted/ } },
  { name: "an image that cannot be converted", of: { verdict: "unsupported", reason: "It is too large.", conversion: "failed", image: image({ state: "quarantined" }) }, want: { kind: "bad", final: true, words: "It is too large." } },
  { name: "a file with another checksum", of: { state: "refused", reason: "The file that arrived has another SHA-256." }, want: { kind: "bad", final: true } },
] as { name: string; of: Partial<UploadView>; want: Record<string, unknown> | null }[]) {
  test(`result of an upload: ${name}`, () => {
    const got = verdictOf(view(of));
    if (want === null) return expect(got).toBeNull();
    const { words, ...rest } = want;
    expect(got).toMatchObject(rest);
    if (words) expect(got!.words).toMatch(words as string | RegExp);
  });
}

test("speed and remaining time", () => {
  const speed = new Speed();
  speed.count(0, 1000);
  expect(speed.perSecond(1000), "nothing is known yet").toBeNull();
  for (let s = 1; s <= 20; s++) speed.count(s * 5e6, 1000 + s * 1000);
  expect(speed.perSecond(21_000)).toBeCloseTo(5e6);
  expect(speed.secondsLeft(200e6, 21_000)).toBeCloseTo(20);
  for (let s = 21; s <= 60; s++) speed.count(100e6 + (s - 20) * 1e6, 1000 + s * 1000);
  expect(speed.perSecond(61_000), "it follows a change").toBeLessThan(1.1e6);
  speed.reset();
  expect(speed.secondsLeft(200e6, 61_000)).toBeNull();
});

test("a file resumes its incomplete upload", () => {
  const begun = view({ state: "uploading", length: 9, modified: "5" });
  const file = { name: "a.tiff", size: 9, lastModified: 5 };
  expect(continues(begun, file)).toBe(true);
  expect(continues({ ...begun, modified: null }, file)).toBe(true);
  for (const other of [{ name: "b.tiff" }, { size: 8 }, { lastModified: 6 }]) expect(continues(begun, { ...file, ...other })).toBe(false);
  expect(continues({ ...begun, state: "received" }, file)).toBe(false);
});

test("the running task of an image", () => {
  const task = (values: Partial<Task>): Task => ({ id: "1", kind: "import_file", args: { image: "i" }, state: "waiting", ready: false, ...values }) as Task;
  expect(taskOf([task({ args: { image: "other" } }), task({ ready: true })], "i")).toBeNull();
  expect(taskOf([task({ id: "2" }), task({ id: "3", state: "running" })], "i")?.id).toBe("3");
});
