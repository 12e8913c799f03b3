// What the panel "Now" has read in the last five minutes. It is kept while other panels are shown, and when the tab is loaded again.

export const KEPT_S = 300;
const GAP_MS = 15_000; // points further apart are not joined by a line
const STORED = "rnnserve.now";

export class History {
  /** @param {number} series - values of each reading */
  constructor(series) {
    this.series = series;
    this.readings = stored(series); // [{at, values, failed}]
    addEventListener("pagehide", () => {
      try {
        sessionStorage.setItem(STORED, JSON.stringify(this.readings));
      } catch {
        // storage may be turned off or full; the history then begins anew
      }
    });
  }

  /**
   * Keep a reading.
   *
   * @param {number} at - milliseconds since the epoch
   * @param {(number|null)[]} values
   * @param {Object<string, number>} failed - answers by status since the server's start
   */
  add(at, values, failed) {
    this.readings.push({ at, values, failed });
    this.readings = this.readings.filter((one) => at - one.at <= KEPT_S * 1000);
  }

  /** Seconds before ``now``, and a column for each series; null where nothing was read. */
  columns(now) {
    const columns = Array.from({ length: this.series + 1 }, () => []);
    let last = null;
    for (const { at, values } of this.readings) {
      if (last !== null && at - last > GAP_MS) columns.forEach((column, index) => column.push(index ? null : (last + 1 - now) / 1000));
      columns[0].push((at - now) / 1000);
      values.forEach((value, index) => columns[index + 1].push(value));
      last = at;
    }
    return columns;
  }

  /** How many answers there were of a status. A count that fell began again with the server. */
  failures(status) {
    return this.readings.reduce((total, { failed }, at) => {
      const before = this.readings[at - 1]?.failed;
      if (!before) return total;
      const [count, earlier] = [failed[status] ?? 0, before[status] ?? 0];
      return total + (count >= earlier ? count - earlier : count);
    }, 0);
  }
}

function stored(series) {
  try {
    const readings = JSON.parse(sessionStorage.getItem(STORED)) ?? [];
    return readings.filter((one) => one.values.length === series && Date.now() - one.at <= KEPT_S * 1000);
  } catch {
    return [];
  }
}
