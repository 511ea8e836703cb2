import type { FullConfig, FullResult, Reporter, Suite } from "@playwright/test/reporter";

import { closingLine } from "./closing-line";

// The closing line of the browser tests.
export default class ClosingLine implements Reporter {
  private suite: Suite | null = null;
  private errors = 0; // outside of tests

  onBegin(_config: FullConfig, suite: Suite): void {
    this.suite = suite;
  }

  onError(): void {
    this.errors++;
  }

  onEnd(_result: FullResult): void {
    const outcomes = (this.suite?.allTests() ?? []).map((test) => test.outcome());
    const count = (...wanted: string[]): number => outcomes.filter((outcome) => wanted.includes(outcome)).length;
    console.log(closingLine(count("expected", "flaky"), count("unexpected") + this.errors, count("skipped")));
  }

  printsToStdio(): boolean {
    return false;
  }
}
