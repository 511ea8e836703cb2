// Properties of a file in readable form.

export interface Property {
  name: string; // for display
  key: string; // as in the file or from the server
  value: string;
}

// readableProperties sorts properties by name.
export function readableProperties(properties: Record<string, string>): Property[] {
  return Object.entries(properties)
    .map(([key, value]) => ({ key, name: readableName(key), value: readableValue(key, value) }))
    .sort((a, b) => a.name.localeCompare(b.name, "en"));
}

const abbreviations = new Set(["icc", "id", "ufs", "roi", "xml", "tiff", "jpeg", "rgb", "dpi", "mpp", "sdk", "ifd"]);

// readableName turns "philips.DICOM_MANUFACTURERS_MODEL_NAME" into "Manufacturers
// model name".
export function readableName(key: string): string {
  const last = key.slice(key.lastIndexOf(".") + 1).replace(/^(DICOM|PIM_DP|PIIM_DP|PIIM|PIM)_/, "");
  const words = last
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .split(/[_\s-]+/)
    .filter(Boolean)
    .map((word) => (abbreviations.has(word.toLowerCase()) ? word.toUpperCase() : word.toLowerCase()))
    .map((word) => word.replace(/^datetime$/, "date and time").replace(/^iccprofile$/, "ICC profile"));
  const name = words.join(" ");
  return name.charAt(0).toUpperCase() + name.slice(1);
}

// readableValue resolves DICOM's quoted lists, dates and times.
export function readableValue(key: string, value: string): string {
  const list = [...value.matchAll(/"([^"]*)"/g)].map((match) => match[1]!);
  if (list.length > 0 && value.replace(/"[^"]*"/g, "").trim() === "") return list.map((item) => readableValue(key, item)).join(", ");
  const name = key.toUpperCase();
  const date = /^(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})(?:\.\d+)?)?$/.exec(value.trim());
  if (date && /DATE/.test(name)) {
    const [, year, month, day, hours, minutes, seconds] = date;
    return `${year}-${month}-${day}${hours ? ` ${hours}:${minutes}:${seconds}` : ""}`;
  }
  const time = /^(\d{2})(\d{2})(\d{2})(?:\.\d+)?$/.exec(value.trim());
  if (time && /TIME/.test(name)) return `${time[1]}:${time[2]}:${time[3]}`;
  return value;
}
