// The speed of an upload and the remaining time.

const memory = 8; // seconds over which the speed is averaged
const trusted = 1; // seconds before a speed is shown

// A Speed is the speed of a byte counter.
export class Speed {
  private at = 0;
  private bytes = 0;
  private first = 0;
  private rate = 0;

  // reset starts again, as after a pause.
  reset(): void {
    this.at = this.first = this.rate = 0;
  }

  // count records the number of bytes at a time in milliseconds.
  count(bytes: number, now: number): void {
    if (this.at === 0 || bytes < this.bytes) {
      [this.at, this.first, this.bytes, this.rate] = [now, now, bytes, 0];
      return;
    }
    const seconds = (now - this.at) / 1000;
    if (seconds < 0.2) return;
    const rate = (bytes - this.bytes) / seconds;
    const weight = this.rate === 0 ? 1 : 1 - Math.exp(-seconds / memory);
    this.rate += weight * (rate - this.rate);
    [this.at, this.bytes] = [now, bytes];
  }

  // perSecond is in bytes; null if it is not known yet.
  perSecond(now: number): number | null {
    return this.at > 0 && now - this.first >= trusted * 1000 && this.rate > 0 ? this.rate : null;
  }

  // secondsLeft is the time for the rest of total bytes; null if it is not known yet.
  secondsLeft(total: number, now: number): number | null {
    const rate = this.perSecond(now);
    return rate === null ? null : Math.max(0, total - this.bytes) / rate;
  }
}
