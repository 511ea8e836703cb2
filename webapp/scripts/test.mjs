// Runs all tests: those of functions and pages without a browser, then those in the
// browser. The last line counts the tests of both.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const total = { passed: 0, failed: 0, skipped: 0 };
let failed = false;

for (const [name, ...args] of [["vitest", "run"], ["playwright", "test"]]) {
  const child = spawn(name, args, { stdio: ["inherit", "pipe", "inherit"] });
  let last = "";
  createInterface(child.stdout).on("line", (line) => {
    console.log(line);
    if (/^\d+ passed, \d+ failed/.test(line)) last = line;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  for (const [, n, outcome] of last.matchAll(/(\d+) (passed|failed|skipped)/g)) total[outcome] += Number(n);
  failed ||= code !== 0;
}

console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
process.exit(failed ? 1 : 0);
