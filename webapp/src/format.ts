// Numbers and dates as text.

const locale = "en";
const integers = new Intl.NumberFormat(locale);
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const seconds = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const days = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });

export function formatCount(n: number): string {
  return integers.format(n);
}

// formatBytes uses decimal units, as file managers do.
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : Number(value.toPrecision(value >= 9.95 ? 3 : 2))} ${units[unit]}`;
}

export function formatPixels(width: number, height: number): string {
  return `${formatCount(width)} × ${formatCount(height)} px`;
}

// formatArea is the size of a slide in mm, from its size in pixels and the pixel size in µm.
export function formatArea(width: number, height: number, mppX: number, mppY: number): string {
  return `${millimetres(width * mppX)} × ${millimetres(height * mppY)} mm`;
}

function millimetres(micrometres: number): string {
  const mm = micrometres / 1000;
  return mm >= 1 ? mm.toFixed(1) : String(Number(mm.toPrecision(2)));
}

export function formatTime(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : dates.format(time);
}

// formatSecond is a time to the second.
export function formatSecond(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : seconds.format(time);
}

export function formatDay(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : days.format(time);
}

export function formatPercent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}
