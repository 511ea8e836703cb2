import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "@playwright/test";

// Tests of pages in a browser, against the real server (PTIFFSTORE_BIN, or
// ../bin/ptiffstore). The browser is the system's: none is downloaded.
//
// The slides of the demo are generated once per run, in a folder that the workers get
// from the environment. A folder given as PTIFFSTORE_E2E_DATA is kept.
if (!process.env.PTIFFSTORE_E2E_DATA) {
  process.env.PTIFFSTORE_E2E_DATA = mkdtempSync(join(tmpdir(), "ptiffstore-e2e-"));
  process.env.PTIFFSTORE_E2E_REMOVE = process.env.PTIFFSTORE_E2E_DATA;
}

// Chromium without windows takes a third less processor time than Chromium that hides them.
const shell = "/usr/lib/chromium/chromium-headless-shell";

export default defineConfig({
  testDir: "e2e",
  fullyParallel: true,
  workers: 3, // two processors: tests also wait for timers and the server
  reporter: [["list"], ["./test/playwright-reporter.ts"]],
  outputDir: "test-results",
  globalSetup: "./e2e/setup.ts",
  timeout: 120_000,
  expect: { timeout: 30_000 },
  use: {
    viewport: { width: 1280, height: 800 },
    colorScheme: "light",
    // Slides jump: each frame of a movement is rendered without a graphics card. Tests of movements
    // turn this off.
    contextOptions: { reducedMotion: "reduce" },
    // One page per worker, cleared between tests: a new one for each test takes as long as most
    // of the tests. A test that needs an empty cache of the browser creates its own context.
    reuseContext: true,
    screenshot: "only-on-failure", // traces of every test would take as long as the tests: --trace=on makes them
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? (existsSync(shell) ? shell : "/usr/bin/chromium"),
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--renderer-process-limit=1", // no process in reserve for the next page
        "--in-process-gpu", "--js-flags=--no-opt", // each script runs too briefly to repay its optimization
        "--enable-unsafe-swiftshader"], // WebGL for dicom-microscopy-viewer
    },
  },
});
