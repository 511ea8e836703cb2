import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "@playwright/test";

// Unit tests lie beside what they test; those of whole pages in e2e, against the
// real server (PTIFFSTORE_BIN, or ../bin/ptiffstore) or the mock (PTIFFSTORE_MOCK=1).
// The browser is the system's: none is downloaded.
//
// The demo's slides are made once for a run, in a folder that the workers learn
// from the environment. One that is given, as PTIFFSTORE_E2E_DATA, is kept.
if (!process.env.PTIFFSTORE_E2E_DATA) {
  process.env.PTIFFSTORE_E2E_DATA = mkdtempSync(join(tmpdir(), "ptiffstore-e2e-"));
  process.env.PTIFFSTORE_E2E_REMOVE = process.env.PTIFFSTORE_E2E_DATA;
}

export default defineConfig({
  fullyParallel: false,
  workers: 1,
  reporter: [["list"]],
  outputDir: "test-results",
  globalTeardown: "./e2e/teardown.ts",
  timeout: 60_000,
  expect: { timeout: 15_000 },
  projects: [
    { name: "unit", testDir: "src", testMatch: "**/*.test.ts" },
    {
      name: "e2e",
      testDir: "e2e",
      testMatch: "**/*.spec.ts",
      use: {
        viewport: { width: 1440, height: 900 },
        colorScheme: "light",
        trace: "retain-on-failure",
        launchOptions: {
          executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
          args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        },
      },
    },
  ],
});
