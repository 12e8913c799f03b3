// Prometheus' text format, and what is read from two looks at it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Samples by name: [{labels, value}]. */
function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (!line || line[0] === "#") continue;
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(LABEL)) labels[name] = value;
    const value = match[3] === "+Inf" ? Infinity : Number(match[3]);
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value });
  }
  return found;
}

/** One look at the metrics. Names that a server does not have read as nothing. */
export class Look {
  constructor(text, at) {
    this.at = at;
    this.samples = parseMetrics(text);
  }

  /** The sum of a metric's samples with these labels; null where there are none. */
  sum(name, labels = {}) {
    const own = (this.samples.get(name) || []).filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value));
    return own.length ? own.reduce((total, one) => total + one.value, 0) : null;
  }

  values(name, label) {
    return [...new Set((this.samples.get(name) || []).map((one) => one.labels[label]))];
  }

  /** Counts below each bound of a histogram, summed over its series: [[bound, count]], ascending. */
  buckets(name, labels = {}) {
    const bounds = new Map();
    for (const one of this.samples.get(`${name}_bucket`) || []) {
      if (!Object.entries(labels).every(([key, value]) => one.labels[key] === value)) continue;
      const bound = one.labels.le === "+Inf" ? Infinity : Number(one.labels.le);
      bounds.set(bound, (bounds.get(bound) || 0) + one.value);
    }
    return [...bounds].sort((a, b) => a[0] - b[0]);
  }
}

/** What happened between two looks. A counter that fell began again, so it counts from nothing. */
export class Between {
  constructor(before, after) {
    this.before = before;
    this.after = after;
    this.seconds = (after.at - before.at) / 1000;
  }

  grown(name, labels) {
    const after = this.after.sum(name, labels);
    if (after === null) return null;
    const before = this.before.sum(name, labels) ?? 0;
    return after >= before ? after - before : after;
  }

  rate(name, labels) {
    const grown = this.grown(name, labels);
    return grown === null ? null : grown / this.seconds;
  }

  /** The mean of a histogram's observations; null where there were none. */
  mean(name, labels) {
    const count = this.grown(`${name}_count`, labels);
    return count ? this.grown(`${name}_sum`, labels) / count : null;
  }

  /** The bucket that a quantile lies in, as [bound below, bound]; null without observations. */
  bounds(name, share, labels) {
    return this._bucket(name, share, labels)?.slice(0, 2) ?? null;
  }

  /** A quantile by linear interpolation within its bucket, as Prometheus does it; null without observations. */
  quantile(name, share, labels) {
    const found = this._bucket(name, share, labels);
    if (found === null) return null;
    const [low, high, within] = found;
    return high === Infinity ? low : low + (high - low) * within;
  }

  /** The bucket of a quantile, and how far into it the quantile lies: [bound below, bound, 0 to 1]. */
  _bucket(name, share, labels) {
    const before = new Map(this.before.buckets(name, labels));
    const grown = this.after.buckets(name, labels).map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]);
    if (!grown.length || grown.some(([, count]) => count < 0)) return null;
    const total = grown.at(-1)[1];
    if (!total) return null;
    const rank = share * total;
    const at = grown.findIndex(([, count]) => count >= rank);
    const [bound, count] = grown[at];
    const [low, below] = at ? grown[at - 1] : [0, 0];
    return [low, bound, (rank - below) / Math.max(1e-12, count - below)];
  }
}
