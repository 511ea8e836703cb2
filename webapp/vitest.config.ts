import { defineConfig } from "vitest/config";

// Tests of functions run in Node; tests of pages, *.dom.test.ts, in a DOM without a layout. What needs
// a browser is in e2e. All files share their process and DOM, which take longer to start than most
// tests: functions keep nothing, and test/dom.ts loads the application again for each test.
export default defineConfig({
  test: {
    reporters: [["default", { summary: false }], "./test/vitest-reporter.ts"],
    projects: [
      { test: { name: "unit", environment: "node", isolate: false, include: ["src/**/*.test.ts"], exclude: ["src/**/*.dom.test.ts"] } },
      { test: { name: "dom", environment: "happy-dom", isolate: false, include: ["src/**/*.dom.test.ts"], setupFiles: ["./test/dom-setup.ts"], testTimeout: 60_000, environmentOptions: { happyDOM: { url: "http://localhost:8080/" } } } },
    ],
  },
});
