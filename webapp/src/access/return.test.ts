import { expect, test } from "vitest";

import { returnOf } from "./return";

for (const [hash, to] of [
  ["", "/"], ["#to=%2Ftasks%3Fkind%3Da%23b", "/tasks?kind=a#b"], ["#to=%2F%2Fevil.example%2F", "/"], ["#to=%2F%5Cevil.example", "/"], ["#to=https%3A%2F%2Fevil.example", "/"],
  ["#to=javascript%3Aalert(1)", "/"], ["#to=%2Flogin%23to%3D%2F", "/"], ["#to=%2F.%2F%2Fevil.example", "/"], ["#to=%2F%09%2Fevil.example", "/"], ["#to=tasks", "/"], ["#to=%2Fapi%2Fv1%2Fauth%2Fsession", "/"],
] as const) {
  test(`returns to addresses of the application only: ${hash || "none"}`, () => {
    expect(returnOf(hash, "http://127.0.0.1:8080")).toBe(to);
  });
}
