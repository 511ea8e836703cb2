import type { Reporter, TestModule } from "vitest/node";

import { closingLine } from "./closing-line";

// The closing line of the unit and DOM tests.
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++;
      if (!module.ok() && [...module.children.allTests("failed")].length === 0) count.failed++; // it could not be loaded
    }
    console.log(closingLine(count.passed, count.failed, count.skipped + count.pending));
  }
}
