// Relative times and durations as text.

import { formatDay } from "./format";
import { t } from "./strings";


const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const steps = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]] as const;

// formatAgo is a time relative to now; a date if it is more than 30 days away.
export function formatAgo(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Number.isNaN(seconds)) return iso;
  if (Math.abs(seconds) < 5) return t.time.now;
  if (Math.abs(seconds) >= 30 * 86_400) return formatDay(iso);
  // A value that rounds up to the next unit uses that unit: 59 minutes are an hour.
  const [unit, length] = steps.find(([, length]) => Math.abs(seconds) >= length * 0.95)!;
  return ago.format(Math.sign(seconds) * Math.round(Math.abs(seconds) / length), unit);
}

// formatSeconds is a duration as text.
export function formatSeconds(seconds: number): string {
  if (seconds < 0.95) return t.time.moment;
  if (seconds < 9.95) return t.time.seconds(String(Number(seconds.toFixed(1))));
  if (seconds < 59.5) return t.time.seconds(String(Math.round(seconds)));
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}


// durationSeconds parses a duration of the server, such as "1h30m0s" or "30d", in seconds; null if
// it is not a duration.
export function durationSeconds(text: string): number | null {
  const match = /^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text.trim());
  if (!match || match[0] === "") return null;
  const [d, h, m, s] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number];
  return d * 86_400 + h * 3600 + m * 60 + s;
}

// shortDuration shortens a duration of the server to what a person would type: "10m", "30d". Other
// text is returned unchanged.
export function shortDuration(text: string): string {
  const seconds = durationSeconds(text);
  if (seconds === null || !Number.isInteger(seconds) || seconds === 0) return text;
  if (seconds % 86_400 === 0) return `${seconds / 86_400}d`;
  const parts = [[Math.floor(seconds / 3600), "h"], [Math.floor((seconds % 3600) / 60), "m"], [seconds % 60, "s"]] as const;
  return parts.filter(([n]) => n > 0).map(([n, unit]) => `${n}${unit}`).join("");
}

// formatSchedule describes an interval or a common cron schedule in words.
export function formatSchedule(schedule: string): string {
  const seconds = durationSeconds(schedule);
  if (seconds !== null) {
    for (const [unit, length] of steps) {
      if (seconds >= length && seconds % length === 0) return t.time.every(seconds / length, unit);
    }
    return t.time.everyOther(schedule);
  }
  const fields = schedule.trim().split(/\s+/);
  const [minute, hour, day, month, weekday] = fields;
  if (fields.length !== 5 || month !== "*" || day !== "*" || !/^\d{1,2}$/.test(minute!)) return t.time.cron(schedule);
  if (hour === "*") return weekday === "*" ? t.time.hourly(Number(minute)) : t.time.cron(schedule);
  if (!/^\d{1,2}$/.test(hour!)) return t.time.cron(schedule);
  const at = `${hour!.padStart(2, "0")}:${minute!.padStart(2, "0")}`;
  if (weekday === "*") return t.time.daily(at);
  if (weekday === "1-5") return t.time.workdays(at);
  return /^[0-7]$/.test(weekday!) ? t.time.weekly(t.time.weekdays[Number(weekday) % 7]!, at) : t.time.cron(schedule);
}
