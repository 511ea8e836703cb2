import { expect, test } from "vitest";

import { durationSeconds, formatAgo, formatSchedule, formatSeconds, shortDuration } from "./time";

const now = Date.parse("2025-03-14T09:26:00Z");
const at = (seconds: number): string => new Date(now + seconds * 1000).toISOString();

for (const [seconds, want] of [
  [0, "just now"], [-4, "just now"], [3, "just now"], [-20, "20 seconds ago"], [-58, "1 minute ago"], [-59.9, "1 minute ago"], [-90, "2 minutes ago"], [-59.6 * 60, "1 hour ago"], [-3 * 3600, "3 hours ago"],
  [-86_400, "yesterday"], [-3 * 86_400, "3 days ago"], [9 * 60, "in 9 minutes"], [7 * 3600, "in 7 hours"], [86_400, "tomorrow"],
] as const) {
  test(`${seconds} s from now is ${want}`, () => expect(formatAgo(at(seconds), now)).toBe(want));
}

test("formats a time more than 30 days ago as a date, and returns text that is not a time", () => {
  expect(formatAgo("2024-11-02T12:00:00Z", now)).toBe("Nov 2, 2024");
  expect(formatAgo("soon", now)).toBe("soon");
});

for (const [seconds, want] of [[0.02, "< 1 s"], [0.94, "< 1 s"], [1, "1 second"], [1.84, "1.8 seconds"], [12.4, "12 seconds"], [59.7, "1 min 0 s"], [83, "1 min 23 s"], [3599.6, "1 h 0 min"], [5400, "1 h 30 min"]] as const) {
  test(`${seconds} s are ${want}`, () => expect(formatSeconds(seconds)).toBe(want));
}

for (const [text, seconds, short] of [["10m0s", 600, "10m"], ["720h0m0s", 2_592_000, "30d"], ["1h30m0s", 5400, "1h30m"], ["90s", 90, "1m30s"], ["36h", 129_600, "36h"], ["30d", 2_592_000, "30d"], ["0.5s", 0.5, "0.5s"], ["", null, ""], ["soon", null, "soon"]] as const) {
  test(`the duration ${text || "(empty)"}`, () => {
    expect(durationSeconds(text)).toBe(seconds);
    expect(shortDuration(text)).toBe(short);
  });
}

for (const [schedule, want] of [
  ["15m", "every 15 minutes"], ["1h", "every hour"], ["90m", "every 90 minutes"], ["24h", "every day"], ["1h0m0s", "every hour"], ["30s", "every 30 seconds"],
  ["0 3 * * *", "every day at 03:00"], ["30 22 * * 0", "every Sunday at 22:30"], ["0 4 * * 7", "every Sunday at 04:00"], ["5 * * * *", "every hour, at minute 5"], ["0 * * * *", "every hour, on the hour"],
  ["0 6 * * 1-5", "Monday to Friday at 06:00"], ["*/5 * * * *", "cron schedule */5 * * * *"], ["0 3 1 * *", "cron schedule 0 3 1 * *"], ["@daily", "cron schedule @daily"],
] as const) {
  test(`the schedule ${schedule} is ${want}`, () => expect(formatSchedule(schedule)).toBe(want));
}
